"""An Envoy of a test's own, with what the lab's has not: faults, time-outs, circuit breakers."""

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


def _cluster(name: str, port: int, most_requests: int) -> dict[str, Any]:
    address = {"socket_address": {"address": "127.0.0.1", "port_value": port}}
    endpoints = [{"lb_endpoints": [{"endpoint": {"address": address}}]}]
    return {
        "name": name,
        "type": "STATIC",
        "connect_timeout": "1s",
        "load_assignment": {"cluster_name": name, "endpoints": endpoints},
        "circuit_breakers": {"thresholds": [{"max_requests": most_requests}]},
    }


def _filters(abort: int) -> list[dict[str, Any]]:
    """Return the HTTP filters, the first of which aborts so many per cent of the requests."""
    percentage = {"numerator": abort, "denominator": "HUNDRED"}
    fault = {
        "@type": f"{FILTERS}.fault.v3.HTTPFault",
        "abort": {"http_status": 503, "percentage": percentage},
    }
    router = {"@type": f"{FILTERS}.router.v3.Router"}
    filters = [{"name": "envoy.filters.http.router", "typed_config": router}]
    if abort:
        filters.insert(0, {"name": "envoy.filters.http.fault", "typed_config": fault})
    return filters


def _listener(port: int, timeout: str, abort: int) -> dict[str, Any]:
    clusters = [{"name": "blue", "weight": 75}, {"name": "green", "weight": 25}]
    action = {"weighted_clusters": {"clusters": clusters}, "timeout": timeout}
    host = {
        "name": "color",
        "domains": ["*"],
        "routes": [{"match": {"prefix": "/"}, "route": action}],
    }
    manager = {
        "@type": f"{HTTP}.HttpConnectionManager",
        "stat_prefix": "gateway",
        "route_config": {"virtual_hosts": [host]},
        "http_filters": _filters(abort),
    }
    chain = {"filters": [{"name": "http", "typed_config": manager}]}
    address = {"socket_address": {"address": "127.0.0.1", "port_value": port}}
    return {"address": address, "filter_chains": [chain]}


@contextlib.contextmanager
def running_envoy(directory: Path, port: int, resources: dict[str, Any]) -> Iterator[str]:
    """A running Envoy with these static resources, which listens at a port; the base URL."""
    config = directory / "envoy-of-a-test.json"
    config.write_text(json.dumps({"static_resources": resources}))
    log = directory / "envoy-of-a-test.log"
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


@contextlib.contextmanager
def raw_envoy(
    directory: Path,
    blue: int,
    green: int,
    *,
    timeout: str = "0s",
    abort: int = 0,
    most_requests: int = 1000,
) -> Iterator[str]:
    """A running Envoy in front of two ports, 75 to 25; the base URL.

    It aborts `abort` per cent of the requests, gives an answer up after `timeout`, and lets
    `most_requests` to green at once.
    """
    port = free_port("127.0.0.1")
    clusters = [_cluster("blue", blue, 1000), _cluster("green", green, most_requests)]
    resources = {"listeners": [_listener(port, timeout, abort)], "clusters": clusters}
    with running_envoy(directory, port, resources) as url:
        yield url
