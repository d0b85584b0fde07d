"""A real Envoy that keeps users on a version: by a cookie that it sets, or by a header."""

from __future__ import annotations

import contextlib
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.support.gateways import free_port, is_up
from tests.support.waiting import PATIENCE
from trafficsplit.lab.lab import envoy_path

HTTP = "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3"
FILTERS = "type.googleapis.com/envoy.extensions.filters.http"

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
    config = directory / "sticky-envoy.json"
    config.write_text(json.dumps({"static_resources": resources}))
    log = directory / "sticky-envoy.log"
    command = [
        *(str(envoy_path()), "-c", str(config), "--disable-hot-restart", "--concurrency", "1"),
        *("--log-level", "warning"),
    ]
    with log.open("w") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output)
    try:
        assert is_up(process, "127.0.0.1", port), log.read_text()
        yield f"http://127.0.0.1:{port}"
    finally:
        process.kill()
        process.wait(PATIENCE)
