"""The Gateway API's HTTPRoute: the rule that matches a request most specifically."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterator, Mapping, Sequence

from trafficsplit.errors import InputError
from trafficsplit.weights.fields import Fields
from trafficsplit.weights.routes import (
    ALONE,
    Beside,
    Destination,
    Probe,
    check_weights,
    compile_pattern,
    has_prefix,
    namespace_of,
    weight_in,
)

# How specific a match is: whether its path is exact, the length of its prefix, whether it has a
# method, and how many headers and query parameters.
Rank = tuple[int, int, int, int, int]
NO_MATCHES: Rank = (0, 1, 0, 0, 0)  # a rule without matches has the prefix "/"
MOST_WEIGHT = 1_000_000  # the API server refuses more
SCHEMES = ("http", "https")


def destinations_for(
    document: Fields, probe: Probe, beside: Beside = ALONE
) -> list[Destination] | InputError:
    """Return where a request goes, or why this resource is not for it. Raises InputError."""
    found = rank_and_rule(document, probe, beside)
    if isinstance(found, InputError):
        return found
    _, rule = found
    destinations = list(map(_destination, rule.each("backendRefs")))
    if not destinations:
        kinds = [one.text("type") for one in rule.each("filters")]
        instead = "a redirect" if "RequestRedirect" in kinds else "nothing"
        return rule.error(
            f"the rule that {probe.path} takes has no backendRefs, but {instead}: it gives no "
            "weights; give the --host or the --path of the request that has some",
            "backendRefs",
        )
    check_weights(rule, "backendRefs", destinations)
    return destinations


def rank_and_rule(
    document: Fields, probe: Probe, beside: Beside = ALONE
) -> tuple[Rank, Fields] | InputError:
    """Return the rule that a request takes, with how specifically it matches, or why none does.

    Raises InputError.
    """
    spec = document.fields("spec")
    hosts = spec.strings("hostnames")
    if hosts and probe.host and not _covered(probe.host_name, hosts):
        return spec.error(
            f"its hostnames ({', '.join(hosts)}) are not {probe.host}: give --header 'Host: …'",
            "hostnames",
        )
    refusal = _why_not_through(document, probe, beside)
    if refusal is not None:
        return refusal
    rules = list(spec.each("rules"))
    if not rules:
        raise spec.error("there are no rules in it")
    found = _most_specific(rules, probe)
    if found is None:
        return spec.error(f"no rule of it takes {probe.path}", "rules")
    return found


def connection_destinations_for(
    document: Fields, probe: Probe, beside: Beside = ALONE
) -> list[Destination] | InputError:
    """Return where connections go by a TCPRoute, a TLSRoute or a UDPRoute. Raises InputError."""
    refusal = _why_not_through(document, probe, beside)
    if refusal is not None:
        return refusal
    spec = document.fields("spec")
    hosts = spec.strings("hostnames")
    if hosts and probe.host and not _covered(probe.host_name, hosts):
        return spec.error(f"its hostnames ({', '.join(hosts)}) are not {probe.host}", "hostnames")
    rules = list(spec.each("rules"))
    if len(rules) != 1:
        raise spec.error("one rule belongs here, as connections have nothing to choose by", "rules")
    destinations = list(map(_destination, rules[0].each("backendRefs")))
    check_weights(rules[0], "backendRefs", destinations)
    return destinations


def grpc_destinations_for(
    document: Fields, probe: Probe, beside: Beside = ALONE
) -> list[Destination] | InputError:
    """Return where a call goes by a GRPCRoute; its path is /SERVICE/METHOD. Raises InputError."""
    spec = document.fields("spec")
    hosts = spec.strings("hostnames")
    if hosts and probe.host and not _covered(probe.host_name, hosts):
        return spec.error(f"its hostnames ({', '.join(hosts)}) are not {probe.host}", "hostnames")
    refusal = _why_not_through(document, probe, beside)
    if refusal is not None:
        return refusal
    best: tuple[tuple[int, int], Fields] | None = None
    for rule in spec.each("rules"):
        for rank in _grpc_ranks(rule, probe):
            if best is None or rank > best[0]:
                best = (rank, rule)
    if best is None:
        return spec.error(f"no rule of it takes {probe.path}", "rules")
    destinations = list(map(_destination, best[1].each("backendRefs")))
    check_weights(best[1], "backendRefs", destinations)
    return destinations


def _grpc_ranks(rule: Fields, probe: Probe) -> Iterator[tuple[int, int]]:
    """Yield how specifically each match of a GRPCRoute's rule matches a call."""
    matches = list(rule.each("matches"))
    if not matches:
        yield 0, 0
    service, _, method = probe.bare_path.strip("/").partition("/")
    lower = {name.lower(): text for name, text in probe.headers.items()}
    for match in matches:
        wanted = match.fields("method")
        exact = wanted.text("type", "Exact") == "Exact"
        names = ((wanted.text("service"), service), (wanted.text("method"), method))
        headers = list(match.each("headers"))
        if all(_is_named(wanted, name, there, exact=exact) for name, there in names) and all(
            _matches(one, lower, ignore_case=True) for one in headers
        ):
            yield sum(len(name) for name, _ in names), len(headers)


def _is_named(wanted: Fields, name: str, there: str, *, exact: bool) -> bool:
    if not name:
        return True
    if exact:
        return name == there
    return bool(compile_pattern(wanted, "method", name).fullmatch(there))


def _why_not_through(document: Fields, probe: Probe, beside: Beside) -> InputError | None:
    """Return why no listener hands a request to a route; None if one may.

    A Gateway that is not in the manifest may have any listeners, but for one that is called http or
    https.
    """
    spec = document.fields("spec")
    parents = [one for one in spec.each("parentRefs") if one.text("kind", "Gateway") == "Gateway"]
    if not parents:
        return None
    for parent in parents:
        namespace = parent.text("namespace") or namespace_of(document)
        gateway = beside.listeners.get(f"{namespace}/{parent.text('name')}")
        section = parent.text("sectionName")
        if gateway is None:
            if section not in SCHEMES or probe.scheme in ("", section):
                return None
            continue
        for listener in gateway.fields("spec").each("listeners"):
            if section in ("", listener.text("name")) and _takes(listener, probe):
                return None
    return spec.error(
        f"no listener of its Gateway takes {probe.scheme or 'http'}://{probe.host or '…'} (404): "
        "give another --host, or --header 'Host: …'",
        "parentRefs",
    )


def _takes(listener: Fields, probe: Probe) -> bool:
    """Return whether a listener takes a request, by protocol, port and hostname."""
    protocol = listener.text("protocol", "HTTP").lower()
    if probe.scheme and protocol in SCHEMES and protocol != probe.scheme:
        return False
    number = listener.take("port", int, 0)
    if probe.port and number and number != probe.port:
        return False
    name = listener.text("hostname")
    return not name or not probe.host or _covered(probe.host_name, [name])


def destinations_by_rule(document: Fields) -> list[list[Destination]]:
    """Return where the requests of each rule go. Raises InputError."""
    rules = document.fields("spec").each("rules")
    return [list(map(_destination, rule.each("backendRefs"))) for rule in rules]


def _destination(backend: Fields) -> Destination:
    weight = weight_in(backend, 1)
    if weight > MOST_WEIGHT:
        raise backend.error(f"a weight is {MOST_WEIGHT:,} at most: {weight}", "weight")
    host = str(backend.need("name"))
    namespace = backend.text("namespace")
    if namespace:
        host = f"{host}.{namespace}"
    port = backend.take("port", int, 0)
    return Destination(host, weight, port=port, fields=backend)


def _covered(name: str, patterns: Sequence[str]) -> bool:
    """Return whether a host has one of the hostnames, which may begin with a wildcard."""
    for pattern in patterns:
        lower = pattern.lower()
        if name == lower or ("*" in lower and fnmatch.fnmatchcase(name, lower)):
            return True
    return False


def _most_specific(rules: Sequence[Fields], probe: Probe) -> tuple[Rank, Fields] | None:
    """Return the rule that matches a request most specifically; of equals the first."""
    best: tuple[Rank, Fields] | None = None
    for rule in rules:
        for rank in _ranks(rule, probe):
            if best is None or rank > best[0]:
                best = (rank, rule)
    return best


def _ranks(rule: Fields, probe: Probe) -> Iterator[Rank]:
    """Yield the ranks of a rule's matches that match a request."""
    matches = list(rule.each("matches"))
    if not matches:
        yield NO_MATCHES
    for match in matches:
        rank = _rank(match, probe)
        if rank is not None:
            yield rank


def _rank(match: Fields, probe: Probe) -> Rank | None:
    """Return how specifically a match matches a request, None where it does not.

    The order is that of the specification of HTTPRouteRule.matches: an exact path, the longest
    prefix, a method, the most headers, the most query parameters.
    """
    wanted = match.fields("path")
    kind = wanted.text("type", "PathPrefix")
    value = wanted.text("value", "/")
    method = match.take("method", str)
    headers = list(match.each("headers"))
    queries = list(match.each("queryParams"))
    lower = {name.lower(): text for name, text in probe.headers.items()}
    if not _path_matches(wanted, kind, value, probe.bare_path):
        return None
    if method is not None and method != probe.method:
        return None
    if not all(_matches(one, lower, ignore_case=True) for one in headers):
        return None
    if not all(_matches(one, probe.query) for one in queries):
        return None
    has_method = int(method is not None)
    if kind == "Exact":
        return 1, 0, has_method, len(headers), len(queries)
    return 0, len(value), has_method, len(headers), len(queries)


def _path_matches(wanted: Fields, kind: str, value: str, path: str) -> bool:
    if kind == "Exact":
        return path == value
    if kind == "PathPrefix":
        return has_prefix(path, value)
    if kind == "RegularExpression":
        return bool(compile_pattern(wanted, "value", value).fullmatch(path))
    raise wanted.error(f"no type of match: {kind}", "type")


def _matches(wanted: Fields, values: Mapping[str, str], *, ignore_case: bool = False) -> bool:
    """Return whether a header or a query parameter has the value that is wanted."""
    name = str(wanted.need("name"))
    if ignore_case:
        name = name.lower()
    text = str(wanted.need("value"))
    value = values.get(name)
    if value is None:
        return False
    if wanted.text("type", "Exact") == "RegularExpression":
        return bool(compile_pattern(wanted, "value", text).fullmatch(value))
    return value == text
