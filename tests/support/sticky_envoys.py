"""A real Envoy that keeps users on a version: by a cookie that it sets, or by a header."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.support.gateways import free_port
from tests.support.raw_envoys import FILTERS, HTTP, running_envoy

BY_COOKIE = {"cookie": {"name": "user", "ttl": "3600s", "path": "/"}}
BY_HEADER = {"header": {"header_name": "X-User"}}


def _address(port: int) -> dict[str, Any]:
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}


def _cluster(weights: dict[int, int]) -> dict[str, Any]:
    endpoints = []
    for port, weight in weights.items():
        endpoint = {"address": _address(port)}
        endpoints.append({"endpoint": endpoint, "load_balancing_weight": weight})
    return {
        "name": "color",
        "type": "STATIC",
        "connect_timeout": "1s",
        "lb_policy": "MAGLEV",
        "load_assignment": {"cluster_name": "color", "endpoints": [{"lb_endpoints": endpoints}]},
    }


def _listener(port: int, hash_policy: dict[str, Any]) -> dict[str, Any]:
    action = {"cluster": "color", "hash_policy": [hash_policy]}
    route = {"match": {"prefix": "/"}, "route": action}
    router = {"@type": f"{FILTERS}.router.v3.Router"}
    manager = {
        "@type": f"{HTTP}.HttpConnectionManager",
        "stat_prefix": "gateway",
        "route_config": {"virtual_hosts": [{"name": "c", "domains": ["*"], "routes": [route]}]},
        "http_filters": [{"name": "envoy.filters.http.router", "typed_config": router}],
    }
    chain = {"filters": [{"name": "http", "typed_config": manager}]}
    return {"address": _address(port), "filter_chains": [chain]}


@contextlib.contextmanager
def sticky_envoy(
    directory: Path, hash_policy: dict[str, Any], weights: dict[int, int]
) -> Iterator[str]:
    """A running Envoy in front of ports with these weights, by a consistent hash; the base URL."""
    port = free_port("127.0.0.1")
    resources = {"listeners": [_listener(port, hash_policy)], "clusters": [_cluster(weights)]}
    with running_envoy(directory, port, resources) as url:
        yield url
