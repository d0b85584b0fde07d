"""YAML read strictly: every field is either understood or refused, by name and line.

LabError              one line that names the thing and the way out
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from analysis import InputError


class LabError(InputError):
    """The lab cannot be had as described. Its text is one line, made to be shown to a person."""


class Fields:
    """A mapping of a manifest, from which fields are taken until none is left.

    `where` is the path in the document, for messages. Whoever has taken all that it understands
    calls `done`, which refuses the rest.
    """

    def __init__(self, data: CommentedMap, file: Path, where: str = "", line: int = 0) -> None:
        self._data = data
        self._line = line if data.lc.line is None else data.lc.line
        self._left = dict.fromkeys(data)
        self._file = file
        self._where = where

    def take(self, name: str, kind: type | tuple[type, ...] = str, default: Any = None) -> Any:
        """The value of a field, `default` where it is missing. Raises LabError for another type."""
        self._left.pop(name, None)
        value = self._data.get(name)
        if value is None:
            return default
        # YAML's true is an int to Python, but not to Kubernetes.
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            raise self.error(f"{value!r} is not what belongs here", name)
        return value

    def need(self, name: str, kind: type | tuple[type, ...] = str) -> Any:
        """The value of a field that must be there. Raises LabError."""
        value = self.take(name, kind)
        if value is None:
            raise self.error(f"{name} is missing")
        return value

    def fields(self, name: str) -> Fields:
        """A mapping within this one; an empty one where it is missing. Raises LabError."""
        data = self.take(name, CommentedMap, CommentedMap())
        return Fields(data, self._file, self._path(name), self._line_of(name))

    def each(self, name: str) -> Iterator[Fields]:
        """The mappings of a list; nothing where it is missing. Raises LabError."""
        for index, item in enumerate(self.take(name, CommentedSeq, ())):
            path = f"{self._path(name)}[{index}]"
            if not isinstance(item, CommentedMap):
                raise LabError(f"{self._at(name)}: {path}: {item!r} is not what belongs here")
            yield Fields(item, self._file, path)

    def strings(self, name: str) -> list[str]:
        """A list of strings; empty where it is missing. Raises LabError."""
        values = list(self.take(name, CommentedSeq, ()))
        for value in values:
            if not isinstance(value, str):
                raise self.error(f"{value!r} is not what belongs here", name)
        return [str(value) for value in values]

    def labels(self, name: str) -> dict[str, str]:
        """A mapping of strings to strings; empty where it is missing. Raises LabError."""
        data = self.take(name, CommentedMap, {})
        for key, value in data.items():
            if not isinstance(value, str):
                raise self.error(f"{key}: {value!r} is not a string", name)
        return {str(key): str(value) for key, value in data.items()}

    def only(self) -> tuple[str, str]:
        """The one field of a mapping that is a choice, with its string. Raises LabError."""
        if len(self._data) != 1:
            raise self.error("exactly one way to match belongs here")
        name = next(iter(self._data))
        return str(name), self.take(name, str, "")

    def names(self) -> list[str]:
        """The names of all fields."""
        return [str(name) for name in self._data]

    def ignore(self, *names: str) -> None:
        """These mean nothing on one machine."""
        for name in names:
            self._left.pop(name, None)

    def done(self) -> None:
        """Refuse what nobody has taken. Raises LabError."""
        for name in self._left:
            raise self.error("the lab cannot translate this: take it out, or use a cluster", name)

    def error(self, message: str, name: str = "") -> LabError:
        """What to raise about a field, or about all of this mapping."""
        path = self._path(name) if name else self._where
        return LabError(f"{self._at(name)}: {path + ': ' if path else ''}{message}")

    def _path(self, name: str) -> str:
        return f"{self._where}.{name}" if self._where else name

    def _at(self, name: str) -> str:
        return f"{self._file}:{self._line_of(name) + 1}"

    def _line_of(self, name: str) -> int:
        """The line of a field, from 0; that of the whole mapping where it is missing."""
        try:
            return int(self._data.lc.key(name)[0])
        except (KeyError, TypeError, AttributeError):
            return self._line


def documents(file: Path) -> list[Fields]:
    """The documents of a YAML file that are not empty. Raises LabError."""
    try:
        text = file.read_text("utf-8")
        found = list(YAML(typ="rt").load_all(text))
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8 text"
        raise LabError(f"{file} cannot be read: {reason}") from None
    except MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise LabError(f"{file}:{line}: no YAML: {error.problem or error.context}") from None
    except (YAMLError, ValueError, RecursionError) as error:
        raise LabError(f"{file}: no YAML: {str(error).splitlines()[0]}") from None
    for document in found:
        if document is not None and not isinstance(document, CommentedMap):
            raise LabError(f"{file}: a document is no mapping: expected apiVersion, kind, metadata")
    return [Fields(document, file) for document in found if document is not None]
