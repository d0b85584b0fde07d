"""Contour's HTTPProxy: the services of the route that a request takes."""

from __future__ import annotations

from dataclasses import replace

from trafficsplit.errors import InputError
from trafficsplit.weights.fields import Fields
from trafficsplit.weights.routes import (
    ALONE,
    Beside,
    Destination,
    Probe,
    check_weights,
    compile_pattern,
    covers,
    has_prefix,
    weight_in,
)

GROUP = "projectcontour.io"
# Conditions of a header, of which each compares its value with one given.
CONTAINS = ("contains", "notcontains", "exact", "notexact")


def destinations_for(
    document: Fields, probe: Probe, _: Beside = ALONE
) -> list[Destination] | InputError:
    """Return the services of the route that a request takes, or why there is none.

    A service without a weight has 0, and one that is alone gets everything. The longest prefix of
    all routes wins, an exact path before any, and more conditions on headers before fewer. Raises
    InputError.
    """
    spec = document.fields("spec")
    host = spec.fields("virtualhost").text("fqdn")
    if host and probe.host and not covers(host, probe.host_name):
        return spec.error(f"its host is {host}, and not {probe.host}: give --host", "virtualhost")
    best: tuple[tuple[int, int, int], Fields] | None = None
    for route in spec.each("routes"):
        rank = _rank(route, probe)
        if rank is not None and (best is None or rank > best[0]):
            best = rank, route
    if best is None:
        included = (
            " (it includes other proxies, which are not followed)" if "includes" in spec else ""
        )
        return spec.error(
            f"no route of it takes {probe.path} (404){included}: give --path", "routes"
        )
    route = best[1]
    for action in ("requestRedirectPolicy", "directResponsePolicy"):
        if action in route:
            return route.error(f"the gateway answers this request itself ({action})", action)
    return _services(route)


def _services(route: Fields) -> list[Destination]:
    services = []
    for service in route.each("services"):
        if service.take("mirror", bool, False):
            continue
        weight = weight_in(service, 0)
        port = service.take("port", int, 0)
        services.append(Destination(str(service.need("name")), weight, port=port, fields=service))
    if services and not any(service.weight for service in services):
        # Without any weight all have the same.
        services = [replace(service, weight=1) for service in services]
    check_weights(route, "services", services)
    return services


def _rank(route: Fields, probe: Probe) -> tuple[int, int, int] | None:
    """Return how closely a route means a request, None where it does not. Raises InputError."""
    kind, length, headers = 0, 1, 0
    for condition in route.each("conditions"):
        ranked = _path_rank(condition, probe.bare_path)
        if ranked is None or not _header_means(condition.fields("header"), probe):
            return None
        kind, length = max((kind, length), ranked)
        headers += "header" in condition
        if "queryParameter" in condition:
            raise condition.error("conditions on the query are not understood: give --weights")
    return kind, length, headers


def _path_rank(condition: Fields, path: str) -> tuple[int, int] | None:
    prefix = condition.text("prefix")
    if prefix:
        return (0, len(prefix)) if has_prefix(path, prefix) else None
    exact = condition.text("exact")
    if exact:
        return (2, len(exact)) if path == exact else None
    regex = condition.text("regex")
    if regex:
        matches = compile_pattern(condition, "regex", regex).fullmatch(path)
        return (1, len(regex)) if matches else None
    return 0, 0


def _header_means(header: Fields, probe: Probe) -> bool:
    if not header.names():
        return True
    value = probe.headers.get(header.text("name").lower())
    if "present" in header:
        return value is not None
    if "notpresent" in header:
        return value is None
    for kind in CONTAINS:
        if kind in header:
            wanted = header.text(kind)
            there = value is not None and (
                wanted in value if "contains" in kind else wanted == value
            )
            return there != kind.startswith("not")
    regex = header.text("regex")
    if regex:
        pattern = compile_pattern(header, "regex", regex)
        return value is not None and bool(pattern.fullmatch(value))
    raise header.error(f"a condition that is not understood: {', '.join(header.names())}")
