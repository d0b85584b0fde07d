"""The Gateway API's HTTPRoute: the rule that matches a request most specifically."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterator, Mapping, Sequence

from trafficsplit.errors import InputError
from trafficsplit.weights.fields import Fields
from trafficsplit.weights.routes import (
    Destination,
    Probe,
    check_weights,
    compile_pattern,
    weight_in,
)

# How specific a match is: whether its path is exact, the length of its prefix, whether it has a
# method, and how many headers and query parameters.
Rank = tuple[int, int, int, int, int]
NO_MATCHES: Rank = (0, 1, 0, 0, 0)  # a rule without matches has the prefix "/"


def destinations_for(document: Fields, probe: Probe) -> list[Destination] | InputError:
    """Return where a request goes, or why this resource is not for it. Raises InputError."""
    spec = document.fields("spec")
    hosts = spec.strings("hostnames")
    if hosts and probe.host and not _covered(probe.host_name, hosts):
        return spec.error(
            f"its hostnames ({', '.join(hosts)}) are not {probe.host}: give --header 'Host: …'",
            "hostnames",
        )
    rules = list(spec.each("rules"))
    if not rules:
        raise spec.error("there are no rules in it")
    rule = _most_specific(rules, probe)
    if rule is None:
        return spec.error(f"no rule of it takes {probe.path}", "rules")
    destinations = list(map(_destination, rule.each("backendRefs")))
    check_weights(rule, "backendRefs", destinations)
    return destinations


def destinations_by_rule(document: Fields) -> list[list[Destination]]:
    """Return where the requests of each rule go. Raises InputError."""
    rules = document.fields("spec").each("rules")
    return [list(map(_destination, rule.each("backendRefs"))) for rule in rules]


def _destination(backend: Fields) -> Destination:
    weight = weight_in(backend, 1)
    host = str(backend.need("name"))
    namespace = backend.text("namespace")
    if namespace:
        host = f"{host}.{namespace}"
    return Destination(host, weight, fields=backend)


def _covered(name: str, patterns: Sequence[str]) -> bool:
    """Return whether a host has one of the hostnames, which may begin with a wildcard."""
    for pattern in patterns:
        lower = pattern.lower()
        if name == lower or ("*" in lower and fnmatch.fnmatchcase(name, lower)):
            return True
    return False


def _most_specific(rules: Sequence[Fields], probe: Probe) -> Fields | None:
    """Return the rule that matches a request most specifically; of equals the first."""
    best_rank: Rank | None = None
    best_rule: Fields | None = None
    for rule in rules:
        for rank in _ranks(rule, probe):
            if best_rank is None or rank > best_rank:
                best_rank = rank
                best_rule = rule
    return best_rule


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
        prefix = value.rstrip("/")
        return path == prefix or path.startswith(prefix + "/")
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
