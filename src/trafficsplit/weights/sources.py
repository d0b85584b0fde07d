"""The places where weights are configured and can be changed: manifests and live clusters."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from trafficsplit.analysis.split import Split
from trafficsplit.errors import InputError
from trafficsplit.files import replace_text
from trafficsplit.settings.commands import SourceSettings
from trafficsplit.weights.editing import edit_weights
from trafficsplit.weights.fields import Fields, text_of
from trafficsplit.weights.manifests import Choice, read_documents, split_of
from trafficsplit.weights.others import other_splits
from trafficsplit.weights.percent import in_words, percent
from trafficsplit.weights.routes import Probe

if TYPE_CHECKING:
    from trafficsplit.weights.cluster import Access, Resource


@dataclass(frozen=True)
class GatewayLocation:
    """Base URLs of a gateway, and addresses by name, for names that DNS need not know."""

    hosts: tuple[str, ...] = ()
    addresses: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


class Source(Protocol):
    """Something that has the configured weights. Every method raises InputError, with one line."""

    def split(self) -> Split:
        """Return the weights as they are now."""
        ...

    def others(self) -> Mapping[str, Split]:
        """Return the weights of its other routes, by name."""
        ...

    def set(self, weights: Mapping[str, float], *, dry_run: bool = False) -> str:
        """Set the weights of all variants, in per cent; return a line that says what was done.

        A dry run changes nothing, and the line says what would be done.
        """
        ...

    def gateway(self) -> GatewayLocation:
        """Return where the gateway is, as far as this source knows."""
        ...

    def set_at(self) -> str:
        """Return when the weights were set, in ISO 8601, empty if that is not known."""
        ...

    def last_change(self) -> str:
        """Return who set the weights last, and when, for people; empty if that is not known."""
        ...


@dataclass(frozen=True)
class ManifestSource:
    """A manifest file or directory, or several, a line each: they are edited, and not applied."""

    file: str
    choice: Choice
    standard_input: Callable[[], str] = field(default=lambda: "", compare=False)

    def __str__(self) -> str:
        return ", ".join(self.file.splitlines())

    def split(self) -> Split:
        """Return the weights that the manifest gives."""
        return split_of(read_documents(self.file, self.standard_input), self.choice)

    def others(self) -> Mapping[str, Split]:
        """Return the weights of the manifest's other routes, by name."""
        return other_splits(read_documents(self.file, self.standard_input), self.choice)

    def set(self, weights: Mapping[str, float], *, dry_run: bool = False) -> str:
        """Edit the numbers in the manifest, and nothing else."""
        if "-" in self.file.splitlines():
            raise InputError("--manifest - cannot be edited: give a file")
        documents = read_documents(self.file)
        path = Path(self._file_of_route(documents))
        before = text_of(path)
        beside = [document for document in documents if document.file != str(path)]
        after = edit_weights(before, str(path), weights, self.choice, beside)
        if dry_run:
            return _difference(before, after, str(path))
        try:
            replace_text(path, after, path.with_name(f".{path.name}.new"))
        except OSError as error:
            raise InputError(f"{path} cannot be written: {error.strerror or error}") from None
        return f"edited: {path}"

    def _file_of_route(self, documents: list[Fields]) -> str:
        route = self.choice.of(documents)
        fields = route.destinations[0].fields
        if fields is None:
            raise InputError(f"{route.where}: a {route.kind}'s controller sets its weights")
        return fields.file

    def gateway(self) -> GatewayLocation:
        """Return an empty location: a file does not say where the gateway is."""
        return GatewayLocation()

    def set_at(self) -> str:
        """Return nothing: a file is not in force by itself."""
        return ""

    def last_change(self) -> str:
        """Return nothing: a file does not say who has edited it."""
        return ""


def _difference(before: str, after: str, file: str) -> str:
    lines = difflib.unified_diff(
        before.splitlines(), after.splitlines(), file, file, lineterm="", n=1
    )
    return "\n".join(lines) or f"{file} stays as it is"


@dataclass(frozen=True)
class ClusterSource:
    """A resource of a live cluster."""

    settings: SourceSettings
    choice: Choice

    def __str__(self) -> str:
        return f"{self.settings.kind.replace('_', ' ')} {self.settings.reference}"

    @cached_property
    def access(self) -> Access:
        """The cluster's API, with credentials that are looked up once."""
        from trafficsplit.weights.cluster import connect

        return connect(self.settings.context)

    def _read(self) -> Resource:
        from trafficsplit.weights.cluster import KINDS, read

        return read(self.access, KINDS[self.settings.kind], self.settings.reference)

    def split(self) -> Split:
        """Return the weights of the resource."""
        return self._read().split(self.choice)

    def others(self) -> Mapping[str, Split]:
        """Return the weights of the resource's other rules, by name."""
        return self._read().others(self.choice)

    def set(self, weights: Mapping[str, float], *, dry_run: bool = False) -> str:
        """Set the numbers in the resource, and nothing else."""
        from trafficsplit.weights.cluster import Setting, set_weights

        resource = self._read()
        setting = Setting(force=self.settings.force_conflicts, dry_run=dry_run)
        changed = set_weights(self.access, resource, weights, self.choice, setting)
        before = in_words(percent(resource.split(self.choice)))
        after = in_words(percent(changed.split(self.choice)))
        verb = "would set" if dry_run else "set"
        return f"{verb} {resource}: {before} → {after}"

    def gateway(self) -> GatewayLocation:
        """Return where the Service or the Gateway in front of the resource is."""
        from trafficsplit.weights.cluster import gateways_of

        return gateways_of(self.access, self._read(), self.settings.gateway_service)

    def set_at(self) -> str:
        """Return when the resource's specification was changed last."""
        return self._read().set_at

    def last_change(self) -> str:
        """Return who changed the resource's specification last, and when."""
        return self._read().last_change


def source_of(
    settings: SourceSettings, probe: Probe, standard_input: Callable[[], str] = lambda: ""
) -> Source | None:
    """Return the source that options name, None where they name none.

    `standard_input` reads the manifest `-`.
    """
    choice = Choice(probe, settings.route, settings.mapping)
    if not settings.kind:
        return None
    if settings.kind == "manifest":
        return ManifestSource(settings.reference, choice, standard_input)
    return ClusterSource(settings, choice)
