"""Traefik's IngressRoute and TraefikService, with weights."""

from __future__ import annotations

from collections.abc import Iterator

from trafficsplit.errors import InputError
from trafficsplit.weights.fields import Fields
from trafficsplit.weights.routes import (
    ALONE,
    Beside,
    Destination,
    Probe,
    check_weights,
    kind_of,
    name_of,
    weight_in,
)
from trafficsplit.weights.traefik_rules import RuleError, read_rule

GROUP = "traefik.io"
OLD_GROUP = "traefik.containo.us"
DEEPEST = 10  # TraefikServices of TraefikServices


def destinations_of_ingress_route(
    document: Fields, probe: Probe, beside: Beside = ALONE
) -> list[Destination] | InputError:
    """Return the services of the route that a request takes, or why none does.

    The highest priority wins, which is the length of the rule where none is given. Raises
    InputError.
    """
    spec = document.fields("spec")
    best: tuple[int, Fields] | None = None
    for route in spec.each("routes"):
        rule = str(route.need("match"))
        try:
            means = read_rule(rule)
        except RuleError as error:
            raise route.error(f"{error}: give --weights", "match") from None
        priority = route.take("priority", int, 0) or len(rule)
        if means(probe) and (best is None or priority > best[0]):
            best = priority, route
    if best is None:
        asked = f"{probe.host}{probe.path}"
        return spec.error(f"no route of it takes {asked} (404): give --host, --path", "routes")
    services = list(_services(best[1], beside, DEEPEST))
    check_weights(best[1], "services", services)
    return services


def destinations_of_service(
    document: Fields, _: Probe, beside: Beside = ALONE
) -> list[Destination] | InputError:
    """Return the services of a weighted TraefikService. Raises InputError.

    One that an IngressRoute beside it asks for is a part of that.
    """
    for group in (GROUP, OLD_GROUP):
        for route in beside.of_kind(group, "IngressRoute"):
            if name_of(document) in set(_named(route)):
                return document.error(f"it is a part of IngressRoute {name_of(route)}")
    spec = document.fields("spec")
    services = list(_of_service(spec, beside, DEEPEST))
    check_weights(spec, "weighted", services)
    return services


def _named(route: Fields) -> Iterator[str]:
    for one in route.fields("spec").each("routes"):
        for service in one.each("services"):
            if service.text("kind") == "TraefikService":
                yield service.text("name")


def _of_service(spec: Fields, beside: Beside, depth: int) -> Iterator[Destination]:
    if "mirroring" in spec:
        mirrored = spec.fields("mirroring")
        yield Destination(str(mirrored.need("name")), 1)  # copies have no share
        return
    if "weighted" not in spec:
        raise spec.error("it is neither weighted nor mirroring: it gives no weights")
    yield from _services(spec.fields("weighted"), beside, depth)


def _services(place: Fields, beside: Beside, depth: int) -> Iterator[Destination]:
    """Yield the services of a list, each TraefikService in place of which its own stand."""
    for service in place.each("services"):
        weight = weight_in(service, 1)
        name = str(service.need("name"))
        inner = _found(name, beside) if service.text("kind") == "TraefikService" else None
        if inner is None:
            port = service.take("port", (int, str), 0)
            number = port if isinstance(port, int) else 0
            yield Destination(name, weight, port=number, fields=service)
            continue
        if not depth:
            raise service.error("TraefikServices that contain one another", "name")
        parts = list(_of_service(inner.fields("spec"), beside, depth - 1))
        total = sum(part.weight for part in parts)
        for part in parts:
            share = weight * part.weight / total if total else 0.0
            yield Destination(part.host, share, port=part.port)


def _found(name: str, beside: Beside) -> Fields | None:
    for document in beside.every:
        if kind_of(document)[1] == "TraefikService" and name_of(document) == name.split("@")[0]:
            return document
    return None
