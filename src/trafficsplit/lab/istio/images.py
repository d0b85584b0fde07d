"""What the lab runs for a container's image: there are no images here, only processes."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trafficsplit.lab.istio.control_plane import XDS_PORT
from trafficsplit.lab.istio.network import NODE
from trafficsplit.lab.lab import APPLICATION, envoy_path

COMMAND = "trafficsplit.dev/command"  # a pod's annotation: what runs instead of its image
PROXIES = ("proxyv2", "auto")  # images of Istio's gateways; istiod calls its own so
ISTIO_VERSION = "1.31.0"
KEEPALIVE = {"keepalive_probes": 3, "keepalive_time": 10, "keepalive_interval": 5}
ADMIN_PORT = 15000  # of Envoy, in the pod


class UnknownImageError(Exception):
    """The lab has no program for an image."""


@dataclass(frozen=True)
class Program:
    """What runs for a container: a command line and variables besides the container's own."""

    command: list[str]
    environment: dict[str, str]


def program_of(
    pod: dict[str, Any],
    container: dict[str, Any],
    address: str,
    directory: Path,
    token: Callable[[], str],
) -> Program:
    """Return what runs for a container of a pod that has an address.

    `directory` is for files of its own; `token` returns one of the pod's service account. Raises
    UnknownImageError, LabError or OSError, and whatever `token` raises.
    """
    annotations = pod["metadata"].get("annotations") or {}
    if COMMAND in annotations:
        return Program(shlex.split(annotations[COMMAND]), {})
    image = str(container.get("image", ""))
    name = image.rpartition("/")[2].partition(":")[0].partition("@")[0]
    if name in PROXIES:
        file = directory / "envoy.json"
        file.touch(0o600)
        file.write_text(json.dumps(bootstrap(pod, address, token())), "utf-8")
        envoy = [str(envoy_path()), "--config-path", str(file), "--disable-hot-restart"]
        return Program([*envoy, "--concurrency", "1", "--log-level", "warning"], {})
    if name == "color":
        port = _first_port(container)
        return Program([sys.executable, str(APPLICATION)], {"PORT": port, "LOG_LEVEL": "WARNING"})
    raise UnknownImageError(
        f"the lab has no program for the image {image}: annotate the pod with {COMMAND}: "
        '"COMMAND LINE"'
    )


def _first_port(container: dict[str, Any]) -> str:
    ports = container.get("ports") or [{}]
    return str(ports[0].get("containerPort", 8080))


def bootstrap(pod: dict[str, Any], address: str, token: str = "") -> dict[str, Any]:
    """Return the configuration with which an Envoy asks istiod for everything, as pilot-agent's.

    The token is that of the pod's service account: without one, istiod gives no certificates.
    """
    known = [{"key": "authorization", "value": f"Bearer {token}"}] if token else []
    stream = {"envoy_grpc": {"cluster_name": "xds-grpc"}, "initial_metadata": known}
    metadata = pod["metadata"]
    name = metadata["name"]
    namespace = metadata["namespace"]
    labels = metadata.get("labels") or {}
    workload = labels.get("app", name)
    return {
        "node": {
            "id": f"router~{address}~{name}.{namespace}~{namespace}.svc.cluster.local",
            "cluster": f"{workload}.{namespace}",
            "metadata": {
                "CLUSTER_ID": "Kubernetes",
                "INSTANCE_IPS": address,
                "ISTIO_VERSION": ISTIO_VERSION,
                "LABELS": labels,
                "NAME": name,
                "NAMESPACE": namespace,
                "SERVICE_ACCOUNT": pod["spec"].get("serviceAccountName", "default"),
                "WORKLOAD_NAME": workload,
            },
        },
        "admin": {"address": _address("0.0.0.0", ADMIN_PORT)},
        "dynamic_resources": {
            "lds_config": {"ads": {}, "resource_api_version": "V3"},
            "cds_config": {"ads": {}, "resource_api_version": "V3"},
            "ads_config": {
                "api_type": "GRPC",
                "transport_api_version": "V3",
                "set_node_on_first_message_only": True,
                "grpc_services": [stream],
            },
        },
        "static_resources": {"clusters": [_istiod()]},
    }


def _istiod() -> dict[str, Any]:
    http2 = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
    endpoint = {"endpoint": {"address": _address(str(NODE), XDS_PORT)}}
    return {
        "name": "xds-grpc",
        "type": "STATIC",
        "connect_timeout": "1s",
        "upstream_connection_options": {"tcp_keepalive": KEEPALIVE},
        "typed_extension_protocol_options": {
            http2: {
                "@type": f"type.googleapis.com/{http2}",
                "explicit_http_config": {"http2_protocol_options": {}},
            }
        },
        "load_assignment": {
            "cluster_name": "xds-grpc",
            "endpoints": [{"lb_endpoints": [endpoint]}],
        },
    }


def _address(address: str, port: int) -> dict[str, Any]:
    return {"socket_address": {"address": address, "port_value": port}}
