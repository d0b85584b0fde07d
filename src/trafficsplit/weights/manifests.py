"""Where a split is configured: the destinations and weights that a manifest gives to a request.

    documents → routes → the route that a request takes → destinations → a split of variants

Read leniently: whatever does not bear on weights is passed over, and other kinds are too. What does
is checked as the controllers' own webhooks check it, which the published schemas do not (they let
through negative weights and a sum of 0).
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from analysis.errors import InputError
from analysis.fields import Fields, documents, documents_of
from analysis.split import Split

CLUSTER_DOMAIN = "svc.cluster.local"
# Label keys that tell releases apart, the most telling first.
TELLING = ("color", "colour", "version", "release", "track", "pod-template-hash")


@dataclass(frozen=True)
class Asked:
    """The request of the run. `host` is empty where it is not known: then every host matches."""

    path: str = "/color"
    host: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)  # by lower-case name
    method: str = "GET"


@dataclass(frozen=True)
class Destination:
    """Where a part of the traffic goes. `labels` are those of its pods, where they are known.

    `fields` has its weight, in a field of that name, where it can be set.
    """

    host: str
    weight: float
    subset: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    fields: Fields | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True)
class Route:
    """A resource that gives weights; `where` names it for people, with its file and line."""

    kind: str
    name: str
    where: str
    destinations: Sequence[Destination]


def read_documents(source: str, standard_input: str = "") -> list[Fields]:
    """The documents of a file, of all YAML files in a directory, or of `-`. Raises InputError."""
    if source == "-":
        return documents_of(standard_input, "standard input")
    path = Path(source)
    if path.is_dir():
        files = sorted(p for p in path.rglob("*") if p.suffix in {".yaml", ".yml"})
        if not files:
            raise InputError(f"{source} has no YAML files in it")
        return [document for file in files for document in documents(file)]
    return documents(path)


def split_of_manifest(
    found: Iterable[Fields], asked: Asked, *, route: str = "", names: str = ""
) -> Split:
    """The split that a manifest gives to a request.

    `route` names one resource where there are several; `names` maps destinations to what responses
    show, `stable=blue,canary=green`. Raises InputError.
    """
    chosen = route_of(found, asked, route=route)
    variants = variants_of(chosen.destinations, names)
    weights: dict[str, float] = {}
    for variant, destination in zip(variants, chosen.destinations, strict=True):
        weights[variant] = weights.get(variant, 0.0) + destination.weight
    return Split(weights)


def route_of(found: Iterable[Fields], asked: Asked, *, route: str = "") -> Route:
    """The one resource with weights, and its rule that the request takes. Raises InputError."""
    resources, labels = _sorted(found)
    if route:
        wanted = [r for r in resources if _name(r) == route]
        if not wanted:
            known = ", ".join(_name(r) for r in resources) or "none"
            raise InputError(f"no resource with weights is called {route}: there is {known}")
        resources = wanted
    if not resources:
        kinds = ", ".join(kind for _, kind in _READERS)
        raise InputError(f"no resource with weights in it: none of {kinds}")
    refused: list[InputError] = []
    taken: list[Route] = []
    for resource in resources:
        group, kind = _kind(resource)
        destinations = _READERS[group, kind](resource, asked)
        if isinstance(destinations, InputError):
            refused.append(destinations)
            continue
        complete = [replace(d, labels=d.labels or labels.get((d.host, d.subset), {}))
                    for d in destinations]  # fmt: skip
        where = str(resource.error(""))
        taken.append(Route(kind, _name(resource), where, complete))
    if len(taken) > 1:
        some = ", ".join(f"{one.kind} {one.name}" for one in taken)
        raise InputError(f"several resources give weights to this request ({some}): say --route")
    if not taken:
        raise refused[0]
    return taken[0]


def _kind(document: Fields) -> tuple[str, str]:
    return str(document.take("apiVersion", str, "")).rpartition("/")[0], str(
        document.take("kind", str, "")
    )


def _name(document: Fields) -> str:
    return str(document.fields("metadata").take("name", str, ""))


def _sorted(
    found: Iterable[Fields],
) -> tuple[list[Fields], dict[tuple[str, str], dict[str, str]]]:
    """The resources with weights; and labels of pods by host and subset."""
    resources: list[Fields] = []
    labels: dict[tuple[str, str], dict[str, str]] = {}
    for document in _unlisted(found):
        group, kind = _kind(document)
        document.title = f"{kind} {_name(document)}".strip()
        if (group, kind) in _READERS:
            resources.append(document)
        elif (group, kind) == (_ISTIO, "DestinationRule"):
            spec = document.fields("spec")
            host = short(str(spec.take("host", str, "")))
            for subset in spec.each("subsets"):
                labels[host, str(subset.take("name", str, ""))] = subset.labels("labels")
        elif (group, kind) == ("", "Service"):
            labels.setdefault((_name(document), ""), document.fields("spec").labels("selector"))
    return resources, labels


def _unlisted(found: Iterable[Fields]) -> Iterable[Fields]:
    """Documents, those in a List (as kubectl prints them) one by one."""
    for document in found:
        if _kind(document) == ("", "List"):
            yield from _unlisted(document.each("items"))
        else:
            yield document


def short(host: str) -> str:
    """A service's name without its cluster's domain."""
    return host.removesuffix("." + CLUSTER_DOMAIN).removesuffix(".svc")


# --- names ---


def variants_of(destinations: Sequence[Destination], names: str = "") -> list[str]:
    """What the destinations' responses show: one name each. Raises InputError.

    By a label that tells their pods apart; else by subset, else by host, without what all have in
    common (`blue-sub`, `green-sub` are blue and green). `names` overrules it, by any of these.
    """
    derived = _derived(destinations)
    mapping = mapping_of(names)
    result = []
    used = set()
    for destination, name in zip(destinations, derived, strict=True):
        keys = [name, destination.subset, destination.host, destination.host.split(".")[0]]
        key = next((k for k in keys if k in mapping), None)
        used.add(key)
        result.append(mapping[key] if key is not None else name)
    for key in mapping:
        if key not in used:
            known = ", ".join(dict.fromkeys(derived))
            raise InputError(f"--map {key}={mapping[key]}: no destination is called {key}, but "
                             f"{known}")  # fmt: skip
    return result


def mapping_of(names: str) -> dict[str, str]:
    """Variants by what they are called elsewhere, from `D=V,…`. Raises InputError."""
    mapping = {}
    for part in filter(None, (part.strip() for part in names.split(","))):
        key, equals, value = (text.strip() for text in part.partition("="))
        if not equals or not key or not value:
            raise InputError(f"--map {part!r} is not DESTINATION=VARIANT, e.g. stable=blue")
        mapping[key] = value
    return mapping


def _derived(destinations: Sequence[Destination]) -> list[str]:
    places = list(dict.fromkeys((d.host, d.subset) for d in destinations))
    by_place = {(d.host, d.subset): d for d in destinations}
    keys = sorted(
        set.intersection(*(set(by_place[p].labels) for p in places)) if places else set(),
        key=lambda key: (TELLING.index(key) if key in TELLING else len(TELLING), key),
    )
    for key in keys:
        values = [by_place[place].labels[key] for place in places]
        if len(set(values)) == len(values):
            named = dict(zip(places, values, strict=True))
            return [named[d.host, d.subset] for d in destinations]
    subsets = [subset for _, subset in places]
    if all(subsets) and len(set(subsets)) == len(subsets):
        named = dict(zip(places, _without_common(subsets), strict=True))
    else:
        labels = [f"{host.split('.')[0]}-{subset}" if subset else host.split(".")[0]
                  for host, subset in places]  # fmt: skip
        if len(set(labels)) < len(labels):
            labels = [f"{host}-{subset}".strip("-") for host, subset in places]
        named = dict(zip(places, _without_common(labels), strict=True))
    return [named[d.host, d.subset] for d in destinations]


def _without_common(names: Sequence[str]) -> list[str]:
    """Names without the words at either end that all of them share."""
    if len(names) < 2:
        return list(names)
    words = [re.split(r"[-_.]", name) for name in names]
    while all(len(w) > 1 for w in words) and len({w[0] for w in words}) == 1:
        words = [w[1:] for w in words]
    while all(len(w) > 1 for w in words) and len({w[-1] for w in words}) == 1:
        words = [w[:-1] for w in words]
    result = ["-".join(w) for w in words]
    return result if all(result) and len(set(result)) == len(result) else list(names)


# --- weights ---


def _weight(fields: Fields, default: int) -> int:
    weight = fields.take("weight", int, default)
    if weight < 0:
        raise fields.error(f"the weight is negative: {weight}", "weight")
    return int(weight)


def _some(rule: Fields, name: str, found: list[Destination]) -> list[Destination]:
    if not found:
        raise rule.error(f"{name} is missing: it gives no weights")
    if not any(one.weight for one in found):
        raise rule.error("all weights are zero: nothing would answer", name)
    return found


# --- Istio: VirtualService ---


def _virtual_service(document: Fields, asked: Asked) -> list[Destination] | InputError:
    spec = document.fields("spec")
    hosts = spec.strings("hosts")
    if asked.host and not any(_covers(host, asked.host) for host in hosts):
        return spec.error(
            f"its hosts ({', '.join(hosts) or 'none'}) are not {asked.host}: --header 'Host: …'",
            "hosts",
        )
    rules = 0
    for name in ("http", "tls", "tcp"):
        for rule in spec.each(name):
            rules += 1
            if name == "http" and not _istio_matches(rule, asked):
                continue
            routes = list(rule.each("route"))
            if not routes and name == "http":
                what = next((w for w in ("redirect", "delegate", "directResponse")
                             if w in rule.names()), "nothing")  # fmt: skip
                raise rule.error(f"the rule that {asked.path} takes has no route, but {what}")
            # One destination gets everything, whatever its weight says.
            alone = len(routes) == 1
            found = [_istio_destination(r, alone=alone) for r in routes]
            return _some(rule, "route", found)
    if not rules:
        raise spec.error("there are no rules in it: http, tls or tcp")
    return spec.error(f"no rule of it takes {asked.path}", "http")


def _istio_destination(route: Fields, *, alone: bool) -> Destination:
    target = route.fields("destination")
    weight = _weight(route, 0)
    host, subset = target.need("host"), target.take("subset", str, "")
    return Destination(short(str(host)), 100 if alone else weight, str(subset), fields=route)


def _covers(pattern: str, host: str) -> bool:
    """Whether one of Istio's hosts, or of the Gateway API's, means a host (without port)."""
    name = re.sub(r":\d+$", "", host).strip("[]").lower()
    pattern = short(pattern.rpartition("/")[2]).lower()
    return (
        pattern in {"*", name, short(name)}
        or (pattern.startswith("*") and name.endswith(pattern[1:]))
        or name.split(".")[0] == pattern
    )


def _istio_matches(rule: Fields, asked: Asked) -> bool:
    matches = list(rule.each("match"))
    return not matches or any(_istio_match(match, asked) for match in matches)


def _istio_match(match: Fields, asked: Asked) -> bool:
    path, _, query = asked.path.partition("?")
    ignore_case = match.take("ignoreUriCase", bool, False)
    parameters = dict(part.partition("=")[::2] for part in query.split("&") if part)
    wanted: list[tuple[Fields, str, str | None]] = [
        (match, "uri", path), (match, "method", asked.method), (match, "scheme", None),
        (match, "authority", asked.host or None),
    ]  # fmt: skip
    headers = match.fields("headers")
    wanted += [(headers, name, asked.headers.get(name.lower())) for name in headers.names()]
    queries = match.fields("queryParams")
    wanted += [(queries, name, parameters.get(name)) for name in queries.names()]
    for fields, name, value in wanted:
        if name not in fields.names():
            continue
        if value is None and name in {"scheme", "authority"} and fields is match:
            continue  # not known: it may be
        case = ignore_case and name == "uri"
        if not _string_match(fields, name, value, ignore_case=case):
            return False
    without = match.fields("withoutHeaders")
    if any(
        _string_match(without, name, asked.headers.get(name.lower())) for name in without.names()
    ):
        return False
    # From a workload of the mesh, and not through a gateway.
    return not match.fields("sourceLabels").names()


def _string_match(
    fields: Fields, name: str, value: str | None, *, ignore_case: bool = False
) -> bool:
    inner = fields.fields(name)
    if not inner.names():
        return value is not None  # present
    kind, wanted = inner.only()
    if kind not in {"exact", "prefix", "regex"}:
        raise inner.error("exact, prefix or regex belongs here", kind)
    if value is None:
        return False
    if ignore_case:
        value, wanted = value.lower(), wanted.lower() if kind != "regex" else wanted
    if kind == "regex":
        return bool(_compiled(inner, kind, wanted).fullmatch(value))
    return value == wanted if kind == "exact" else value.startswith(wanted)


def _compiled(fields: Fields, name: str, pattern: str) -> re.Pattern[str]:
    try:
        return re.compile(pattern)
    except re.error as error:
        raise fields.error(f"no regular expression: {error}", name) from None


# --- Gateway API: HTTPRoute ---


def _http_route(document: Fields, asked: Asked) -> list[Destination] | InputError:
    spec = document.fields("spec")
    hosts = spec.strings("hostnames")
    if hosts and asked.host and not any(_hostname(host, asked.host) for host in hosts):
        return spec.error(
            f"its hostnames ({', '.join(hosts)}) are not {asked.host}: give --header 'Host: …'",
            "hostnames",
        )
    best: tuple[tuple[int, ...], Fields] | None = None
    rules = list(spec.each("rules"))
    for rule in rules:
        matches: list[Fields | None] = [*rule.each("matches")]
        for match in matches or [None]:
            rank = _gateway_rank(match, asked)
            # Of equals the first stands.
            if rank is not None and (best is None or rank > best[0]):
                best = rank, rule
    if best is None:
        if not rules:
            raise spec.error("there are no rules in it")
        return spec.error(f"no rule of it takes {asked.path}", "rules")
    rule = best[1]
    found = []
    for backend in rule.each("backendRefs"):
        weight = _weight(backend, 1)
        host, space = str(backend.need("name")), str(backend.take("namespace", str, ""))
        name = f"{host}.{space}" if space else host
        found.append(Destination(name, weight, fields=backend))
    return _some(rule, "backendRefs", found)


def _hostname(pattern: str, host: str) -> bool:
    """Exact, or a wildcard for one or more labels at the front."""
    name = re.sub(r":\d+$", "", host).lower()
    return fnmatch.fnmatchcase(name, pattern.lower()) if "*" in pattern else name == pattern.lower()


def _gateway_rank(match: Fields | None, asked: Asked) -> tuple[int, ...] | None:
    """How specifically a match means the request, None where it does not.

    In the order of the specification of HTTPRouteRule.matches: an exact path, the longest prefix,
    a method, the most headers, the most query parameters.
    """
    if match is None:
        return (0, 1, 0, 0, 0)
    path, _, query = asked.path.partition("?")
    parameters = dict(part.partition("=")[::2] for part in query.split("&") if part)
    wanted = match.fields("path")
    kind = wanted.take("type", str, "PathPrefix")
    value = str(wanted.take("value", str, "/"))
    if kind == "Exact":
        if path != value:
            return None
    elif kind == "PathPrefix":
        prefix = value.rstrip("/")
        if path != prefix and not path.startswith(prefix + "/"):
            return None
    elif kind == "RegularExpression":
        if not _compiled(wanted, "value", value).fullmatch(path):
            return None
    else:
        raise wanted.error(f"no type of match: {kind}", "type")
    method = match.take("method", str)
    if method is not None and method != asked.method:
        return None
    headers = list(match.each("headers"))
    queries = list(match.each("queryParams"))
    for fields, values in ((headers, asked.headers), (queries, parameters)):
        for one in fields:
            name = str(one.need("name"))
            got = values.get(name.lower() if fields is headers else name)
            regular = one.take("type", str, "Exact") == "RegularExpression"
            text = str(one.need("value"))
            if got is None or not (
                _compiled(one, "value", text).fullmatch(got) if regular else got == text
            ):
                return None
    length = len(value) if kind != "Exact" else 0
    return (int(kind == "Exact"), length, int(method is not None), len(headers), len(queries))


# --- SMI: TrafficSplit ---


def _traffic_split(document: Fields, asked: Asked) -> list[Destination]:
    spec = document.fields("spec")
    found = []
    for backend in spec.each("backends"):
        weight = backend.take("weight", (int, str), 0)
        if isinstance(weight, str):  # v1alpha1: a quantity, as 500m
            if not re.fullmatch(r"\d+m?", weight):
                raise backend.error(f"no weight: {weight!r}", "weight")
            weight = int(weight[:-1]) if weight.endswith("m") else 1000 * int(weight)
        if weight < 0:
            raise backend.error(f"the weight is negative: {weight}", "weight")
        found.append(Destination(str(backend.need("service")), weight, fields=backend))
    return _some(spec, "backends", found)


# --- Argo Rollouts: Rollout ---


def _rollout(document: Fields, asked: Asked) -> list[Destination]:
    spec = document.fields("spec")
    canary = spec.fields("strategy").fields("canary")
    if not canary.names():
        raise spec.error("there is no canary strategy in it: no weights", "strategy")
    steps = list(canary.each("steps"))
    most = canary.fields("trafficRouting").take("maxTrafficWeight", int, 100)
    status = document.fields("status")
    index = status.take("currentStepIndex", int, 0)
    weight = 0
    for step in steps[: index + 1]:
        if "setWeight" in step.names():
            weight = step.need("setWeight", int)
            if not 0 <= weight <= most:
                raise step.error(f"the weight is not from 0 to {most}: {weight}", "setWeight")
    # Past its last step all is the new version's, which is the stable one from then on.
    if index >= len(steps) or status.take("abort", bool, False):
        weight = 0
    stable = str(canary.take("stableService", str, "stable"))
    return [
        Destination(stable, most - weight),
        Destination(str(canary.take("canaryService", str, "canary")), weight),
    ]


# --- Flagger: Canary ---


def _flagger(document: Fields, asked: Asked) -> list[Destination]:
    spec = document.fields("spec")
    name = spec.fields("service").take("name", str) or spec.fields("targetRef").need("name")
    status = document.fields("status")
    weight = status.take("canaryWeight", int, 0)
    if not 0 <= weight <= 100:
        raise status.error(f"the weight is not from 0 to 100: {weight}", "canaryWeight")
    if status.take("phase", str, "") in {"Succeeded", "Initialized", "Failed", "Finalising"}:
        weight = 0
    return [Destination(f"{name}-primary", 100 - weight), Destination(f"{name}-canary", weight)]


_ISTIO = "networking.istio.io"
_READERS = {
    (_ISTIO, "VirtualService"): _virtual_service,
    ("gateway.networking.k8s.io", "HTTPRoute"): _http_route,
    ("split.smi-spec.io", "TrafficSplit"): _traffic_split,
    ("argoproj.io", "Rollout"): _rollout,
    ("flagger.app", "Canary"): _flagger,
}
