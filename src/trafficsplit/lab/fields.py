"""Manifests read strictly: every field is either understood or refused, by name and line.

LabError              one line that names the thing and the way out
"""

from __future__ import annotations

from pathlib import Path

from analysis import InputError
from analysis.fields import Fields as AnyFields
from analysis.fields import documents_of, text_of


class LabError(InputError):
    """The lab cannot be had as described. Its text is one line, made to be shown to a person."""


class Fields(AnyFields):
    """A mapping of a manifest, from which fields are taken until none is left.

    Whoever has taken all that it understands calls `done`, which refuses the rest.
    """

    Error = LabError

    def ignore(self, *names: str) -> None:
        """These mean nothing on one machine."""
        for name in names:
            self._left.pop(name, None)

    def done(self) -> None:
        """Refuse what nobody has taken. Raises LabError."""
        for name in self._left:
            raise self.error("the lab cannot translate this: take it out, or use a cluster", name)


def documents(file: Path) -> list[Fields]:
    """The documents of a YAML file that are not empty. Raises LabError."""
    try:
        text = text_of(file)
    except InputError as error:
        raise LabError(str(error)) from None
    return documents_of(text, str(file), Fields)
