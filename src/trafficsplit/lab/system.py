"""What the manifests describe: gateways, routes, services, subsets and deployments.

Read strictly: every field is either understood or refused, by name and line.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from trafficsplit.errors import LabError
from trafficsplit.weights.fields import Fields, documents_of_files
from trafficsplit.weights.istio import Match, Matcher, Rule, VirtualService, read_virtual_service
from trafficsplit.weights.routes import (
    Destination,
    compile_pattern,
    kind_of,
    short,
)

ISTIO = "networking.istio.io"
MOST_REPLICAS = 20  # of a deployment, on one machine


@dataclass(frozen=True)
class Backend:
    """Where a route leads: a service's subset ("" for all of it), on a port of the service."""

    service: str
    subset: str
    port: int
    weight: int


@dataclass(frozen=True)
class Routed:
    """Requests that match any of `matches` (all requests where there are none), and their ways."""

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
    """All of it; `gateways` are hosts by name, `subsets` labels by service and subset."""

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
        target = service.ports[backend.port]
        return [
            deployment
            for deployment in self.deployments
            if labels.items() <= deployment.labels.items() and _opens(deployment, target)
        ]


def _opens(deployment: Deployment, port: int | str) -> bool:
    return port in deployment.ports or port in deployment.ports.values()


def read_system(files: Iterable[Path]) -> System:
    """Return the system that manifests describe. Raises InputError for what has no translation."""
    system = System()
    found = documents_of_files(files)
    for document in found:
        if kind_of(document) not in _READERS:
            group, kind = kind_of(document)
            raise document.error(f"the lab cannot translate a {kind} of {group or 'v1'}")
    # Services first, then subsets of them, then routes to both, wherever they stand.
    for group_and_kind, read in _READERS.items():
        for document in found:
            if kind_of(document) == group_and_kind:
                read(document, system)
    if not system.gateways or not system.routings:
        raise LabError("the manifests have no Gateway with a VirtualService: nothing to ask")
    return system


def done(*every: Fields) -> None:
    """Refuse the fields that nobody has taken. Raises InputError."""
    for fields in every:
        for name in fields.left:
            raise fields.error("the lab cannot translate this: take it out, or use a cluster", name)


def _take_metadata(document: Fields) -> str:
    """Return a resource's name."""
    metadata = document.fields("metadata")
    name = str(metadata.need("name"))
    metadata.ignore("annotations", "labels")
    if metadata.text("namespace", "default") != "default":
        raise metadata.error("the lab has no namespace but default", "namespace")
    done(metadata)
    return name


def _gateway(document: Fields, system: System) -> None:
    name = _take_metadata(document)
    spec = document.fields("spec")
    spec.ignore("selector")
    hosts: list[str] = []
    for server in spec.each("servers"):
        port = server.fields("port")
        if port.need("protocol") not in {"HTTP", "HTTP2"}:
            raise port.error("the lab's gateway speaks plain HTTP only", "protocol")
        port.ignore("number", "name", "targetPort")  # the lab takes a free port
        server.ignore("name")
        hosts += [host.rpartition("/")[2] for host in server.strings("hosts")]
        done(port, server)
    if not hosts:
        raise spec.error("a gateway needs servers with hosts")
    done(spec, document)
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
        done(port)
    if not ports:
        raise spec.error("a service needs ports")
    node_port = next(iter(ports)) if kind == "NodePort" else 0
    system.services[name] = Service(name, spec.labels("selector"), ports, node_port)
    done(spec, document)


def _destination_rule(document: Fields, system: System) -> None:
    _take_metadata(document)
    spec = document.fields("spec")
    service = _known_service(spec, str(spec.need("host")), system)
    for subset in spec.each("subsets"):
        system.subsets[service, subset.need("name")] = subset.labels("labels")
        done(subset)
    done(spec, document)


def _known_service(fields: Fields, host: str, system: System) -> str:
    """Return the service that a host names, in any of the forms that Istio allows."""
    name = short(host).removesuffix(".default")
    if name not in system.services:
        raise fields.error(f"{host} is no Service in these manifests", "host")
    return name


def _virtual_service(document: Fields, system: System) -> None:
    name = _take_metadata(document)
    found = read_virtual_service(document)
    spec = found.spec
    gateways = tuple(gateway.removeprefix("default/") for gateway in found.gateways)
    for gateway in gateways:
        if gateway != "mesh" and gateway not in system.gateways:
            raise spec.error(f"{gateway} is no Gateway in these manifests", "gateways")
    if not found.hosts or not gateways:
        raise spec.error("hosts and gateways are needed: without, it is not for a gateway")
    served = [host for gateway in gateways for host in system.gateways.get(gateway, ())]
    for host in found.hosts:
        if not any(_covers(wider, host) for wider in served):
            raise spec.error(f"no gateway of it serves the host {host}", "hosts")
    rules = tuple(_routed(rule, system) for rule in _http_rules(found))
    done(spec, document)
    system.routings.append(Routing(name, found.hosts, gateways, rules))


def _http_rules(found: VirtualService) -> Iterator[Rule]:
    if not found.rules:
        raise found.spec.error("http is missing: the lab translates HTTP routes")
    for rule in found.rules:
        if rule.protocol != "http":
            message = "the lab cannot translate this: take it out, or use a cluster"
            raise found.spec.error(message, rule.protocol)
        yield rule


def _covers(wider: str, host: str) -> bool:
    return wider in {"*", host} or (wider.startswith("*.") and host.endswith(wider[1:]))


def _routed(rule: Rule, system: System) -> Routed:
    rule.fields.ignore("name")
    if not rule.destinations:
        raise rule.fields.error("route is missing")
    backends = tuple(_backend(one, system) for one in rule.destinations)
    # One destination gets everything, whatever its weight says; among several, 0 gets nothing.
    if len(backends) > 1 and not any(backend.weight for backend in backends):
        message = "all weights are zero: at least one destination must get traffic"
        raise rule.fields.error(message, "route")
    for match in rule.matches:
        _check_match(match)
    done(rule.fields)
    return Routed(rule.matches, backends)


def _check_match(match: Match) -> None:
    """Refuse what the lab cannot match by. Raises InputError."""
    match.fields.ignore("name")
    for name in ("method", "scheme", "authority", "queryParams", "sourceLabels"):
        if name in match.fields:
            raise match.fields.error(
                "the lab cannot translate this: take it out, or use a cluster", name
            )
    if match.uri and match.uri.way == "present":
        raise match.fields.error("exactly one way to match belongs here", "uri")
    for matcher in _matchers(match):
        if matcher.way == "regex":
            compile_pattern(matcher.fields, matcher.way, matcher.value)  # Envoy's RE2 says the rest
    done(match.fields)


def _matchers(match: Match) -> Iterator[Matcher]:
    if match.uri:
        yield match.uri
    for _, matcher in (*match.headers, *match.without):
        yield matcher


def _backend(destination: Destination, system: System) -> Backend:
    route = destination.fields
    assert route is not None
    target = route.fields("destination")
    target.ignore("host", "subset")
    service = _known_service(target, destination.host, system)
    port = _port(target, destination, system.services[service])
    subset = destination.subset
    if subset and (service, subset) not in system.subsets:
        raise target.error(f"no DestinationRule gives {service} a subset {subset}", "subset")
    done(target, route)
    return Backend(service, subset, port, int(destination.weight))


def _port(target: Fields, destination: Destination, service: Service) -> int:
    port = target.fields("port")
    port.ignore("number")
    done(port)
    if destination.port:
        if destination.port not in service.ports:
            raise target.error(f"{service.name} has no port {destination.port}", "port")
        return destination.port
    if len(service.ports) > 1:
        raise target.error(f"{service.name} has several ports: say which by port.number", "host")
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
    done(selector, metadata, template, spec, document)
    system.deployments.append(Deployment(name, labels, replicas, environment, ports))


def _pod(pod: Fields) -> tuple[dict[str, str], dict[str, int]]:
    """Return environment and ports of the pod's one container."""
    pod.ignore("imagePullSecrets", "securityContext", "serviceAccountName", "nodeSelector")
    pod.ignore("terminationGracePeriodSeconds", "affinity", "tolerations")
    containers = list(pod.each("containers"))
    if len(containers) != 1:
        raise pod.error("the lab runs one container a pod, the Color application", "containers")
    done(pod)
    return _container(containers[0])


def _container(container: Fields) -> tuple[dict[str, str], dict[str, int]]:
    """Return environment and ports. The image is not looked at: the lab runs color/app.py."""
    environment = {}
    for variable in container.each("env"):
        environment[variable.need("name")] = variable.text("value")
        done(variable)
    ports = {}
    for port in container.each("ports"):
        number = port.need("containerPort", int)
        ports[port.text("name", str(number))] = number
        port.ignore("protocol")
        done(port)
    container.ignore("name", "image", "imagePullPolicy", "resources", "securityContext")
    container.ignore("readinessProbe", "livenessProbe", "startupProbe")
    done(container)
    return environment, ports


_READERS = {
    (ISTIO, "Gateway"): _gateway,
    ("", "Service"): _service,
    ("apps", "Deployment"): _deployment,
    (ISTIO, "DestinationRule"): _destination_rule,
    (ISTIO, "VirtualService"): _virtual_service,
}
