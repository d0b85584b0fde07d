"""Istio's VirtualService as types: the lab translates them, and a request is matched with them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import product

from trafficsplit.errors import InputError
from trafficsplit.weights.fields import PIPED, Fields
from trafficsplit.weights.istio_gateways import why_not_through
from trafficsplit.weights.routes import (
    ALONE,
    Beside,
    Destination,
    Probe,
    check_weights,
    compile_pattern,
    covers,
    namespace_of,
    short,
    weight_in,
)

PROTOCOLS = ("http", "tls", "tcp")
MESH = "mesh"  # instead of a gateway
SYSTEM = "istio-system"  # the namespace of gateways, as a rule
INGRESS = {"istio": "ingressgateway"}  # the labels of their pods, as a rule
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

    `headers` and `without` (headers that must not match) are by lower-case name. `gateways` are
    those that requests have to come through, of which `mesh` is one, empty for all of the
    VirtualService's. `labels` and `namespace` are those of the pods that the requests come from,
    which are the gateway's own at a gateway. `names` are those of TLS, for rules of that protocol.
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
    gateways: tuple[str, ...] = ()
    port: int = 0
    labels: Mapping[str, str] = field(default_factory=dict)
    namespace: str = ""
    names: tuple[str, ...] = ()

    def means(self, probe: Probe, origin: Origin) -> bool:
        """Return whether a request matches that comes from somewhere. Raises InputError."""
        if not self._means_origin(origin) or not self._means_path(probe):
            return False
        # What is not known may match.
        pairs = (
            (self.method, probe.method),
            (self.scheme, probe.scheme),
            (self.authority, probe.host),
        )
        if any(matcher and value and not matcher.matches(value) for matcher, value in pairs):
            return False
        if not _all_match(self.headers, probe.headers) or not _all_match(self.query, probe.query):
            return False
        return not _any_matches(self.without, probe.headers) and self._means_port(probe)

    def _means_path(self, probe: Probe) -> bool:
        if self.uri is None:
            return True
        return self.uri.matches(probe.bare_path, ignore_case=self.ignore_case)

    def _means_origin(self, origin: Origin) -> bool:
        if self.gateways and not origin.is_one_of(self.gateways):
            return False
        if self.namespace and self.namespace != origin.namespace:
            return False
        return self.labels.items() <= origin.labels.items()

    def _means_port(self, probe: Probe) -> bool:
        """Return whether the port is meant. Raises InputError where it is not known."""
        if not self.port:
            return True
        if probe.port:
            return self.port == probe.port
        raise self.fields.error(
            "which port of the gateway is asked is not known, as the address may be another's: "
            "give --host http://NAME:PORT",
            "port",
        )

    def means_connection(self, probe: Probe, origin: Origin) -> bool:
        """Return whether a TLS or TCP connection matches. Raises InputError."""
        if not self._means_origin(origin):
            return False
        if self.names and not any(covers(name, probe.host_name) for name in self.names):
            return False
        return not self.port or not probe.port or self.port == probe.port


@dataclass(frozen=True)
class Origin:
    """Where requests come from: through a gateway, or else from a pod within the mesh.

    `gateways` are those that they may come through, of the VirtualService in question, by
    namespace/name.
    """

    gateways: tuple[str, ...] = ()
    own: str = "default"  # the namespace of the VirtualService
    namespace: str = "default"
    labels: Mapping[str, str] = field(default_factory=dict)

    def is_one_of(self, names: Sequence[str]) -> bool:
        """Return whether requests come through one of some gateways, of which `mesh` is none."""
        if not self.gateways:
            return MESH in names
        full = {full_name(name, self.own) for name in names}
        return bool(full & set(self.gateways))


def full_name(name: str, namespace: str) -> str:
    """Return a resource's name with its namespace: that of the one that names it, by default."""
    return name if "/" in name else f"{namespace}/{name}"


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

    def takes(self, probe: Probe, origin: Origin) -> bool:
        """Return whether a request takes this rule, if it takes none before. Raises InputError."""
        if self.protocol == "tls" and probe.scheme == "http":
            return False
        if not self.matches:
            return True
        if self.protocol == "http":
            return any(match.means(probe, origin) for match in self.matches)
        return any(match.means_connection(probe, origin) for match in self.matches)

    @property
    def catches_all(self) -> bool:
        """Whether every request takes it: among several VirtualServices of a host it is last."""
        return not self.matches or any(map(_catches_all, self.matches))


def _catches_all(match: Match) -> bool:
    conditions = (match.method, match.scheme, match.authority, match.headers, match.without)
    if any(conditions) or match.query or match.port:
        return False
    return match.uri is None or (match.uri.way == "prefix" and match.uri.value == "/")


@dataclass(frozen=True)
class VirtualService:
    """The rules for some hosts on some gateways, in their order; `spec` holds them."""

    spec: Fields
    hosts: tuple[str, ...]
    gateways: tuple[str, ...]
    rules: tuple[Rule, ...]
    namespace: str = "default"
    exported: tuple[str, ...] = ()  # the namespaces that see it, empty for all

    @property
    def outer(self) -> tuple[str, ...]:
        """The gateways that it is for, by namespace/name, the mesh not among them."""
        return tuple(full_name(name, self.namespace) for name in self.gateways if name != MESH)


def read_virtual_service(document: Fields) -> VirtualService:
    """Return a VirtualService as types. Raises InputError."""
    spec = document.fields("spec")
    namespace = namespace_of(document)
    rules = []
    for protocol in PROTOCOLS:
        for rule in spec.each(protocol):
            rules.append(_rule(rule, protocol, namespace))
    return VirtualService(
        spec=spec,
        hosts=tuple(spec.strings("hosts")),
        gateways=tuple(spec.strings("gateways")),
        rules=tuple(rules),
        namespace=namespace,
        exported=tuple(spec.strings("exportTo")),
    )


def _rule(rule: Fields, protocol: str, namespace: str) -> Rule:
    matches = list(rule.each("match"))
    routes = list(rule.each("route"))
    read = _match if protocol == "http" else _connection_match
    destinations = [_destination(route, namespace) for route in routes]
    if len(destinations) == 1:
        # One destination gets everything, whatever its weight says.
        destinations = [replace(destinations[0], weight=100)]
    return Rule(
        fields=rule,
        protocol=protocol,
        matches=tuple(map(read, matches)),
        destinations=tuple(destinations),
        action=next((action for action in ACTIONS if action in rule), ""),
    )


def _destination(route: Fields, namespace: str) -> Destination:
    target = route.fields("destination")
    weight = weight_in(route, 0)
    port = target.fields("port").take("number", int, 0)
    host = short(str(target.need("host")))
    if host.count(".") == 1:  # one service in two spellings is one destination
        host = host.removesuffix(f".{namespace}")
    return Destination(
        host=host,
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
        gateways=tuple(match.strings("gateways")),
        port=int(match.take("port", int, 0)),
        labels=match.labels("sourceLabels"),
        namespace=match.text("sourceNamespace"),
    )


def _connection_match(match: Fields) -> Match:
    return Match(
        fields=match,
        gateways=tuple(match.strings("gateways")),
        port=int(match.take("port", int, 0)),
        labels=match.labels("sourceLabels"),
        namespace=match.text("sourceNamespace"),
        names=tuple(match.strings("sniHosts")),
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


def destinations_for(
    document: Fields, probe: Probe, beside: Beside = ALONE
) -> list[Destination] | InputError:
    """Return where a request goes, or why this resource is not for it. Raises InputError."""
    rule = rule_for(document, probe, beside)
    if isinstance(rule, InputError):
        return rule
    check_weights(rule.fields, "route", rule.destinations)
    return list(rule.destinations)


def rule_for(document: Fields, probe: Probe, beside: Beside = ALONE) -> Rule | InputError:
    """Return the rule that a request takes, or why this resource is not for it.

    Raises InputError.
    """
    service = read_virtual_service(document)
    refusal = _why_not_for(service, probe, beside)
    if refusal is not None:
        return refusal
    if not service.rules:
        raise service.spec.error("there are no rules in it: http, tls or tcp")
    rule = _rule_of(service, probe, beside)
    if rule is None:
        return service.spec.error(f"no rule of it takes {probe.path}", "http")
    if not rule.destinations and rule.protocol == "http":
        instead = rule.action or "nothing"
        error = rule.fields.error(f"the rule that {probe.path} takes has no route, but {instead}")
        if rule.action == "redirect":
            return error
        raise error
    return rule


def _why_not_for(service: VirtualService, probe: Probe, beside: Beside) -> InputError | None:
    """Return why a VirtualService is not for a request, whatever its rules; None if it may be.

    Raises InputError for one that Istio refuses.
    """
    spec = service.spec
    if not service.hosts and beside.delegates:
        return spec.error(
            "it has no hosts: it is a delegate of another one, or a patch: "
            f"kustomize build … | {PIPED}",
            "hosts",
        )
    if "*" in service.hosts and (not service.gateways or MESH in service.gateways):
        raise spec.error("Istio refuses the host * for the mesh: name gateways", "hosts")
    if probe.host and not any(_covers(pattern, probe.host_name) for pattern in service.hosts):
        hosts = ", ".join(service.hosts) or "none"
        return spec.error(f"its hosts ({hosts}) are not {probe.host}: --header 'Host: …'", "hosts")
    if beside.through_gateway and service.hosts and not service.outer:
        return spec.error("it is for the mesh, and another resource is for a gateway", "gateways")
    return why_not_through(service, probe, beside)


def destinations_by_rule(document: Fields) -> list[list[Destination]]:
    """Return where the requests of each HTTP rule go. Raises InputError."""
    rules = read_virtual_service(document).rules
    return [list(rule.destinations) for rule in rules if rule.protocol == "http"]


def is_for_gateway(document: Fields) -> bool:
    """Return whether a VirtualService is for a gateway, perhaps among others."""
    gateways = document.fields("spec").strings("gateways")
    return any(name != MESH for name in gateways)


def _origin(service: VirtualService, beside: Beside) -> Origin:
    """Return where the requests come from that a VirtualService is for."""
    if not service.outer:
        return Origin(own=service.namespace)
    labels = dict(INGRESS)
    for name in service.outer:
        if name in beside.gateways:
            labels = beside.gateways[name].fields("spec").labels("selector")
    return Origin(service.outer, service.namespace, SYSTEM, labels)


def _rule_of(service: VirtualService, probe: Probe, beside: Beside) -> Rule | None:
    origin = _origin(service, beside)
    has_http = any(rule.protocol == "http" for rule in service.rules)
    for rule in service.rules:
        if not rule.takes(probe, origin):
            continue
        if rule.protocol != "http" and has_http and not _names_port(rule, probe):
            continue  # a request for HTTP is no connection of another kind
        if rule.action != "delegate":
            return rule
        found = _delegated(service, rule, probe, beside)
        if found is not None:
            return found
    return None


def _names_port(rule: Rule, probe: Probe) -> bool:
    return any(match.port and match.port == probe.port for match in rule.matches)


def _delegated(service: VirtualService, rule: Rule, probe: Probe, beside: Beside) -> Rule | None:
    """Return the delegate's rule that a request takes, None where none of it fits.

    Raises InputError where the delegate is not in the manifest.
    """
    target = rule.fields.fields("delegate")
    namespace = target.text("namespace") or service.namespace
    name = f"{namespace}/{target.need('name')}"
    if name not in beside.delegates:
        raise rule.fields.error(
            f"the rule that {probe.path} takes has no route, but delegate: VirtualService {name} "
            "is not here",
            "delegate",
        )
    delegate = read_virtual_service(beside.delegates[name])
    origin = _origin(service, beside)
    for own in delegate.rules:
        if own.protocol == "http" and own.takes(probe, origin) and _is_within(own, rule):
            return replace(own, destinations=tuple(_of(own, namespace, service)))
    return None


def _of(rule: Rule, namespace: str, service: VirtualService) -> Iterator[Destination]:
    """Yield the destinations of another namespace's rule, as this one would name them."""
    for destination in rule.destinations:
        host = destination.host
        if "." not in host and namespace != "default":
            host = f"{host}.{namespace}"
        yield replace(destination, host=host)


def _is_within(rule: Rule, root: Rule) -> bool:
    """Return whether a delegate's rule is within the paths of the rule that delegates.

    Istio drops one that is not, without a word.
    """
    outer = [match.uri.value for match in root.matches if match.uri is not None]
    inner = [match.uri.value for match in rule.matches if match.uri is not None]
    if not outer or not inner:
        return True
    return any(path.startswith(prefix) for path, prefix in product(inner, outer))


def _covers(pattern: str, name: str) -> bool:
    """Return whether a host of a VirtualService stands for the host of a request, without port."""
    pattern = short(pattern.rpartition("/")[2]).lower()
    if pattern.startswith("*"):
        return name.endswith(pattern[1:])
    return pattern in {name, short(name), name.split(".")[0]}
