"""Which of a Gateway's servers or listeners is asked."""

from __future__ import annotations

from typing import Any, cast

import pytest

from trafficsplit.errors import ClusterError
from trafficsplit.weights.cluster import KINDS, Access, Resource, gateways_of

Server = dict[str, Any]


class Objects:
    """Stands for a cluster's API: it has some objects, by path."""

    def __init__(self, **objects: Any) -> None:
        self._objects = {
            "/apis/networking.istio.io/v1/namespaces/shop/gateways/edge": objects.get("istio"),
            "/apis/gateway.networking.k8s.io/v1/namespaces/shop/gateways/edge": objects.get("api"),
            "/api/v1/services": {"items": objects.get("services", [])},
        }

    def get(self, path: str, what: str) -> Any:
        return self._objects[path]


def server(port: int, protocol: str, *hosts: str, redirect: bool = False) -> Server:
    found: Server = {"port": {"number": port, "protocol": protocol}, "hosts": list(hosts)}
    if redirect:
        found["tls"] = {"httpsRedirect": True}
    return found


def url_of(servers: list[Server], *hosts: str) -> str:
    """Return where a VirtualService for some hosts is asked."""
    ports = [{"port": one["port"]["number"]} for one in servers]
    service = {
        "metadata": {"name": "edge", "namespace": "istio-system"},
        "spec": {"type": "LoadBalancer", "selector": {"istio": "edge"}, "ports": ports},
        "status": {"loadBalancer": {"ingress": [{"ip": "192.0.2.1"}]}},
    }
    gateway = {"spec": {"selector": {"istio": "edge"}, "servers": servers}}
    route = {
        "apiVersion": "networking.istio.io/v1",
        "metadata": {"name": "color", "namespace": "shop"},
        "spec": {"hosts": list(hosts), "gateways": ["edge"]},
    }
    resource = Resource(KINDS["virtual_service"], "shop", "color", "", route, [])
    access = cast("Access", Objects(istio=gateway, services=[service]))
    return gateways_of(access, resource).hosts[0]


def test_a_server_that_sends_all_to_https_is_not_asked() -> None:
    servers = [server(80, "HTTP", "*", redirect=True), server(443, "HTTPS", "*")]
    assert url_of(servers, "shop.example.com") == "https://shop.example.com"


def test_the_server_for_the_host_is_asked() -> None:
    servers = [
        server(80, "HTTP", "other.example.com"),
        server(8080, "HTTP", "shop/*.example.com"),
        server(8443, "HTTPS", "*"),
    ]
    assert url_of(servers, "shop.example.com") == "http://shop.example.com:8080"
    assert url_of(servers, "shop.example.org") == "https://shop.example.org:8443"
    assert url_of(servers, "*") == "http://192.0.2.1"


def listener(name: str, port: int, hostname: str = "", protocol: str = "HTTP") -> Server:
    found: Server = {"name": name, "port": port, "protocol": protocol}
    if hostname:
        found["hostname"] = hostname
    return found


LISTENERS = [
    listener("other", 80, "other.example.com"),
    listener("wild", 8080, "*.example.com"),
    listener("tls", 443, "shop.example.org", "HTTPS"),
    listener("tcp", 9000, protocol="TCP"),
]


def route_url(*hostnames: str, **reference: Any) -> str:
    gateway: dict[str, Any] = {
        "spec": {"listeners": LISTENERS},
        "status": {"addresses": [{"value": "192.0.2.1"}]},
    }
    route = {
        "apiVersion": "gateway.networking.k8s.io/v1",
        "metadata": {"name": "color", "namespace": "shop"},
        "spec": {"hostnames": list(hostnames), "parentRefs": [{"name": "edge", **reference}]},
    }
    resource = Resource(KINDS["http_route"], "shop", "color", "", route, [])
    return gateways_of(cast("Access", Objects(api=gateway)), resource).hosts[0]


def test_the_listener_for_the_hostname_is_asked() -> None:
    assert route_url("shop.example.com") == "http://shop.example.com:8080"
    assert route_url("shop.example.org") == "https://shop.example.org"
    assert route_url("other.example.com") == "http://other.example.com"
    assert route_url() == "http://192.0.2.1"


def test_the_section_or_the_port_of_the_reference_decides() -> None:
    assert route_url("other.example.com", sectionName="wild") == "http://other.example.com:8080"
    assert route_url("shop.example.com", port=8080) == "http://shop.example.com:8080"
    for reference in ({"sectionName": "tcp"}, {"port": 9000}, {"sectionName": "none"}):
        with pytest.raises(ClusterError, match="no listener for HTTP and the hosts of"):
            route_url("shop.example.com", **reference)
