"""A manifest: a file, a directory or standard input, and the split that it gives to a request."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from trafficsplit.analysis.split import Split
from trafficsplit.errors import InputError
from trafficsplit.weights import gateway_api, istio, progressive
from trafficsplit.weights.fields import Fields, documents, documents_of
from trafficsplit.weights.names import names_of, variants_of
from trafficsplit.weights.routes import (
    Destination,
    Probe,
    Route,
    kind_of,
    name_of,
    short,
    unknown_route,
)

Reader = Callable[[Fields, Probe], "list[Destination] | InputError"]
Labels = dict[tuple[str, str], dict[str, str]]  # of pods, by host and subset

ISTIO = "networking.istio.io"
READERS: Mapping[tuple[str, str], Reader] = {
    (ISTIO, "VirtualService"): istio.destinations_for,
    ("gateway.networking.k8s.io", "HTTPRoute"): gateway_api.destinations_for,
    ("split.smi-spec.io", "TrafficSplit"): progressive.traffic_split,
    ("argoproj.io", "Rollout"): progressive.rollout,
    ("flagger.app", "Canary"): progressive.canary,
}


def read_documents(source: str, standard_input: Callable[[], str] = lambda: "") -> list[Fields]:
    """Return the documents of a file, of all YAML files in a directory, or of `-`.

    Raises InputError.
    """
    if source == "-":
        return documents_of(standard_input(), "standard input")
    path = Path(source)
    if path.is_dir():
        files = sorted(p for p in path.rglob("*") if p.suffix in {".yaml", ".yml"})
        if not files:
            raise InputError(f"{source} has no YAML files in it")
        return [document for file in files for document in documents(file)]
    return documents(path)


@dataclass(frozen=True)
class Choice:
    """Which route of a manifest is meant, and what its destinations' responses show.

    The route is that of a request, `probe`, and of the resource that is called `route`, where there
    are several. `mapping` has the variants of destinations; where it `may_mean_more`, names in it
    that no destination has are passed over, as they may be those of something else.
    """

    probe: Probe = Probe()
    route: str = ""
    mapping: Mapping[str, str] = field(default_factory=dict)
    may_mean_more: bool = False

    def of(self, found: Iterable[Fields]) -> Route:
        """Return the route in some documents. Raises InputError."""
        return route_of(found, self.probe, route=self.route)

    def variants(self, route: Route) -> list[str]:
        """Return what the responses of a route's destinations show. Raises InputError."""
        mapping = self.mapping
        if self.may_mean_more:
            called = names_of(route.destinations)
            mapping = {name: variant for name, variant in mapping.items() if name in called}
        return variants_of(route.destinations, mapping)


def split_of(found: Iterable[Fields], choice: Choice) -> Split:
    """Return the split that documents give to a request. Raises InputError."""
    return split_of_route(choice.of(found), choice)


def split_of_route(chosen: Route, choice: Choice) -> Split:
    """Return the split of a route's destinations, by what their responses show."""
    variants = choice.variants(chosen)
    weights: dict[str, float] = {}
    for variant, destination in zip(variants, chosen.destinations, strict=True):
        weights[variant] = weights.get(variant, 0.0) + destination.weight
    return Split(weights)


def route_of(found: Iterable[Fields], probe: Probe, *, route: str = "") -> Route:
    """Return the one resource with weights, and its rule that the request takes.

    Raises InputError.
    """
    resources, labels = _sorted(found)
    if route:
        wanted = [resource for resource in resources if name_of(resource) == route]
        if not wanted:
            raise unknown_route(resources, route)
        resources = wanted
    if not resources:
        kinds = ", ".join(kind for _, kind in READERS)
        raise InputError(f"no resource with weights in it: none of {kinds}")
    refused: list[InputError] = []
    taken: list[Route] = []
    for resource in resources:
        destinations = READERS[kind_of(resource)](resource, probe)
        if isinstance(destinations, InputError):
            refused.append(destinations)
        else:
            taken.append(_route(resource, destinations, labels))
    if len(taken) > 1:
        some = ", ".join(f"{one.kind} {one.name}" for one in taken)
        raise InputError(f"several resources give weights to this request ({some}): say --route")
    if not taken:
        raise refused[0]
    return taken[0]


def _route(resource: Fields, destinations: Iterable[Destination], labels: Labels) -> Route:
    complete = [
        replace(d, labels=d.labels or labels.get((d.host, d.subset), {})) for d in destinations
    ]
    where = str(resource.error(""))
    return Route(kind_of(resource)[1], name_of(resource), where, complete)


def _sorted(found: Iterable[Fields]) -> tuple[list[Fields], Labels]:
    """Return the resources with weights, and the labels of pods by host and subset."""
    resources: list[Fields] = []
    labels: Labels = {}
    for document in _unlisted(found):
        group, kind = kind_of(document)
        document.title = f"{kind} {name_of(document)}".strip()
        if (group, kind) in READERS:
            resources.append(document)
        elif (group, kind) == (ISTIO, "DestinationRule"):
            spec = document.fields("spec")
            host = short(spec.text("host"))
            for subset in spec.each("subsets"):
                labels[host, subset.text("name")] = subset.labels("labels")
        elif (group, kind) == ("", "Service"):
            selector = document.fields("spec").labels("selector")
            labels.setdefault((name_of(document), ""), selector)
    return resources, labels


def _unlisted(found: Iterable[Fields]) -> Iterator[Fields]:
    """Yield documents, those in a List (as kubectl prints them) one by one."""
    for document in found:
        if kind_of(document) == ("", "List"):
            yield from _unlisted(document.each("items"))
        else:
            yield document
