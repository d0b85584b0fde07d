"""The location of a resource's gateway: the address of the Service or Gateway in front of it."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from trafficsplit.errors import ClusterError
from trafficsplit.weights.cluster.access import Access
from trafficsplit.weights.cluster.resources import KINDS, Resource
from trafficsplit.weights.routes import meet
from trafficsplit.weights.sources import GatewayLocation

ISTIO = "networking.istio.io"
GATEWAY_API = "gateway.networking.k8s.io"
DEFAULT_PORTS = {"http": 80, "https": 443}
SCHEMES = {"HTTP": "http", "HTTP2": "http", "GRPC": "http", "HTTPS": "https"}  # by protocol
NODE_ADDRESSES = ("ExternalIP", "InternalIP")  # types, the better first
WAY_OUT = "give --host http://ADDRESS"

Object = Mapping[str, Any]  # of Kubernetes' API


@dataclass(frozen=True)
class Listener:
    """The addresses at which a gateway listens, with one scheme and port."""

    scheme: str
    port: int
    addresses: Sequence[str]

    def url(self, host: str) -> str:
        """Return the base URL with this host, a name or an address."""
        netloc = f"[{host}]" if ":" in host else host
        if self.port != DEFAULT_PORTS[self.scheme]:
            netloc += f":{self.port}"
        return f"{self.scheme}://{netloc}"


def gateways_of(access: Access, resource: Resource, service: str = "") -> GatewayLocation:
    """Return the location of a resource's gateway. `service` is the gateway's, NAMESPACE/NAME.

    Where the resource is bound to a host name, the base URL has that name. Raises ClusterError.
    """
    listener = _listener_of(access, resource, service)
    host = _host_name(resource)
    if not host:
        return GatewayLocation(tuple(map(listener.url, listener.addresses)))
    if all(map(_is_address, listener.addresses)):
        return GatewayLocation((listener.url(host),), {host: tuple(listener.addresses)})
    return GatewayLocation((listener.url(host),))


def _listener_of(access: Access, resource: Resource, service: str) -> Listener:
    if service:
        return _service_listener(access, _get_service(access, service), "http", 80)
    if resource.kind is KINDS["virtual_service"]:
        return _istio_listener(access, resource)
    return _gateway_api_listener(access, resource)


def _host_name(resource: Resource) -> str:
    """Return the first full host name without a wildcard, empty where there is none."""
    for name in _hosts_of(resource):
        if "*" not in name and "." in name:
            return name
    return ""


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


# --- Istio: the Gateway that a VirtualService is bound to, and the Service of its pods ---


def _istio_listener(access: Access, resource: Resource) -> Listener:
    gateway, title = _istio_gateway(access, resource)
    spec = gateway.get("spec", {})
    scheme, port = _http_server(spec.get("servers", []), _hosts_of(resource))
    selector = spec.get("selector") or {}
    refusal: ClusterError | None = None
    for service in _services_of_pods(access, selector):
        try:
            return _service_listener(access, service, scheme, port)
        except ClusterError as error:
            refusal = error
    if refusal:
        raise refusal
    wanted = ", ".join(f"{key}={value}" for key, value in selector.items())
    raise ClusterError(f"no Service has the pods of {title} ({wanted}): {WAY_OUT}")


def _istio_gateway(access: Access, resource: Resource) -> tuple[Object, str]:
    """Return the first Gateway that a resource is bound to, and its title in messages."""
    names = [name for name in resource.data["spec"].get("gateways") or [] if name != "mesh"]
    if not names:
        raise ClusterError(f"{resource} is bound to no gateway, only to the mesh: {WAY_OUT}")
    namespace, _, name = str(names[0]).rpartition("/")
    namespace = namespace or resource.namespace
    path = f"/apis/{ISTIO}/{_version(resource)}/namespaces/{namespace}/gateways/{name}"
    title = f"Gateway {namespace}/{name}"
    return access.get(path, f"{title} that {resource} is bound to"), title


def _version(resource: Resource) -> str:
    return str(resource.data["apiVersion"]).rpartition("/")[2]


def _hosts_of(resource: Resource) -> list[str]:
    """Return the host names that a resource is for, with their wildcards."""
    spec = resource.data.get("spec", {})
    return list(map(str, spec.get("hosts") or spec.get("hostnames") or []))


def _http_server(servers: Iterable[Object], hosts: Sequence[str]) -> tuple[str, int]:
    """Return scheme and port of an Istio Gateway's server for HTTP; else the defaults.

    That is the first one that has one of the hosts, and does not send all to https instead.
    """
    fitting = []
    for server in servers:
        protocol = str(server.get("port", {}).get("protocol", "HTTP")).upper()
        redirects = (server.get("tls") or {}).get("httpsRedirect", False)
        if protocol in SCHEMES and not redirects:
            fitting.append((SCHEMES[protocol], int(server["port"]["number"]), server))
    for scheme, port, server in fitting:
        names = [str(name).rpartition("/")[2] for name in server.get("hosts") or ["*"]]
        if _meet(names, hosts):
            return scheme, port
    return fitting[0][:2] if fitting else ("http", 80)


def _meet(some: Sequence[str], others: Sequence[str]) -> bool:
    """Return whether a name of the ones, with wildcards, may be one of the others; none: any."""
    if not some or not others:
        return True
    return meet(some, others)


def _services_of_pods(access: Access, selector: Mapping[str, str]) -> Iterator[Object]:
    """Yield the Services of all namespaces whose pods a selector selects."""
    services = access.get("/api/v1/services", "to list services in all namespaces")
    for service in services.get("items", []):
        # Its pods have at least the labels that it selects them by.
        labels = service.get("spec", {}).get("selector") or {}
        if selector and selector.items() <= labels.items() and "type" in service["spec"]:
            yield service


# --- a Service: its load balancer's addresses, else a node's ---


def _get_service(access: Access, reference: str) -> Object:
    namespace, _, name = reference.rpartition("/")
    path = f"/api/v1/namespaces/{namespace or 'default'}/services/{name}"
    return access.get(path, f"service {reference}")


def _service_listener(access: Access, service: Object, scheme: str, number: int) -> Listener:
    """Return where a Service listens for its port `number`, or for a pod's. Raises ClusterError."""
    metadata = service["metadata"]
    title = f"Service {metadata.get('namespace', 'default')}/{metadata['name']}"
    port = _port(service, number, title)
    addresses = _external_addresses(service)
    if addresses:
        return Listener(scheme, int(port["port"]), addresses)
    if "nodePort" in port:
        nodes = access.get("/api/v1/nodes", f"to list nodes, for the node port of {title}")
        node = _node_address(nodes)
        if node:
            return Listener(scheme, int(port["nodePort"]), [node])
    kind = service["spec"].get("type", "ClusterIP")
    raise ClusterError(
        f"{title} (type {kind}) has no address from outside yet: wait for its load balancer, or "
        f"{WAY_OUT}"
    )


def _port(service: Object, number: int, title: str) -> Object:
    """Return the port of a Service with a number, or that leads to a pod's port with it."""
    ports: list[Object] = service["spec"].get("ports", [])
    for port in ports:
        if number in (port.get("port"), port.get("targetPort")):
            return port
    known = ", ".join(str(port.get("port")) for port in ports) or "none"
    raise ClusterError(f"{title} has no port {number}, but {known}: {WAY_OUT}")


def _external_addresses(service: Object) -> list[str]:
    """Return the addresses of a Service's load balancer, then those that it is given."""
    ingress = service.get("status", {}).get("loadBalancer", {}).get("ingress") or []
    addresses = [str(one.get("ip") or one.get("hostname")) for one in ingress]
    return addresses + list(map(str, service["spec"].get("externalIPs") or []))


def _node_address(nodes: Object) -> str:
    """Return one address of one node, an external one where there is any; empty without one."""
    addresses = []
    for node in nodes.get("items", []):
        for address in node.get("status", {}).get("addresses", []):
            if address.get("type") in NODE_ADDRESSES:
                order = NODE_ADDRESSES.index(address["type"])
                addresses.append((order, str(address["address"])))
    return min(addresses)[1] if addresses else ""


# --- the Gateway API: the Gateway that an HTTPRoute is attached to, whose status has addresses ---


def _gateway_api_listener(access: Access, resource: Resource) -> Listener:
    parent = _parent(resource)
    namespace = str(parent.get("namespace") or resource.namespace)
    name = str(parent["name"])
    title = f"Gateway {namespace}/{name}"
    path = f"/apis/{GATEWAY_API}/{_version(resource)}/namespaces/{namespace}/gateways/{name}"
    gateway = access.get(path, f"{title} that {resource} is attached to")
    addresses = [str(one["value"]) for one in gateway.get("status", {}).get("addresses") or []]
    if not addresses:
        raise ClusterError(f"{title} has no address yet: wait, or {WAY_OUT}")
    for listener in gateway.get("spec", {}).get("listeners") or []:
        if _is_for(listener, parent, _hosts_of(resource)):
            return Listener(str(listener["protocol"]).lower(), int(listener["port"]), addresses)
    raise ClusterError(f"{title} has no listener for HTTP and the hosts of {resource}: {WAY_OUT}")


def _is_for(listener: Object, parent: Object, hosts: Sequence[str]) -> bool:
    """Return whether a listener takes the requests of a route, by its reference and its hosts."""
    if listener.get("protocol") not in {"HTTP", "HTTPS"}:
        return False
    if parent.get("sectionName") not in {None, listener.get("name")}:
        return False
    if parent.get("port") not in {None, listener.get("port")}:
        return False
    name = listener.get("hostname")
    return _meet([str(name)] if name else [], hosts)


def _parent(resource: Resource) -> Object:
    """Return the first reference of an HTTPRoute to a Gateway. Raises ClusterError."""
    for parent in resource.data["spec"].get("parentRefs") or []:
        if parent.get("kind", "Gateway") == "Gateway":
            reference: Object = parent
            return reference
    raise ClusterError(f"{resource} is attached to no Gateway: {WAY_OUT}")
