"""Where the gateways of a resource are: by the Service or the Gateway in front of them."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Mapping
from typing import Any

from trafficsplit.errors import ClusterError
from trafficsplit.weights.cluster.access import Access
from trafficsplit.weights.cluster.resources import KINDS, Resource
from trafficsplit.weights.sources import Reached

ISTIO = "networking.istio.io"
GATEWAY_API = "gateway.networking.k8s.io"
DEFAULT_PORTS = {"http": 80, "https": 443}
WAY_OUT = "give --host http://ADDRESS"


def gateways_of(access: Access, resource: Resource, service: str = "") -> Reached:
    """Return how a resource's gateway is reached. `service` is the gateway's own, NAMESPACE/NAME.

    A name that the resource is bound to is asked for by that name. Raises ClusterError.
    """
    scheme, port, hosts = "http", 80, _hosts(resource)
    if service:
        namespace, _, name = service.rpartition("/")
        found = access.get(f"/api/v1/namespaces/{namespace or 'default'}/services/{name}",
                           f"service {service}")  # fmt: skip
        port, addresses = _of_service(access, found, 80)
    elif resource.kind is KINDS["virtual_service"]:
        scheme, port, addresses = _of_istio(access, resource)
    else:
        scheme, port, addresses = _of_gateway_api(access, resource)
    host = next((h for h in hosts if "*" not in h and "." in h), "")
    netloc = host or _bracketed(addresses[0])
    if port != DEFAULT_PORTS[scheme]:
        netloc += f":{port}"
    are_names = not all(_is_address(address) for address in addresses)
    if host and not are_names:
        return Reached((f"{scheme}://{netloc}",), {host: tuple(addresses)})
    if host:
        return Reached((f"{scheme}://{netloc}",))
    suffix = "" if port == DEFAULT_PORTS[scheme] else f":{port}"
    return Reached(tuple(f"{scheme}://{_bracketed(one)}{suffix}" for one in addresses))


def _hosts(resource: Resource) -> list[str]:
    spec = resource.data.get("spec", {})
    return [str(host) for host in spec.get("hosts") or spec.get("hostnames") or []]


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _bracketed(address: str) -> str:
    return f"[{address}]" if ":" in address else address


def _of_istio(access: Access, resource: Resource) -> tuple[str, int, list[str]]:
    """By the Istio Gateway that it is bound to, and the Service of the pods that this selects."""
    names = [n for n in resource.data["spec"].get("gateways") or [] if n != "mesh"]
    if not names:
        raise ClusterError(f"{resource} is bound to no gateway, only to the mesh: {WAY_OUT}")
    namespace, _, name = str(names[0]).rpartition("/")
    namespace = namespace or resource.namespace
    version = str(resource.data["apiVersion"]).rpartition("/")[2]
    gateway = access.get(f"/apis/{ISTIO}/{version}/namespaces/{namespace}/gateways/{name}",
                         f"Gateway {namespace}/{name} that {resource} is bound to")  # fmt: skip
    spec = gateway.get("spec", {})
    scheme, port = "http", 80
    for server in spec.get("servers", []):
        protocol = str(server.get("port", {}).get("protocol", "HTTP")).upper()
        if protocol in {"HTTP", "HTTP2", "GRPC", "HTTPS"}:
            scheme = "https" if protocol == "HTTPS" else "http"
            port = int(server["port"]["number"])
            break
    selector = spec.get("selector") or {}
    services = access.get("/api/v1/services", "to list services in all namespaces").get("items", [])
    refused: ClusterError | None = None
    for service in services:
        labels = service.get("spec", {}).get("selector") or {}
        # Its pods have at least these labels: it is theirs where the Gateway asks for some of them.
        if selector and selector.items() <= labels.items() and "type" in service["spec"]:
            try:
                return (scheme, *_of_service(access, service, port))
            except ClusterError as error:
                refused = error
    if refused:
        raise refused
    wanted = ", ".join(f"{k}={v}" for k, v in selector.items())
    raise ClusterError(
        f"no Service has the pods of Gateway {namespace}/{name} ({wanted}): {WAY_OUT}"
    )


def _of_service(access: Access, service: Mapping[str, Any], port: int) -> tuple[int, list[str]]:
    """Port and addresses of a Service: its load balancer's, else a node's."""
    metadata, spec = service["metadata"], service["spec"]
    title = f"Service {metadata.get('namespace', 'default')}/{metadata['name']}"
    ports = spec.get("ports", [])
    its = next((p for p in ports if p.get("port") == port or p.get("targetPort") == port), None)
    if its is None:
        known = ", ".join(str(p.get("port")) for p in ports) or "none"
        raise ClusterError(f"{title} has no port {port}, but {known}: {WAY_OUT}")
    ingress = service.get("status", {}).get("loadBalancer", {}).get("ingress") or []
    addresses = [str(one.get("ip") or one.get("hostname")) for one in ingress]
    addresses += [str(one) for one in spec.get("externalIPs") or []]
    if addresses:
        return int(its["port"]), addresses
    if "nodePort" in its:
        nodes = access.get("/api/v1/nodes", f"to list nodes, for the node port of {title}")
        if found := sorted(_node_addresses(nodes)):
            return int(its["nodePort"]), [found[0][1]]
    kind = spec.get("type", "ClusterIP")
    raise ClusterError(
        f"{title} (type {kind}) has no address from outside yet: wait for its load balancer, or "
        f"{WAY_OUT}"
    )


def _node_addresses(nodes: Mapping[str, Any]) -> Iterator[tuple[int, str]]:
    order = {"ExternalIP": 0, "InternalIP": 1}
    for node in nodes.get("items", []):
        for address in node.get("status", {}).get("addresses", []):
            if address.get("type") in order:
                yield order[address["type"]], str(address["address"])


def _of_gateway_api(access: Access, resource: Resource) -> tuple[str, int, list[str]]:
    """By the Gateway that an HTTPRoute is attached to: its status has the addresses."""
    parents = [p for p in resource.data["spec"].get("parentRefs") or []
               if p.get("kind", "Gateway") == "Gateway"]  # fmt: skip
    if not parents:
        raise ClusterError(f"{resource} is attached to no Gateway: {WAY_OUT}")
    parent = parents[0]
    namespace, name = str(parent.get("namespace") or resource.namespace), str(parent["name"])
    version = str(resource.data["apiVersion"]).rpartition("/")[2]
    gateway = access.get(f"/apis/{GATEWAY_API}/{version}/namespaces/{namespace}/gateways/{name}",
                         f"Gateway {namespace}/{name} that {resource} is attached to")  # fmt: skip
    addresses = [str(one["value"]) for one in gateway.get("status", {}).get("addresses") or []]
    if not addresses:
        raise ClusterError(f"Gateway {namespace}/{name} has no address yet: wait, or {WAY_OUT}")
    listeners = gateway.get("spec", {}).get("listeners") or []
    section = parent.get("sectionName")
    for one in listeners:
        if one.get("protocol") in {"HTTP", "HTTPS"} and section in {None, one.get("name")}:
            port = int(parent.get("port") or one["port"])
            return str(one["protocol"]).lower(), port, addresses
    raise ClusterError(f"Gateway {namespace}/{name} has no listener for HTTP: {WAY_OUT}")
