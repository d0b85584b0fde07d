"""Istio's VirtualService as types: the lab translates them, and a request is matched with them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from trafficsplit.errors import InputError
from trafficsplit.weights.fields import Fields
from trafficsplit.weights.routes import (
    Destination,
    Probe,
    check_weights,
    compile_pattern,
    short,
    weight_in,
)

PROTOCOLS = ("http", "tls", "tcp")
ACTIONS = ("redirect", "delegate", "directResponse")
WAYS_TO_MATCH = ("exact", "prefix", "regex")
PRESENT = "present"  # a fourth way: a header with any value


@dataclass(frozen=True)
class Matcher:
    """How a string is matched: `way` is `exact`, `prefix`, `regex`, or `present`."""

    way: str
    value: str
    fields: Fields

    def matches(self, value: str | None, *, ignore_case: bool = False) -> bool:
        """Return whether a string matches; None is a missing one. Raises InputError."""
        if value is None:
            return False
        if self.way == PRESENT:
            return True
        wanted = self.value
        if ignore_case:
            value = value.lower()
        if self.way == "regex":
            return bool(compile_pattern(self.fields, self.way, wanted).fullmatch(value))
        if ignore_case:
            wanted = wanted.lower()
        if self.way == "exact":
            return value == wanted
        return value.startswith(wanted)


Matchers = tuple[tuple[str, Matcher], ...]  # by name


def _all_match(matchers: Matchers, values: Mapping[str, str]) -> bool:
    return all(matcher.matches(values.get(name)) for name, matcher in matchers)


def _any_matches(matchers: Matchers, values: Mapping[str, str]) -> bool:
    return any(matcher.matches(values.get(name)) for name, matcher in matchers)


@dataclass(frozen=True)
class Match:
    """The conditions of a rule that a request has to meet, all of them.

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
        if self.in_mesh or not self._means_path(probe):
            return False
        if self.method and not self.method.matches(probe.method):
            return False
        # The scheme is not known, and so may match; an unknown authority likewise.
        if self.authority and probe.host and not self.authority.matches(probe.host):
            return False
        if not _all_match(self.headers, probe.headers) or not _all_match(self.query, probe.query):
            return False
        return not _any_matches(self.without, probe.headers)

    def _means_path(self, probe: Probe) -> bool:
        if self.uri is None:
            return True
        return self.uri.matches(probe.bare_path, ignore_case=self.ignore_case)


@dataclass(frozen=True)
class Rule:
    """Where requests go that match any of `matches`, or all requests where there are none.

    `protocol` is one of `PROTOCOLS`. `action` is one of `ACTIONS` where the rule does not send
    requests on, and otherwise empty.
    """

    fields: Fields
    protocol: str
    matches: tuple[Match, ...]
    destinations: tuple[Destination, ...]
    action: str = ""

    def takes(self, probe: Probe) -> bool:
        """Return whether a request takes this rule, if it takes none before. Raises InputError."""
        if self.protocol != "http" or not self.matches:
            return True
        return any(match.means(probe) for match in self.matches)


@dataclass(frozen=True)
class VirtualService:
    """The rules for some hosts on some gateways, in their order; `spec` holds them."""

    spec: Fields
    hosts: tuple[str, ...]
    gateways: tuple[str, ...]
    rules: tuple[Rule, ...]


def read_virtual_service(document: Fields) -> VirtualService:
    """Return a VirtualService as types. Raises InputError."""
    spec = document.fields("spec")
    rules = []
    for protocol in PROTOCOLS:
        for rule in spec.each(protocol):
            rules.append(_rule(rule, protocol))
    return VirtualService(
        spec=spec,
        hosts=tuple(spec.strings("hosts")),
        gateways=tuple(spec.strings("gateways")),
        rules=tuple(rules),
    )


def _rule(rule: Fields, protocol: str) -> Rule:
    matches = list(rule.each("match"))
    routes = list(rule.each("route"))
    conditions = tuple(map(_match, matches)) if protocol == "http" else ()
    destinations = list(map(_destination, routes))
    if len(destinations) == 1:
        # One destination gets everything, whatever its weight says.
        destinations = [replace(destinations[0], weight=100)]
    return Rule(
        fields=rule,
        protocol=protocol,
        matches=conditions,
        destinations=tuple(destinations),
        action=next((action for action in ACTIONS if action in rule), ""),
    )


def _destination(route: Fields) -> Destination:
    target = route.fields("destination")
    weight = weight_in(route, 0)
    port = target.fields("port").take("number", int, 0)
    return Destination(
        host=short(str(target.need("host"))),
        weight=weight,
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
        headers=_lower_names(_matchers(match, "headers")),
        without=_lower_names(_matchers(match, "withoutHeaders")),
        query=_matchers(match, "queryParams"),
        ignore_case=bool(match.take("ignoreUriCase", bool, False)),
        in_mesh=bool(match.fields("sourceLabels").names()),
    )


def _matchers(match: Fields, name: str) -> Matchers:
    inner = match.fields(name)
    matchers = []
    for key in inner.names():
        matcher = _matcher(inner, key)
        assert matcher
        matchers.append((key, matcher))
    return tuple(matchers)


def _lower_names(matchers: Matchers) -> Matchers:
    return tuple((name.lower(), matcher) for name, matcher in matchers)


def _matcher(fields: Fields, name: str) -> Matcher | None:
    """Return how a field is to match, None where it is missing."""
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
    if probe.host and not any(_covers(pattern, probe.host_name) for pattern in service.hosts):
        hosts = ", ".join(service.hosts) or "none"
        return spec.error(f"its hosts ({hosts}) are not {probe.host}: --header 'Host: …'", "hosts")
    if not service.rules:
        raise spec.error("there are no rules in it: http, tls or tcp")
    rule = _rule_of(service.rules, probe)
    if rule is None:
        return spec.error(f"no rule of it takes {probe.path}", "http")
    if not rule.destinations and rule.protocol == "http":
        instead = rule.action or "nothing"
        raise rule.fields.error(f"the rule that {probe.path} takes has no route, but {instead}")
    check_weights(rule.fields, "route", rule.destinations)
    return list(rule.destinations)


def destinations_by_rule(document: Fields) -> list[list[Destination]]:
    """Return where the requests of each HTTP rule go. Raises InputError."""
    rules = read_virtual_service(document).rules
    return [list(rule.destinations) for rule in rules if rule.protocol == "http"]


def _rule_of(rules: Sequence[Rule], probe: Probe) -> Rule | None:
    return next((rule for rule in rules if rule.takes(probe)), None)


def _covers(pattern: str, name: str) -> bool:
    """Return whether a host of a VirtualService stands for the host of a request, without port."""
    pattern = short(pattern.rpartition("/")[2]).lower()
    if pattern.startswith("*"):
        return name.endswith(pattern[1:])
    return pattern in {name, short(name), name.split(".")[0]}
