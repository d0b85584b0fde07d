"""A cluster: control plane, kubelet, ingress gateways and the way in, started and ready."""

from __future__ import annotations

import http.client
import json
import logging
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from trafficsplit.errors import LabError
from trafficsplit.lab.istio import control_plane, network, parts
from trafficsplit.lab.istio.api import Api, Document
from trafficsplit.lab.istio.control_plane import SYSTEM, WEBHOOK_PORT, ControlPlane
from trafficsplit.lab.istio.images import ADMIN_PORT
from trafficsplit.lab.istio.kubelet import Kubelet
from trafficsplit.lab.istio.network import NODE
from trafficsplit.lab.istio.relay import Relay, Target

GATEWAY = "istio-ingressgateway"
GATEWAY_ACCOUNT = f"{GATEWAY}-service-account"
GATEWAY_PORTS = {"http2": (80, 8080), "https": (443, 8443)}  # of the service, and of its pods
READY_WITHIN = 60.0  # seconds for the pods of what is applied
PAUSE = 0.1  # seconds between two looks at what the API server has
SETTLE = 0.3  # seconds from the last pod that is ready until its endpoints are at the gateways

log = logging.getLogger(__name__)


@dataclass
class Cluster:
    """A running cluster. `kubeconfig` is for clients on this machine, outside of the namespace."""

    directory: Path
    plane: ControlPlane
    listeners: list[socket.socket]
    relay: Relay = field(default_factory=Relay)
    _free: int = 0

    @property
    def kubeconfig(self) -> Path:
        """The file with which clients on this machine reach the API server."""
        return self.directory / "kubeconfig"

    def open(self, targets: Callable[[], list[Target]]) -> str:
        """Open a way in on this machine's loopback; return its address and port.

        Raises LabError where all are taken.
        """
        if self._free >= len(self.listeners):
            raise LabError(f"the lab has no more than {len(self.listeners)} ways in")
        listener = self.listeners[self._free]
        self._free += 1
        self.relay.serve(listener, targets)
        address, port = listener.getsockname()
        return f"{address}:{port}"

    def kubectl(self, *arguments: str) -> str:
        """Run kubectl, and return what it says. Raises LabError."""
        command: list[str | Path] = [
            parts.program("kubectl"),
            f"--kubeconfig={self.plane.kubeconfig}",
            *arguments,
        ]
        home = {"HOME": str(self.directory), "PATH": "/usr/bin:/bin"}
        done = subprocess.run(command, capture_output=True, text=True, env=home)
        if done.returncode:
            raise LabError(f"kubectl {arguments[0]}: {done.stderr.strip() or done.stdout.strip()}")
        return done.stdout

    def apply(self, documents: Sequence[Document]) -> None:
        """Apply documents of our own. Raises LabError."""
        file = self.directory / "applied.json"
        file.write_text(json.dumps({"apiVersion": "v1", "kind": "List", "items": documents}))
        self.kubectl("apply", "--server-side", "--force-conflicts", "-f", str(file))


def start(
    directory: Path, listeners: list[socket.socket], gateways: int, files: Sequence[Path]
) -> Cluster:
    """Start a cluster with ingress gateways, and apply files. Raises LabError.

    Returns when the pods of the files are ready, and their endpoints at the gateways.
    """
    network.begin()
    plane = control_plane.start(directory)
    cluster = Cluster(directory, plane, listeners)
    try:
        _begin(cluster, gateways)
        for file in files:
            # As a person does it: whatever the server refuses is refused here as well.
            cluster.kubectl("apply", "-f", str(file))
        wait_until_ready(plane.api)
    except BaseException:
        plane.stop()
        raise
    return cluster


def _begin(cluster: Cluster, gateways: int) -> None:
    """Start what every cluster has."""
    plane = cluster.plane
    where = cluster.open(lambda: [("127.0.0.1", control_plane.API_PORT)])
    control_plane.write_kubeconfig(cluster.kubeconfig, f"https://{where}", plane)
    for part in ("istio", "flagger", "argo"):
        if parts.crds(part).exists():
            folder = str(parts.crds(part))
            cluster.kubectl("apply", "--server-side", "-f", folder)
    cluster.apply([_namespace(SYSTEM), _gateway_template()])
    control_plane.start_istiod(plane)
    kubelet = Kubelet(plane.api, cluster.directory / "pods")
    threading.Thread(target=kubelet.run, daemon=True).start()
    plane.wait(_istiod_is_ready, "istiod does not get ready", "pilot-discovery")
    cluster.apply([*_istiod_service(), _webhook()])
    plane.wait(lambda: _has_webhook(plane.api), "istiod checks nothing yet", "pilot-discovery")
    cluster.apply([*_ingress(gateways)])


def _namespace(name: str) -> Document:
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}


def _gateway_template() -> Document:
    """Return where istiod finds what it makes for a Gateway of the Gateway API."""
    template = Path(__file__).with_name("gateway.yaml").read_text("utf-8")
    config = {"policy": "disabled", "templates": {"kube-gateway": template}}
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "istio-sidecar-injector", "namespace": SYSTEM},
        "data": {"config": json.dumps(config), "values": json.dumps({"global": {}})},
    }


def _istiod_is_ready() -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", 8080, timeout=1)
    try:
        connection.request("GET", "/ready")
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _istiod_service() -> list[Document]:
    """Return the service that the API server calls istiod's webhook by."""
    port = {"name": "https-webhook", "port": 443, "protocol": "TCP"}
    metadata = {"name": "istiod", "namespace": SYSTEM}
    return [
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": metadata,
            "spec": {"ports": [{**port, "targetPort": WEBHOOK_PORT}]},
        },
        {
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": {**metadata, "labels": {"kubernetes.io/service-name": "istiod"}},
            "addressType": "IPv4",
            "ports": [{**port, "port": WEBHOOK_PORT}],
            "endpoints": [{"addresses": [str(NODE)], "conditions": {"ready": True}}],
        },
    ]


WEBHOOKS = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations"


def _webhook() -> Document:
    """Return istiod's own validation, as its chart has it; istiod sets its certificate there."""
    name = control_plane.ISTIOD["VALIDATION_WEBHOOK_CONFIG_NAME"]
    groups = (
        "security.istio.io",
        "networking.istio.io",
        "telemetry.istio.io",
        "extensions.istio.io",
    )
    rules = []
    for group in groups:
        rules.append(
            {
                "apiGroups": [group],
                "apiVersions": ["*"],
                "operations": ["CREATE", "UPDATE"],
                "resources": ["*"],
            }
        )
    service = {"name": "istiod", "namespace": SYSTEM, "path": "/validate"}
    webhook = {
        "name": "rev.validation.istio.io",
        "clientConfig": {"service": service},
        "rules": rules,
        "failurePolicy": "Ignore",
        "sideEffects": "None",
        "admissionReviewVersions": ["v1"],
    }
    return {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingWebhookConfiguration",
        "metadata": {"name": name, "labels": {"app": "istiod", "istio.io/rev": "default"}},
        "webhooks": [webhook],
    }


def _has_webhook(api: Api) -> bool:
    """Return whether istiod has made its validation one that refuses."""
    name = control_plane.ISTIOD["VALIDATION_WEBHOOK_CONFIG_NAME"]
    webhook = api.get(f"{WEBHOOKS}/{name}")["webhooks"][0]
    return bool(webhook["clientConfig"].get("caBundle")) and webhook["failurePolicy"] == "Fail"


def _ingress(replicas: int) -> list[Document]:
    """Return the ingress gateways: what Istio's installation brings."""
    labels = {"app": GATEWAY, "istio": "ingressgateway"}
    metadata = {"name": GATEWAY, "namespace": SYSTEM, "labels": labels}
    ports: list[dict[str, Any]] = []
    for name, (port, target) in GATEWAY_PORTS.items():
        ports.append({"name": name, "port": port, "targetPort": target})
    container = {
        "name": "istio-proxy",
        "image": "auto",
        "ports": [{"containerPort": target} for _, target in GATEWAY_PORTS.values()],
        "readinessProbe": {"httpGet": {"path": "/ready", "port": ADMIN_PORT}},
    }
    pod = {"serviceAccountName": GATEWAY_ACCOUNT, "containers": [container]}
    return [
        *_account(),
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": metadata,
            "spec": {
                "replicas": replicas,
                "selector": {"matchLabels": labels},
                "template": {"metadata": {"labels": labels}, "spec": pod},
            },
        },
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": metadata,
            "spec": {"type": "LoadBalancer", "selector": labels, "ports": ports},
        },
    ]


def _account() -> list[Document]:
    """Return the gateways' service account, which may read the certificates of its namespace."""
    rbac = "rbac.authorization.k8s.io"
    where = {"namespace": SYSTEM}
    metadata = {"name": f"{GATEWAY}-sds", **where}
    subject = {"kind": "ServiceAccount", "name": GATEWAY_ACCOUNT, **where}
    rule = {"apiGroups": [""], "resources": ["secrets"], "verbs": ["get", "watch", "list"]}
    role = {"apiVersion": f"{rbac}/v1", "kind": "Role", "metadata": metadata, "rules": [rule]}
    return [
        {
            "apiVersion": "v1",
            "kind": "ServiceAccount",
            "metadata": {"name": GATEWAY_ACCOUNT, **where},
        },
        role,
        {
            "apiVersion": f"{rbac}/v1",
            "kind": "RoleBinding",
            "metadata": metadata,
            "subjects": [subject],
            "roleRef": {"apiGroup": rbac, "kind": "Role", "name": f"{GATEWAY}-sds"},
        },
    ]


def wait_until_ready(api: Api) -> None:
    """Return when every deployment has all of its replicas ready. Raises LabError."""
    deadline = time.monotonic() + READY_WITHIN
    while late := _late(api):
        if time.monotonic() > deadline:
            raise LabError(f"the lab did not start: {late}")
        time.sleep(PAUSE)
    time.sleep(SETTLE)


def _late(api: Api) -> str:
    """Return which deployment is not ready yet, and why; empty: all are."""
    for deployment in api.get("/apis/apps/v1/deployments")["items"]:
        status = deployment.get("status", {})
        wanted = deployment["spec"].get("replicas", 1)
        seen = status.get("observedGeneration") == deployment["metadata"]["generation"]
        if seen and status.get("readyReplicas", 0) == wanted == status.get("updatedReplicas", 0):
            continue
        if seen and wanted == 0:
            continue
        name = deployment["metadata"]["name"]
        return f"of {name} {status.get('readyReplicas', 0)} of {wanted} are ready{_why(api, name)}"
    return ""


def _why(api: Api, deployment: str) -> str:
    """Return why pods of a deployment do not run, or empty."""
    for pod in api.get("/api/v1/pods")["items"]:
        if not pod["metadata"]["name"].startswith(f"{deployment}-"):
            continue
        for container in pod.get("status", {}).get("containerStatuses", ()):
            waiting = container["state"].get("waiting") or {}
            if waiting.get("message"):
                return f": {waiting['message']}"
    return ""
