"""A manifest: a file, a directory or standard input, and the split that it gives to a request."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path

from trafficsplit.analysis.split import Split
from trafficsplit.errors import InputError
from trafficsplit.frame import say
from trafficsplit.weights import (
    consul,
    contour,
    gateway_api,
    ingress,
    istio,
    knative,
    kuma,
    openshift,
    progressive,
    traefik,
)
from trafficsplit.weights.fields import Fields, documents, documents_of, documents_of_directory
from trafficsplit.weights.names import names_of, variants_of
from trafficsplit.weights.routes import (
    Beside,
    Destination,
    Probe,
    Route,
    kind_of,
    name_of,
    namespace_of,
    short,
    unknown_route,
)

MOST_NAMED = 5  # kinds of documents in a refusal
Reader = Callable[[Fields, Probe, Beside], "list[Destination] | InputError"]
Labels = dict[tuple[str, str], dict[str, str]]  # of pods, by host and subset

ISTIO = "networking.istio.io"
GATEWAY_API = "gateway.networking.k8s.io"
READERS: Mapping[tuple[str, str], Reader] = {
    (ISTIO, "VirtualService"): istio.destinations_for,
    (GATEWAY_API, "HTTPRoute"): gateway_api.destinations_for,
    (GATEWAY_API, "GRPCRoute"): gateway_api.grpc_destinations_for,
    (GATEWAY_API, "TCPRoute"): gateway_api.connection_destinations_for,
    (GATEWAY_API, "TLSRoute"): gateway_api.connection_destinations_for,
    (GATEWAY_API, "UDPRoute"): gateway_api.connection_destinations_for,
    ("split.smi-spec.io", "TrafficSplit"): progressive.traffic_split,
    ("argoproj.io", "Rollout"): progressive.rollout,
    ("flagger.app", "Canary"): progressive.canary,
    (contour.GROUP, "HTTPProxy"): contour.destinations_for,
    ("networking.k8s.io", "Ingress"): ingress.destinations_for,
    (knative.GROUP, "Service"): knative.destinations_for,
    (knative.GROUP, "Route"): knative.destinations_for,
    (traefik.GROUP, "IngressRoute"): traefik.destinations_of_ingress_route,
    (traefik.GROUP, "TraefikService"): traefik.destinations_of_service,
    (traefik.OLD_GROUP, "IngressRoute"): traefik.destinations_of_ingress_route,
    (traefik.OLD_GROUP, "TraefikService"): traefik.destinations_of_service,
    ("route.openshift.io", "Route"): openshift.destinations_for,
    ("consul.hashicorp.com", "ServiceSplitter"): consul.destinations_for,
    ("kuma.io", "MeshHTTPRoute"): kuma.destinations_for,
    ("policy.linkerd.io", "HTTPRoute"): gateway_api.destinations_for,
}


# Where the requests of each rule of a kind go.
RULES: Mapping[str, Callable[[Fields], list[list[Destination]]]] = {
    "VirtualService": istio.destinations_by_rule,
    "HTTPRoute": gateway_api.destinations_by_rule,
}


def read_documents(source: str, standard_input: Callable[[], str] = lambda: "") -> list[Fields]:
    """Return the documents of a file, of all YAML files in a directory, or of `-`.

    A source of several lines is one of each. Raises InputError.
    """
    sources = source.splitlines()
    if len(sources) > 1:
        every = [read_documents(one, standard_input) for one in sources]
        return [document for found in every for document in found]
    if source == "-":
        return documents_of(standard_input(), "standard input")
    path = Path(source)
    if not path.is_dir():
        return documents(path)
    files = sorted(file for file in path.rglob("*") if file.suffix in {".yaml", ".yml"})
    if not files:
        raise InputError(f"{source} has no YAML files in it")
    found, passed_over = documents_of_directory(files)
    for file, why in passed_over.items():
        _note(f"note: {file} is passed over: {why}")
    return found


@lru_cache(maxsize=256)  # a manifest is read several times
def _note(line: str) -> None:
    say(line, to_error=True)


@dataclass(frozen=True)
class Choice:
    """Which route of a manifest is meant, and which variants its destinations are.

    The route is the one that a request, `probe`, takes; where several resources give it one, that
    of the resource whose name is `route`. `mapping` has variants by the names of destinations;
    where it `may_mean_more`, names in it that no destination has are passed over.
    """

    probe: Probe = Probe()
    route: str = ""
    mapping: Mapping[str, str] = field(default_factory=dict)
    may_mean_more: bool = False

    def of(self, manifest: Iterable[Fields]) -> Route:
        """Return the route that the documents of a manifest have for it. Raises InputError."""
        return route_of(manifest, self.probe, route=self.route)

    def variants(self, route: Route) -> list[str]:
        """Return the variant of each destination of a route. Raises InputError."""
        mapping = self.mapping
        if self.may_mean_more:
            names = names_of(route.destinations, route.rules)
            mapping = {name: variant for name, variant in mapping.items() if name in names}
        return variants_of(route.destinations, mapping, route.rules)


def split_of(manifest: Iterable[Fields], choice: Choice) -> Split:
    """Return the split that the documents of a manifest give. Raises InputError."""
    return split_of_route(choice.of(manifest), choice)


def split_of_route(route: Route, choice: Choice) -> Split:
    """Return the split of a route: the weights of its destinations, by variant.

    Raises InputError.
    """
    variants = choice.variants(route)
    weights: dict[str, float] = {}
    for variant, destination in zip(variants, route.destinations, strict=True):
        weights[variant] = weights.get(variant, 0.0) + destination.weight
    return Split(weights)


def route_of(manifest: Iterable[Fields], probe: Probe, *, route: str = "") -> Route:
    """Return the route of the one resource that gives weights to a request.

    `route` is that resource's name, where several do. Raises InputError.
    """
    all_documents = list(without_lists(manifest))
    resources, labels = _resources_and_labels(all_documents)
    beside = _beside(all_documents)
    if route:
        resources = _called(route, resources)
    if not resources:
        raise InputError(_nothing_found(all_documents))
    refusals: list[InputError] = []
    found: list[tuple[Fields, list[Destination]]] = []
    for resource in resources:
        destinations = READERS[kind_of(resource)](resource, probe, beside)
        if isinstance(destinations, InputError):
            refusals.append(destinations)
        else:
            found.append((resource, destinations))
    if len(found) > 1:
        found = _foremost(found, probe, beside)
    if len(found) > 1:
        several = ", ".join(f"{kind_of(one)[1]} {name_of(one)}" for one, _ in found)
        raise InputError(f"several resources give weights to this request ({several}): say --route")
    if not found:
        raise refusals[0]
    return _route(*found[0], labels, all_documents)


def _nothing_found(documents: Sequence[Fields]) -> str:
    """Return that no resource with weights is there, and what is."""
    found = Counter("/".join(filter(None, kind_of(document))) or "?" for document in documents)
    there = ", ".join(f"{number} {kind}" for kind, number in found.most_common(MOST_NAMED))
    kinds = ", ".join(dict.fromkeys(kind for _, kind in READERS))
    return (
        f"no resource with weights in it (there is {there or 'nothing'}): give one of {kinds}, or "
        "--weights"
    )


Found = list[tuple[Fields, list[Destination]]]


def _foremost(found: Found, probe: Probe, beside: Beside) -> Found:
    """Return the resources that come before the others, where their kind says which do.

    Istio puts the VirtualServices of a host at a gateway together in order of creation, which a
    file need not tell, but for what catches all: that is last. Of HTTPRoutes the most specific
    match of all counts.
    """
    kinds = {kind_of(resource) for resource, _ in found}
    if kinds == {(ISTIO, "VirtualService")} and beside.through_gateway:
        certain = [one for one in found if not _catches_all(one[0], probe, beside)]
        return certain or found
    if kinds == {(GATEWAY_API, "HTTPRoute")}:
        ranks = [_rank(resource, probe, beside) for resource, _ in found]
        best = max(ranks)
        return [one for one, rank in zip(found, ranks, strict=True) if rank == best]
    return found


def _catches_all(resource: Fields, probe: Probe, beside: Beside) -> bool:
    rule = istio.rule_for(resource, probe, beside)
    return not isinstance(rule, InputError) and rule.catches_all


def _rank(resource: Fields, probe: Probe, beside: Beside) -> gateway_api.Rank:
    ranked = gateway_api.rank_and_rule(resource, probe, beside)
    assert not isinstance(ranked, InputError)
    return ranked[0]


def _beside(manifest: Sequence[Fields]) -> Beside:
    """Return what else bears on where a request goes."""
    gateways: dict[str, Fields] = {}
    listeners: dict[str, Fields] = {}
    delegates: dict[str, Fields] = {}
    places = {
        (ISTIO, "Gateway"): gateways,
        (GATEWAY_API, "Gateway"): listeners,
        (ISTIO, "VirtualService"): delegates,
    }
    for document in manifest:
        place = places.get(kind_of(document))
        if place is not None:
            place[f"{namespace_of(document)}/{name_of(document)}"] = document
    return Beside(
        gateways,
        listeners,
        delegates,
        tuple(manifest),
        through_gateway=any(map(istio.is_for_gateway, delegates.values())),
    )


def _called(name: str, resources: Sequence[Fields]) -> list[Fields]:
    """Return the resources with a name. Raises InputError where there is none."""
    named = [resource for resource in resources if name_of(resource) == name]
    if not named:
        raise unknown_route(resources, name)
    return named


def _route(
    resource: Fields,
    destinations: Iterable[Destination],
    labels: Labels,
    all_documents: Sequence[Fields],
) -> Route:
    complete = _with_labels(destinations, labels)
    rules = _rules_of(resource)
    if not any(_has_all(rule, complete) for rule in rules):  # they are a delegate's
        rules = [rule for document in all_documents for rule in _rules_of(document)]
    named = [_with_labels(rule, labels) for rule in rules]
    where = str(resource.error(""))
    return Route(kind_of(resource)[1], name_of(resource), where, complete, named)


def _with_labels(destinations: Iterable[Destination], labels: Labels) -> list[Destination]:
    complete = []
    for destination in destinations:
        known = labels.get((destination.host, destination.subset), {})
        complete.append(replace(destination, labels=destination.labels or known))
    return complete


def _rules_of(document: Fields) -> list[list[Destination]]:
    """Return the destinations of each rule of a resource; none where they cannot be read."""
    read = RULES.get(kind_of(document)[1])
    try:
        return read(document) if read else []
    except InputError:  # of another rule than the one that is asked for
        return []


def _has_all(rule: Sequence[Destination], destinations: Sequence[Destination]) -> bool:
    there = {(one.host, one.subset) for one in rule}
    return all((one.host, one.subset) in there for one in destinations)


def _resources_and_labels(manifest: Iterable[Fields]) -> tuple[list[Fields], Labels]:
    """Return the resources with weights, and the labels of pods by host and subset."""
    resources: list[Fields] = []
    labels: Labels = {}
    for document in manifest:
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


def without_lists(manifest: Iterable[Fields]) -> Iterator[Fields]:
    """Yield documents, and each item of a list, as kubectl prints it, in its place."""
    for document in manifest:
        if kind_of(document)[1].endswith("List") and "items" in document:
            yield from without_lists(document.each("items"))
        else:
            yield document
