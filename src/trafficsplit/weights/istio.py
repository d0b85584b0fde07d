"""Istio's VirtualService, as types: the lab translates them, and a request is matched with them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from trafficsplit.errors import InputError
from trafficsplit.weights.fields import Fields
from trafficsplit.weights.routes import (
    Destination,
    Probe,
    compiled,
    short,
    some_weight,
    weight_in,
)

PROTOCOLS = ("http", "tls", "tcp")
ACTIONS = ("redirect", "delegate", "directResponse")
WAYS_TO_MATCH = ("exact", "prefix", "regex")
PRESENT = "present"  # a header that is there, whatever its value


@dataclass(frozen=True)
class Matcher:
    """How a string is matched: `way` is `exact`, `prefix`, `regex`, or `present`."""

    way: str
    value: str
    fields: Fields

    def matches(self, value: str | None, *, ignore_case: bool = False) -> bool:
        """Return whether a string matches; None is one that is not there. Raises InputError."""
        if value is None:
            return False
        if self.way == PRESENT:
            return True
        if self.way == "regex":
            text = value.lower() if ignore_case else value
            return bool(compiled(self.fields, self.way, self.value).fullmatch(text))
        if ignore_case:
            return self._plain(value.lower(), self.value.lower())
        return self._plain(value, self.value)

    def _plain(self, value: str, wanted: str) -> bool:
        return value == wanted if self.way == "exact" else value.startswith(wanted)


Matchers = tuple[tuple[str, Matcher], ...]  # by name


@dataclass(frozen=True)
class Match:
    """One way for a request to take a rule; all of it has to hold.

    `headers` and `without` (headers that must not match) are by lower-case name. `in_mesh` says
    that it is for workloads of the mesh, and not for a gateway.
    """

    fields: Fields
    uri: Matcher | None = None
    method: Matcher | None = None
    scheme: Matcher | None = None
    authority: Matcher | None = None
    headers: Matchers = ()
    without: Matchers = ()
    query: Matchers = ()
    ignore_case: bool = False
    in_mesh: bool = False

    def means(self, probe: Probe) -> bool:
        """Return whether a request that comes through a gateway matches. Raises InputError."""
        if self.in_mesh:
            return False
        if self.uri and not self.uri.matches(probe.bare_path, ignore_case=self.ignore_case):
            return False
        if self.method and not self.method.matches(probe.method):
            return False
        # The scheme is not known, and so may match; the authority likewise.
        if self.authority and probe.host and not self.authority.matches(probe.host):
            return False
        query = probe.query
        return (
            all(matcher.matches(probe.headers.get(name)) for name, matcher in self.headers)
            and all(matcher.matches(query.get(name)) for name, matcher in self.query)
            and not any(matcher.matches(probe.headers.get(name)) for name, matcher in self.without)
        )


@dataclass(frozen=True)
class Rule:
    """What happens to requests that match any of `matches`, or to all where there are none.

    `protocol` is one of `PROTOCOLS`; `action` is what it does instead of sending them on, empty
    where it does that.
    """

    fields: Fields
    protocol: str
    matches: tuple[Match, ...]
    destinations: tuple[Destination, ...]
    action: str = ""

    def takes(self, probe: Probe) -> bool:
        """Return whether it is the rule of a request, if none before it is. Raises InputError."""
        if self.protocol != "http" or not self.matches:
            return True
        return any(match.means(probe) for match in self.matches)


@dataclass(frozen=True)
class VirtualService:
    """Rules for hosts, on gateways; in order, `spec` being where they stand."""

    spec: Fields
    hosts: tuple[str, ...]
    gateways: tuple[str, ...]
    rules: tuple[Rule, ...]


def read_virtual_service(document: Fields) -> VirtualService:
    """Return a VirtualService as types. Raises InputError."""
    spec = document.fields("spec")
    rules = []
    for protocol in PROTOCOLS:
        rules += [_rule(rule, protocol) for rule in spec.each(protocol)]
    return VirtualService(
        spec=spec,
        hosts=tuple(spec.strings("hosts")),
        gateways=tuple(spec.strings("gateways")),
        rules=tuple(rules),
    )


def _rule(rule: Fields, protocol: str) -> Rule:
    matches = tuple(rule.each("match"))
    routes = list(rule.each("route"))
    # One destination gets everything, whatever its weight says.
    alone = len(routes) == 1
    return Rule(
        fields=rule,
        protocol=protocol,
        matches=tuple(_match(match) for match in matches) if protocol == "http" else (),
        destinations=tuple(_destination(route, alone=alone) for route in routes),
        action=next((action for action in ACTIONS if action in rule), ""),
    )


def _destination(route: Fields, *, alone: bool) -> Destination:
    target = route.fields("destination")
    weight = weight_in(route, 0)
    port = target.fields("port").take("number", int, 0)
    return Destination(
        host=short(str(target.need("host"))),
        weight=100 if alone else weight,
        subset=target.text("subset"),
        port=port,
        fields=route,
    )


def _match(match: Fields) -> Match:
    return Match(
        fields=match,
        uri=_matcher(match, "uri"),
        method=_matcher(match, "method"),
        scheme=_matcher(match, "scheme"),
        authority=_matcher(match, "authority"),
        headers=_matchers(match, "headers", lower=True),
        without=_matchers(match, "withoutHeaders", lower=True),
        query=_matchers(match, "queryParams", lower=False),
        ignore_case=bool(match.take("ignoreUriCase", bool, False)),
        in_mesh=bool(match.fields("sourceLabels").names()),
    )


def _matchers(match: Fields, name: str, *, lower: bool) -> Matchers:
    inner = match.fields(name)
    found = []
    for key in inner.names():
        matcher = _matcher(inner, key)
        assert matcher
        found.append((key.lower() if lower else key, matcher))
    return tuple(found)


def _matcher(fields: Fields, name: str) -> Matcher | None:
    """Return how a field is to match, None where it is not there."""
    if name not in fields:
        return None
    inner = fields.fields(name)
    if not inner.names():
        return Matcher(PRESENT, "", inner)
    way, value = inner.only()
    if way not in WAYS_TO_MATCH:
        raise inner.error("exact, prefix or regex belongs here", way)
    return Matcher(way, value, inner)


def destinations_for(document: Fields, probe: Probe) -> list[Destination] | InputError:
    """Return where a request goes, or why this resource is not for it. Raises InputError."""
    service = read_virtual_service(document)
    spec = service.spec
    if probe.host and not any(_covers(host, probe) for host in service.hosts):
        hosts = ", ".join(service.hosts) or "none"
        return spec.error(f"its hosts ({hosts}) are not {probe.host}: --header 'Host: …'", "hosts")
    if not service.rules:
        raise spec.error("there are no rules in it: http, tls or tcp")
    rule = _taken(service.rules, probe)
    if rule is None:
        return spec.error(f"no rule of it takes {probe.path}", "http")
    if not rule.destinations and rule.protocol == "http":
        what = rule.action or "nothing"
        raise rule.fields.error(f"the rule that {probe.path} takes has no route, but {what}")
    return some_weight(rule.fields, "route", list(rule.destinations))


def _taken(rules: Sequence[Rule], probe: Probe) -> Rule | None:
    return next((rule for rule in rules if rule.takes(probe)), None)


def _covers(pattern: str, probe: Probe) -> bool:
    """Return whether one of Istio's hosts means the host of a request (without its port)."""
    name = probe.host_name
    pattern = short(pattern.rpartition("/")[2]).lower()
    if pattern.startswith("*"):
        return name.endswith(pattern[1:])
    return pattern in {name, short(name), name.split(".")[0]}
