"""What the manifests describe: gateways, routes, services, subsets and deployments."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from lab.fields import Fields, LabError, documents

CLUSTER_DOMAIN = "svc.cluster.local"


@dataclass(frozen=True)
class Matcher:
    """How a string is matched: `kind` is exact, prefix, regex, or present (header is there)."""

    kind: str
    value: str


@dataclass(frozen=True)
class Match:
    """One way for a request to be meant; `headers` and `without` by lower-case header name."""

    path: Matcher | None = None
    headers: tuple[tuple[str, Matcher], ...] = ()
    without: tuple[tuple[str, Matcher], ...] = ()
    ignore_case: bool = False


@dataclass(frozen=True)
class Destination:
    """Where a route leads: a service's subset ("" for all of it), on a port of the service."""

    service: str
    subset: str
    port: int
    weight: int


@dataclass(frozen=True)
class Rule:
    """Requests that match any of `matches` (all requests where there are none) and go there."""

    matches: tuple[Match, ...]
    destinations: tuple[Destination, ...]


@dataclass(frozen=True)
class VirtualService:
    """Rules for hosts, on gateways."""

    name: str
    hosts: tuple[str, ...]
    gateways: tuple[str, ...]
    rules: tuple[Rule, ...]


@dataclass(frozen=True)
class Service:
    """Ports of a service lead to ports of the pods with its labels.

    `node_port` is the port of it that every node opens, 0 where none does.
    """

    name: str
    selector: dict[str, str]
    ports: dict[int, int | str]
    node_port: int = 0


@dataclass(frozen=True)
class Deployment:
    """Replicas of one Color process; `ports` are the container's, by name where it has one."""

    name: str
    labels: dict[str, str]
    replicas: int
    environment: dict[str, str]
    ports: dict[str, int]


@dataclass
class System:
    """All of it."""

    gateways: dict[str, tuple[str, ...]] = field(default_factory=dict)  # name → hosts
    virtual_services: list[VirtualService] = field(default_factory=list)
    services: dict[str, Service] = field(default_factory=dict)
    subsets: dict[tuple[str, str], dict[str, str]] = field(default_factory=dict)
    deployments: list[Deployment] = field(default_factory=list)

    def members(self, destination: Destination) -> list[Deployment]:
        """The deployments whose pods a destination leads to."""
        service = self.services[destination.service]
        labels = dict(service.selector)
        if destination.subset:
            labels |= self.subsets[destination.service, destination.subset]
        target = service.ports[destination.port]
        return [
            deployment
            for deployment in self.deployments
            if labels.items() <= deployment.labels.items()
            and (target in deployment.ports or target in deployment.ports.values())
        ]


def read_system(files: Iterable[Path]) -> System:
    """The system that manifests describe. Raises LabError for what the lab cannot translate."""
    system = System()
    later: list[Fields] = []
    for file in files:
        for document in documents(file):
            kind = document.need("kind")
            group = document.need("apiVersion").rpartition("/")[0]
            if (group, kind) not in _READERS:
                raise document.error(f"the lab cannot translate a {kind} of {group or 'v1'}")
            if kind in {"VirtualService", "DestinationRule"}:
                later.append(document)  # they name services, which may stand further down
            else:
                _READERS[group, kind](document, system)
    for document in sorted(later, key=lambda document: document.need("kind")):
        group = document.need("apiVersion").rpartition("/")[0]
        _READERS[group, document.need("kind")](document, system)
    if not system.gateways or not system.virtual_services:
        raise LabError("the manifests have no Gateway with a VirtualService: nothing to ask")
    return system


def _metadata(document: Fields) -> tuple[str, dict[str, str]]:
    metadata = document.fields("metadata")
    name, labels = metadata.need("name"), metadata.labels("labels")
    metadata.ignore("annotations")
    namespace = metadata.take("namespace", str, "default")
    if namespace != "default":
        raise metadata.error("the lab has no namespace but default", "namespace")
    metadata.done()
    return str(name), labels


def _gateway(document: Fields, system: System) -> None:
    name, _ = _metadata(document)
    spec = document.fields("spec")
    spec.ignore("selector")
    hosts: list[str] = []
    for server in spec.each("servers"):
        port = server.fields("port")
        if port.need("protocol") not in {"HTTP", "HTTP2"}:
            raise port.error("the lab's gateway speaks plain HTTP only", "protocol")
        port.ignore("number", "name", "targetPort")  # the lab takes a free port
        port.done()
        server.ignore("name")
        hosts += [host.rpartition("/")[2] for host in server.strings("hosts")]
        server.done()
    if not hosts:
        raise spec.error("a gateway needs servers with hosts")
    spec.done()
    document.done()
    system.gateways[name] = tuple(hosts)


def _service(document: Fields, system: System) -> None:
    name, _ = _metadata(document)
    spec = document.fields("spec")
    kind = spec.take("type", str, "ClusterIP")
    if kind not in {"ClusterIP", "NodePort"}:
        raise spec.error(f"the lab cannot translate a Service of type {kind}", "type")
    ports: dict[int, int | str] = {}
    for port in spec.each("ports"):
        number = port.need("port", int)
        ports[number] = port.take("targetPort", (int, str), number)
        port.ignore("name", "protocol", "appProtocol", "nodePort")
        port.done()
    if not ports:
        raise spec.error("a service needs ports")
    node_port = next(iter(ports)) if kind == "NodePort" else 0
    system.services[name] = Service(name, spec.labels("selector"), ports, node_port)
    spec.done()
    document.done()


def _destination_rule(document: Fields, system: System) -> None:
    _metadata(document)
    spec = document.fields("spec")
    service = _service_name(spec, "host", system)
    for subset in spec.each("subsets"):
        system.subsets[service, subset.need("name")] = subset.labels("labels")
        subset.done()
    spec.done()
    document.done()


def _service_name(fields: Fields, name: str, system: System) -> str:
    """The service that a host names, in any of the forms that Istio allows."""
    host = str(fields.need(name))
    short = host.removesuffix("." + CLUSTER_DOMAIN).removesuffix(".default")
    if short not in system.services:
        raise fields.error(f"{host} is no Service in these manifests", name)
    return short


def _virtual_service(document: Fields, system: System) -> None:
    name, _ = _metadata(document)
    spec = document.fields("spec")
    hosts = spec.strings("hosts")
    gateways = [gateway.removeprefix("default/") for gateway in spec.strings("gateways")]
    for gateway in gateways:
        if gateway != "mesh" and gateway not in system.gateways:
            raise spec.error(f"{gateway} is no Gateway in these manifests", "gateways")
    if not hosts or not gateways:
        raise spec.error("hosts and gateways are needed: without, it is not for a gateway")
    served = [host for gateway in gateways for host in system.gateways.get(gateway, ())]
    for host in hosts:
        if not any(_covers(wider, host) for wider in served):
            raise spec.error(f"no gateway of it serves the host {host}", "hosts")
    rules = tuple(_rule(rule, system) for rule in spec.each("http"))
    if not rules:
        raise spec.error("http is missing: the lab translates HTTP routes")
    spec.done()
    document.done()
    system.virtual_services.append(VirtualService(name, tuple(hosts), tuple(gateways), rules))


def _covers(wider: str, host: str) -> bool:
    return wider in {"*", host} or (wider.startswith("*.") and host.endswith(wider[1:]))


def _rule(rule: Fields, system: System) -> Rule:
    rule.ignore("name")
    matches = tuple(_match(match) for match in rule.each("match"))
    routes = list(rule.each("route"))
    destinations = tuple(_destination(route, system, alone=len(routes) == 1) for route in routes)
    if not destinations:
        raise rule.error("route is missing")
    # One destination gets everything, whatever its weight says; among several, 0 gets nothing.
    if len(destinations) > 1 and not any(d.weight for d in destinations):
        raise rule.error("all weights are zero: at least one destination must get traffic", "route")
    rule.done()
    return Rule(matches, destinations)


def _destination(route: Fields, system: System, *, alone: bool) -> Destination:
    target = route.fields("destination")
    service = _service_name(target, "host", system)
    ports = system.services[service].ports
    port = target.fields("port")
    number = port.take("number", int)
    port.done()
    if number is None:
        if len(ports) > 1:
            raise target.error(f"{service} has several ports: say which by port.number", "host")
        number = next(iter(ports))
    if number not in ports:
        raise target.error(f"{service} has no port {number}", "port")
    subset = target.take("subset", str, "")
    if subset and (service, subset) not in system.subsets:
        raise target.error(f"no DestinationRule gives {service} a subset {subset}", "subset")
    target.done()
    weight = route.take("weight", int, 100 if alone else 0)
    if weight < 0:
        raise route.error(f"the weight is negative: {weight}", "weight")
    route.done()
    return Destination(service, subset, number, weight)


def _match(match: Fields) -> Match:
    match.ignore("name")
    path = _matcher(match, "uri") if "uri" in match.names() else None
    headers = match.fields("headers")
    found = tuple((name.lower(), _matcher(headers, name)) for name in headers.names())
    without = match.fields("withoutHeaders")
    unwanted = tuple((name.lower(), _matcher(without, name)) for name in without.names())
    ignore_case = match.take("ignoreUriCase", bool, False)
    match.done()
    return Match(path, found, unwanted, ignore_case)


def _matcher(fields: Fields, name: str) -> Matcher:
    inner = fields.fields(name)
    if not inner.names():
        if name == "uri":
            raise fields.error("exactly one way to match belongs here", name)
        return Matcher("present", "")
    kind, value = inner.only()
    if kind not in {"exact", "prefix", "regex"}:
        raise inner.error("the lab matches by exact, prefix or regex", kind)
    if kind == "regex":
        try:
            re.compile(value)  # Envoy's RE2 says the rest
        except re.error as error:
            raise inner.error(f"no regular expression: {error}", kind) from None
    return Matcher(kind, value)


def _deployment(document: Fields, system: System) -> None:
    name, _ = _metadata(document)
    spec = document.fields("spec")
    replicas = spec.take("replicas", int, 1)
    if not 0 <= replicas <= 20:
        raise spec.error(f"{replicas} replicas are too many for one machine", "replicas")
    selector = spec.fields("selector")
    wanted = selector.labels("matchLabels")
    selector.done()
    template = spec.fields("template")
    metadata = template.fields("metadata")
    labels = metadata.labels("labels")
    metadata.ignore("annotations")
    metadata.done()
    if not wanted.items() <= labels.items():
        raise spec.error("the selector does not match the template's labels", "selector")
    pod = template.fields("spec")
    pod.ignore("imagePullSecrets", "securityContext", "serviceAccountName", "nodeSelector")
    pod.ignore("terminationGracePeriodSeconds", "affinity", "tolerations")
    containers = list(pod.each("containers"))
    if len(containers) != 1:
        raise pod.error("the lab runs one container a pod, the Color application", "containers")
    environment, ports = _container(containers[0])
    pod.done()
    template.done()
    spec.ignore("strategy", "revisionHistoryLimit", "minReadySeconds")
    spec.done()
    document.done()
    system.deployments.append(Deployment(name, labels, replicas, environment, ports))


def _container(container: Fields) -> tuple[dict[str, str], dict[str, int]]:
    """Environment and ports. The image is not looked at: the lab runs color/app.py."""
    environment = {}
    for variable in container.each("env"):
        environment[variable.need("name")] = variable.take("value", str, "")
        variable.done()
    ports = {}
    for port in container.each("ports"):
        number = port.need("containerPort", int)
        ports[port.take("name", str, str(number))] = number
        port.ignore("protocol")
        port.done()
    container.ignore("name", "image", "imagePullPolicy", "resources", "securityContext")
    container.ignore("readinessProbe", "livenessProbe", "startupProbe")
    container.done()
    return environment, ports


_ISTIO = "networking.istio.io"
_READERS = {
    (_ISTIO, "Gateway"): _gateway,
    (_ISTIO, "VirtualService"): _virtual_service,
    (_ISTIO, "DestinationRule"): _destination_rule,
    ("", "Service"): _service,
    ("apps", "Deployment"): _deployment,
}
