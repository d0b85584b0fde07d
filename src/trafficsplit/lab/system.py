"""The system that manifests describe: gateways, routes, services, subsets and deployments.

Every field is either understood, or refused with its name and line.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from trafficsplit.errors import LabError
from trafficsplit.weights.fields import Fields, documents_of_files
from trafficsplit.weights.istio import (
    PROTOCOLS,
    Match,
    Matcher,
    Rule,
    VirtualService,
    read_virtual_service,
)
from trafficsplit.weights.routes import Destination, compile_pattern, kind_of, short

ISTIO = "networking.istio.io"
MOST_REPLICAS = 20  # of a deployment, on one machine
# Conditions that the lab's one gateway cannot tell apart, or that it has not.
NOT_MATCHED = (
    "method",
    "scheme",
    "authority",
    "queryParams",
    "sourceLabels",
    "sourceNamespace",
    "gateways",
    "port",
)
UNTRANSLATABLE = "the lab cannot translate this: take it out, or use a cluster"


@dataclass(frozen=True)
class Backend:
    """A destination of a route: a service's subset ("" for all of it), on a port of the service."""

    service: str
    subset: str
    port: int
    weight: int


@dataclass(frozen=True)
class Routed:
    """The backends of requests that match any of `matches`, or of all where there are none."""

    matches: tuple[Match, ...]
    backends: tuple[Backend, ...]


@dataclass(frozen=True)
class Routing:
    """The rules of one VirtualService, for hosts on gateways."""

    name: str
    hosts: tuple[str, ...]
    gateways: tuple[str, ...]
    rules: tuple[Routed, ...]


@dataclass(frozen=True)
class Service:
    """A service: `ports` maps its ports to those of the pods that `selector` selects.

    `node_port` is the port of the service that every node opens, 0 where none does.
    """

    name: str
    selector: dict[str, str]
    ports: dict[int, int | str]
    node_port: int = 0


@dataclass(frozen=True)
class Deployment:
    """Replicas of one Color process. `ports` are the container's, by name, or by number as text."""

    name: str
    labels: dict[str, str]
    replicas: int
    environment: dict[str, str]
    ports: dict[str, int]


@dataclass
class System:
    """Everything that the manifests describe.

    `gateways` are the hosts of gateways, by name; `subsets` are labels, by service and subset.
    """

    gateways: dict[str, tuple[str, ...]] = field(default_factory=dict)
    routings: list[Routing] = field(default_factory=list)
    services: dict[str, Service] = field(default_factory=dict)
    subsets: dict[tuple[str, str], dict[str, str]] = field(default_factory=dict)
    deployments: list[Deployment] = field(default_factory=list)

    def members(self, backend: Backend) -> list[Deployment]:
        """Return the deployments whose pods a backend leads to."""
        service = self.services[backend.service]
        labels = dict(service.selector)
        if backend.subset:
            labels |= self.subsets[backend.service, backend.subset]
        port = service.ports[backend.port]
        members = []
        for deployment in self.deployments:
            if labels.items() <= deployment.labels.items() and _opens(deployment, port):
                members.append(deployment)
        return members


def _opens(deployment: Deployment, port: int | str) -> bool:
    """Return whether a deployment's containers open a port, given by name or number."""
    return port in deployment.ports or port in deployment.ports.values()


def read_system(files: Iterable[Path]) -> System:
    """Return the system that manifests describe.

    Raises InputError for a field or a kind that cannot be translated, LabError without a gateway.
    """
    system = System()
    by_kind = _by_kind(documents_of_files(files))
    # Services before subsets of them, and both before routes to them, in whatever order they are.
    for group_and_kind, read in _READERS.items():
        for document in by_kind.get(group_and_kind, ()):
            read(document, system)
    if not system.gateways or not system.routings:
        raise LabError("the manifests have no Gateway with a VirtualService: nothing to ask")
    return system


def _by_kind(documents: Iterable[Fields]) -> dict[tuple[str, str], list[Fields]]:
    """Return documents by API group and kind. Raises InputError for a kind without a reader."""
    by_kind: dict[tuple[str, str], list[Fields]] = {}
    for document in documents:
        group, kind = kind_of(document)
        if (group, kind) not in _READERS:
            raise document.error(f"the lab cannot translate a {kind} of {group or 'v1'}")
        by_kind.setdefault((group, kind), []).append(document)
    return by_kind


def refuse_left(*mappings: Fields) -> None:
    """Refuse the fields that have not been taken. Raises InputError."""
    for fields in mappings:
        for name in fields.left:
            raise fields.error(UNTRANSLATABLE, name)


def _take_metadata(document: Fields) -> str:
    """Take a resource's metadata, and return its name."""
    metadata = document.fields("metadata")
    name = str(metadata.need("name"))
    metadata.ignore("annotations", "labels")
    if metadata.text("namespace", "default") != "default":
        raise metadata.error("the lab has no namespace but default", "namespace")
    refuse_left(metadata)
    return name


def _gateway(document: Fields, system: System) -> None:
    name = _take_metadata(document)
    spec = document.fields("spec")
    spec.ignore("selector")
    hosts: list[str] = []
    numbers: set[int] = set()
    for server in spec.each("servers"):
        port = server.fields("port")
        if port.need("protocol") not in {"HTTP", "HTTP2"}:
            raise port.error("the lab's gateway speaks plain HTTP only", "protocol")
        numbers.add(port.take("number", int, 80))
        if len(numbers) > 1:
            raise port.error("the lab's gateway has one port: servers of several are for a cluster")
        port.ignore("name", "targetPort")  # the lab takes a free port
        server.ignore("name")
        for host in server.strings("hosts"):
            hosts.append(host.rpartition("/")[2])
        refuse_left(port, server)
    if not hosts:
        raise spec.error("a gateway needs servers with hosts")
    refuse_left(spec, document)
    system.gateways[name] = tuple(hosts)


def _service(document: Fields, system: System) -> None:
    name = _take_metadata(document)
    spec = document.fields("spec")
    kind = spec.text("type", "ClusterIP")
    if kind not in {"ClusterIP", "NodePort"}:
        raise spec.error(f"the lab cannot translate a Service of type {kind}", "type")
    ports: dict[int, int | str] = {}
    for port in spec.each("ports"):
        number = port.need("port", int)
        ports[number] = port.take("targetPort", (int, str), number)
        port.ignore("name", "protocol", "appProtocol", "nodePort")
        refuse_left(port)
    if not ports:
        raise spec.error("a service needs ports")
    service = Service(name, spec.labels("selector"), ports)
    if kind == "NodePort":
        service = replace(service, node_port=next(iter(ports)))
    system.services[name] = service
    refuse_left(spec, document)


def _destination_rule(document: Fields, system: System) -> None:
    _take_metadata(document)
    spec = document.fields("spec")
    service = _known_service(spec, str(spec.need("host")), system)
    for subset in spec.each("subsets"):
        system.subsets[service, subset.need("name")] = subset.labels("labels")
        refuse_left(subset)
    refuse_left(spec, document)


def _known_service(fields: Fields, host: str, system: System) -> str:
    """Return the service that a host names, in any of the forms that Istio allows."""
    name = short(host).removesuffix(".default")
    if name not in system.services:
        raise fields.error(f"{host} is no Service in these manifests", "host")
    return name


def _virtual_service(document: Fields, system: System) -> None:
    name = _take_metadata(document)
    service = read_virtual_service(document)
    gateways = _known_gateways(service, system)
    if not service.hosts or not gateways:
        raise service.spec.error("hosts and gateways are needed: without, it is not for a gateway")
    _check_hosts(service, gateways, system)
    rules = []
    for rule in _http_rules(service):
        rules.append(_routed(rule, system))
    refuse_left(service.spec, document)
    system.routings.append(Routing(name, service.hosts, gateways, tuple(rules)))


def _known_gateways(service: VirtualService, system: System) -> tuple[str, ...]:
    """Return the names of the gateways that a VirtualService is bound to. Raises InputError."""
    gateways = []
    for name in service.gateways:
        gateway = name.removeprefix("default/")
        if gateway != "mesh" and gateway not in system.gateways:
            raise service.spec.error(f"{gateway} is no Gateway in these manifests", "gateways")
        gateways.append(gateway)
    return tuple(gateways)


def _check_hosts(service: VirtualService, gateways: Iterable[str], system: System) -> None:
    """Refuse hosts that none of the gateways serves. Raises InputError."""
    served: list[str] = []
    for gateway in gateways:
        served += system.gateways.get(gateway, ())
    for host in service.hosts:
        if not any(_covers(wider, host) for wider in served):
            raise service.spec.error(f"no gateway of it serves the host {host}", "hosts")


def _http_rules(service: VirtualService) -> tuple[Rule, ...]:
    """Return the rules of a VirtualService. Raises InputError where some are not for HTTP."""
    for protocol in PROTOCOLS:
        if protocol != "http" and protocol in service.spec:
            raise service.spec.error(UNTRANSLATABLE, protocol)
    if not service.rules:
        raise service.spec.error("http is missing: the lab translates HTTP routes")
    return service.rules


def _covers(wider: str, host: str) -> bool:
    return wider in {"*", host} or (wider.startswith("*.") and host.endswith(wider[1:]))


def _routed(rule: Rule, system: System) -> Routed:
    rule.fields.ignore("name")
    if not rule.destinations:
        raise rule.fields.error("route is missing")
    backends = []
    for destination in rule.destinations:
        backends.append(_backend(destination, system))
    # One destination gets everything, whatever its weight says; among several, 0 gets nothing.
    if len(backends) > 1 and not any(backend.weight for backend in backends):
        message = "all weights are zero: at least one destination must get traffic"
        raise rule.fields.error(message, "route")
    for match in rule.matches:
        _check_match(match)
    refuse_left(rule.fields)
    return Routed(rule.matches, tuple(backends))


def _check_match(match: Match) -> None:
    """Refuse conditions that the lab cannot match by. Raises InputError."""
    match.fields.ignore("name")
    for name in NOT_MATCHED:
        if name in match.fields:
            raise match.fields.error(UNTRANSLATABLE, name)
    if match.uri and match.uri.way == "present":
        raise match.fields.error("exactly one way to match belongs here", "uri")
    for matcher in _matchers(match):
        if matcher.way == "regex":
            # Envoy's RE2 refuses some more.
            compile_pattern(matcher.fields, matcher.way, matcher.value)
    refuse_left(match.fields)


def _matchers(match: Match) -> Iterator[Matcher]:
    if match.uri:
        yield match.uri
    for _, matcher in (*match.headers, *match.without):
        yield matcher


def _backend(destination: Destination, system: System) -> Backend:
    route = destination.fields
    assert route is not None
    fields = route.fields("destination")
    fields.ignore("host", "subset")
    service = _known_service(fields, destination.host, system)
    port = _port(fields, destination, system.services[service])
    subset = destination.subset
    if subset and (service, subset) not in system.subsets:
        raise fields.error(f"no DestinationRule gives {service} a subset {subset}", "subset")
    refuse_left(fields, route)
    return Backend(service, subset, port, int(destination.weight))


def _port(fields: Fields, destination: Destination, service: Service) -> int:
    """Return the port of a service that a destination means. Raises InputError."""
    port = fields.fields("port")
    port.ignore("number")
    refuse_left(port)
    if destination.port:
        if destination.port not in service.ports:
            raise fields.error(f"{service.name} has no port {destination.port}", "port")
        return destination.port
    if len(service.ports) > 1:
        raise fields.error(f"{service.name} has several ports: say which by port.number", "host")
    return next(iter(service.ports))


def _deployment(document: Fields, system: System) -> None:
    name = _take_metadata(document)
    spec = document.fields("spec")
    replicas = spec.take("replicas", int, 1)
    if not 0 <= replicas <= MOST_REPLICAS:
        raise spec.error(f"{replicas} replicas are too many for one machine", "replicas")
    selector = spec.fields("selector")
    wanted = selector.labels("matchLabels")
    template = spec.fields("template")
    metadata = template.fields("metadata")
    labels = metadata.labels("labels")
    metadata.ignore("annotations")
    if not wanted.items() <= labels.items():
        raise spec.error("the selector does not match the template's labels", "selector")
    environment, ports = _pod(template.fields("spec"))
    spec.ignore("strategy", "revisionHistoryLimit", "minReadySeconds")
    refuse_left(selector, metadata, template, spec, document)
    system.deployments.append(Deployment(name, labels, replicas, environment, ports))


def _pod(pod: Fields) -> tuple[dict[str, str], dict[str, int]]:
    """Return environment and ports of the pod's one container."""
    pod.ignore("imagePullSecrets", "securityContext", "serviceAccountName", "nodeSelector")
    pod.ignore("terminationGracePeriodSeconds", "affinity", "tolerations")
    containers = list(pod.each("containers"))
    if len(containers) != 1:
        raise pod.error("the lab runs one container a pod, the Color application", "containers")
    refuse_left(pod)
    return _container(containers[0])


def _container(container: Fields) -> tuple[dict[str, str], dict[str, int]]:
    """Return environment and ports. The image makes no difference: the lab runs color/app.py."""
    environment = {}
    for variable in container.each("env"):
        environment[variable.need("name")] = variable.text("value")
        refuse_left(variable)
    ports = {}
    for port in container.each("ports"):
        number = port.need("containerPort", int)
        ports[port.text("name", str(number))] = number
        port.ignore("protocol")
        refuse_left(port)
    container.ignore("name", "image", "imagePullPolicy", "resources", "securityContext")
    container.ignore("readinessProbe", "livenessProbe", "startupProbe")
    refuse_left(container)
    return environment, ports


_READERS = {
    (ISTIO, "Gateway"): _gateway,
    ("", "Service"): _service,
    ("apps", "Deployment"): _deployment,
    (ISTIO, "DestinationRule"): _destination_rule,
    (ISTIO, "VirtualService"): _virtual_service,
}
