"""The Gateway API's HTTPRoute: the rule that means a request most specifically."""

from __future__ import annotations

import fnmatch
from collections.abc import Mapping, Sequence

from trafficsplit.errors import InputError
from trafficsplit.weights.fields import Fields
from trafficsplit.weights.routes import Destination, Probe, compiled, some_weight, weight_in

Rank = tuple[int, int, int, int, int]
# A rule without matches is one for the prefix "/".
NO_MATCHES: Rank = (0, 1, 0, 0, 0)


def destinations_for(document: Fields, probe: Probe) -> list[Destination] | InputError:
    """Return where a request goes, or why this resource is not for it. Raises InputError."""
    spec = document.fields("spec")
    hosts = spec.strings("hostnames")
    if hosts and probe.host and not any(_means(host, probe.host_name) for host in hosts):
        return spec.error(
            f"its hostnames ({', '.join(hosts)}) are not {probe.host}: give --header 'Host: …'",
            "hostnames",
        )
    rules = list(spec.each("rules"))
    if not rules:
        raise spec.error("there are no rules in it")
    rule = _best(rules, probe)
    if rule is None:
        return spec.error(f"no rule of it takes {probe.path}", "rules")
    found = [_destination(backend) for backend in rule.each("backendRefs")]
    return some_weight(rule, "backendRefs", found)


def _destination(backend: Fields) -> Destination:
    weight = weight_in(backend, 1)
    name = str(backend.need("name"))
    namespace = backend.text("namespace")
    return Destination(f"{name}.{namespace}" if namespace else name, weight, fields=backend)


def _means(pattern: str, name: str) -> bool:
    """Return whether a hostname means a host: exactly, or by a wildcard for labels at the front."""
    pattern = pattern.lower()
    return fnmatch.fnmatchcase(name, pattern) if "*" in pattern else name == pattern


def _best(rules: Sequence[Fields], probe: Probe) -> Fields | None:
    """Return the rule that means a request most specifically; of equals the first."""
    best: tuple[Rank, Fields] | None = None
    for rule in rules:
        matches = list(rule.each("matches"))
        ranks = [_rank(match, probe) for match in matches] if matches else [NO_MATCHES]
        for rank in ranks:
            if rank is not None and (best is None or rank > best[0]):
                best = (rank, rule)
    return best[1] if best else None


def _rank(match: Fields, probe: Probe) -> Rank | None:
    """Return how specifically a match means a request, None where it does not.

    In the order of the specification of HTTPRouteRule.matches: an exact path, the longest prefix,
    a method, the most headers, the most query parameters.
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
    if not _all_match(headers, lower, lower=True):
        return None
    if not _all_match(queries, probe.query, lower=False):
        return None
    exact = kind == "Exact"
    length = 0 if exact else len(value)
    return (int(exact), length, int(method is not None), len(headers), len(queries))


def _path_matches(wanted: Fields, kind: str, value: str, path: str) -> bool:
    if kind == "Exact":
        return path == value
    if kind == "PathPrefix":
        prefix = value.rstrip("/")
        return path == prefix or path.startswith(prefix + "/")
    if kind == "RegularExpression":
        return bool(compiled(wanted, "value", value).fullmatch(path))
    raise wanted.error(f"no type of match: {kind}", "type")


def _all_match(wanted: Sequence[Fields], values: Mapping[str, str], *, lower: bool) -> bool:
    for one in wanted:
        name = str(one.need("name"))
        text = str(one.need("value"))
        got = values.get(name.lower() if lower else name)
        if got is None:
            return False
        if one.text("type", "Exact") == "RegularExpression":
            if not compiled(one, "value", text).fullmatch(got):
                return False
        elif got != text:
            return False
    return True
