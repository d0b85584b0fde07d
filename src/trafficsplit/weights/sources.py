"""Where weights are configured, and can be changed: the lab, a manifest file, a live cluster."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from analysis import InputError, Split
from analysis.fields import Fields, text_of
from analysis.files import replace_text
from analysis.manifests import Asked, read_documents, route_of, split_of_manifest
from analysis.options import ELSEWHERE, asked_of, text_of_split

if TYPE_CHECKING:
    from cluster import Access


class Source(Protocol):
    """One place that says what the weights are. Everything raises InputError, in one line."""

    def split(self) -> Split:
        """The weights as they are now."""
        ...

    def set(self, weights: Mapping[str, float], *, dry_run: bool = False) -> str:
        """Other weights, in per cent, for all variants; what was done, or would be, in words."""
        ...

    def gateway(self) -> tuple[str, str]:
        """Base URL and lines of --resolve of the gateway, where it is known; else empty."""
        ...


@dataclass(frozen=True)
class LabSource:
    """The lab in the background, started where none is up."""

    def __str__(self) -> str:
        return "the lab"

    def split(self) -> Split:
        """The weights that it has in force."""
        import lab

        return Split(dict((lab.status() or lab.up()).weights))

    def set(self, weights: Mapping[str, float], *, dry_run: bool = False) -> str:
        """By file-based RDS; they are in force then."""
        import lab
        from analysis.weights import completed, in_words

        if dry_run:
            completed(weights, percent(self.split()))
            return f"would set {in_words(weights)}"
        return f"in force: {in_words(lab.set_weights(weights).weights)}"

    def gateway(self) -> tuple[str, str]:
        """That of the lab."""
        import lab

        state = lab.status()
        if state is None:
            raise InputError("the lab has ended: trafficsplit lab up")
        return state.host, ""


@dataclass(frozen=True)
class ManifestSource:
    """A manifest file, or a directory of them; whoever applies it does the rest (GitOps)."""

    file: str
    asked: Asked
    route: str = ""
    names: str = ""

    def __str__(self) -> str:
        return self.file

    def split(self) -> Split:
        """The weights that stand in it."""
        return split_of_manifest(
            read_documents(self.file), self.asked, route=self.route, names=self.names
        )

    def set(self, weights: Mapping[str, float], *, dry_run: bool = False) -> str:
        """Edit just the numbers."""
        from analysis.editing import edited

        if self.file == "-":
            raise InputError("--manifest - cannot be edited: give a file")
        documents = read_documents(self.file)
        path = Path(self._file_of(documents))
        before = text_of(path)
        beside = [one for one in documents if one.file != str(path)]
        after = edited(before, str(path), weights, self.asked, route=self.route,
                       names=self.names, beside=beside)  # fmt: skip
        if dry_run:
            return _difference(before, after, str(path))
        try:
            replace_text(path, after, path.with_name(f".{path.name}.new"))
        except OSError as error:
            raise InputError(f"{path} cannot be written: {error.strerror or error}") from None
        return f"edited: {path}"

    def _file_of(self, documents: list[Fields]) -> str:
        chosen = route_of(documents, self.asked, route=self.route)
        fields = chosen.destinations[0].fields
        if fields is None:
            raise InputError(f"{chosen.where}: a {chosen.kind}'s controller sets its weights")
        return fields.file

    def gateway(self) -> tuple[str, str]:
        """A file says nothing of addresses."""
        return "", ""


def _difference(before: str, after: str, file: str) -> str:
    import difflib

    lines = difflib.unified_diff(
        before.splitlines(), after.splitlines(), file, file, lineterm="", n=1
    )
    return "\n".join(lines) or f"{file} stays as it is"


@dataclass(frozen=True)
class ClusterSource:
    """A resource of a live cluster."""

    kind: str  # of ELSEWHERE, as cluster.KINDS has it
    reference: str
    asked: Asked
    names: str = ""
    context: str = ""
    service: str = ""
    force: bool = False
    _access: list[Access] = field(default_factory=list, compare=False, repr=False)

    def __str__(self) -> str:
        return f"{self.kind.replace('_', ' ')} {self.reference}"

    @property
    def access(self) -> Access:
        """The cluster, asked for credentials once."""
        from cluster import connect

        if not self._access:
            self._access.append(connect(self.context))
        return self._access[0]

    def _read(self) -> Any:
        from cluster import KINDS, read

        return read(self.access, KINDS[self.kind], self.reference)

    def split(self) -> Split:
        """The weights that the cluster has stored."""
        found: Split = self._read().split(self.asked, self.names)
        return found

    def set(self, weights: Mapping[str, float], *, dry_run: bool = False) -> str:
        """By server-side apply."""
        from analysis.weights import in_words
        from cluster import apply

        resource = self._read()
        changed = apply(self.access, resource, weights, self.asked, self.names, force=self.force,
                        dry_run=dry_run)  # fmt: skip
        after = in_words(percent(changed.split(self.asked, self.names)))
        before = in_words(percent(resource.split(self.asked, self.names)))
        return f"{'would set' if dry_run else 'set'} {resource}: {before} → {after}"

    def gateway(self) -> tuple[str, str]:
        """By the Service or the Gateway in front of it."""
        from cluster import gateways_of

        found = gateways_of(self.access, self._read(), self.service)
        return found.host, found.resolve


def percent(split: Split) -> dict[str, float]:
    """Weights in per cent, without the dust of their normalisation."""
    return {variant: round(100 * weight, 9) for variant, weight in split.weights.items()}


def source_of(options: Mapping[str, Any], asked: Asked) -> Source | None:
    """What the options name; None where they name nothing. Raises InputError."""
    given = [name for name in ("manifest", *ELSEWHERE) if options.get(name)]
    if len(given) > 1:
        flags = " and ".join(f"--{name.replace('_', '-')}" for name in given)
        raise InputError(f"{flags} both say where the weights are: give one of them")
    if not given:
        for name in ("context", "gateway_service"):
            if options.get(name):
                raise InputError(f"--{name.replace('_', '-')} is for a --virtual-service or an "
                                 "--http-route, and there is none")  # fmt: skip
        return None
    names = options.get("map") or ""
    if given == ["manifest"]:
        return ManifestSource(options["manifest"], asked, options.get("route") or "", names)
    return ClusterSource(
        given[0],
        options[given[0]],
        asked,
        names,
        options.get("context") or "",
        options.get("gateway_service") or "",
        bool(options.get("force_conflicts")),
    )


def taken_from_cluster(options: dict[str, Any], *, address: bool) -> Source | None:
    """As `trafficsplit.options.cluster_source`, where the options name one. Raises InputError."""
    source = source_of(options, asked_of(options))
    if source is None:
        return None
    for name in ("weight", "weights"):
        if options[name]:
            raise InputError(f"--{name} and {source} both say what is expected: give one of them")
    options["weights"] = text_of_split(source.split())
    if address and not options["host"]:
        options["host"], resolve = source.gateway()
        options["resolve"] = "\n".join(filter(None, [options["resolve"], resolve]))
    return source
