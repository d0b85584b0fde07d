"""etcd, the API server, its controllers and istiod: the real ones, as processes."""

from __future__ import annotations

import json
import secrets
import subprocess
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from trafficsplit.errors import LabError
from trafficsplit.lab.istio import parts
from trafficsplit.lab.istio.api import Api
from trafficsplit.lab.istio.network import NODE
from trafficsplit.processes import last_line, spawn, stop

PATIENCE = 60.0  # seconds until a control plane that does not get ready is given up
PAUSE = 0.05  # seconds between two looks at a condition
API_PORT = 6443
AUDIENCE = "istio-ca"  # of the tokens by which istiod knows a gateway
SERVICES = "10.96.0.0/16"  # the addresses of services
# What the controllers need, of all that there are.
CONTROLLERS = (
    "deployment-controller",
    "replicaset-controller",
    "statefulset-controller",
    "endpointslice-controller",
    "endpoints-controller",
    "namespace-controller",
    "garbage-collector-controller",
    "serviceaccount-controller",
    "serviceaccount-token-controller",
    "horizontal-pod-autoscaler-controller",
    "disruption-controller",
)
SYSTEM = "istio-system"
XDS_PORT = 15010  # of istiod, in plain text
WEBHOOK_PORT = 15017
# Of istiod, because the gateways here are Envoy's own builds: no filters that only Istio's have.
ISTIOD = {
    "POD_NAME": "istiod",
    "REVISION": "default",
    "POD_NAMESPACE": SYSTEM,
    "CLUSTER_ID": "Kubernetes",
    "JWT_POLICY": "first-party-jwt",
    "PILOT_CERT_PROVIDER": "istiod",
    "PILOT_ENABLE_ALPN_FILTER": "false",
    "PILOT_ENABLE_METADATA_EXCHANGE": "false",
    "PILOT_ENABLE_ANALYSIS": "false",
    "ENABLE_CA_SERVER": "true",
    # Without it no gateway would be known by its account, and none given a certificate.
    "XDS_AUTH_PLAINTEXT": "true",
    "VALIDATION_WEBHOOK_CONFIG_NAME": "istio-validator-istio-system",
    "INJECTION_WEBHOOK_CONFIG_NAME": "",
}
MESH = """\
defaultConfig:
  discoveryAddress: {node}:{port}
enableAutoMtls: false
rootNamespace: {namespace}
accessLogFile: ""
"""


@dataclass
class ControlPlane:
    """The running control plane; `stop` ends it."""

    directory: Path
    token: str = field(default_factory=lambda: secrets.token_urlsafe(24))
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    @property
    def certificate(self) -> Path:
        """The certificate that the API server made for itself."""
        return self.directory / "certificates" / "apiserver.crt"

    @property
    def kubeconfig(self) -> Path:
        """The file with which clients inside the namespace reach the API server."""
        return self.directory / "inside.kubeconfig"

    @property
    def api(self) -> Api:
        """A new client of the API server."""
        return Api(f"https://localhost:{API_PORT}", self.token, self.certificate)

    def stop(self) -> None:
        """Stop every process, the last one first; return when they are gone."""
        stop(list(self.processes.values())[::-1])

    def dead(self) -> str:
        """Return which process has ended by itself, empty where all run."""
        for name, process in self.processes.items():
            if process.poll() is not None:
                return name
        return ""

    def start(self, name: str, arguments: Iterable[str], environment: Mapping[str, str]) -> None:
        """Start one of the parts. Raises LabError or InputError."""
        command: list[str | Path] = [parts.program(name), *arguments]
        self.processes[name] = spawn(command, self.directory / f"{name}.log", environment)

    def wait(self, condition: Callable[[], bool], problem: str, log: str) -> None:
        """Return when a condition holds. Raises LabError when a process ends, or time is up."""
        deadline = time.monotonic() + PATIENCE
        while not condition():
            dead = self.dead()
            if dead or time.monotonic() > deadline:
                when = f"{dead} has ended" if dead else f"after {PATIENCE:.0f} s"
                hint = last_line(self.directory / f"{dead or log}.log")
                raise LabError(f"the lab did not start: {problem}, {when}: {hint}")
            time.sleep(PAUSE)


def start(directory: Path) -> ControlPlane:
    """Start everything, and return when it serves. Raises LabError, and stops all then."""
    plane = ControlPlane(directory)
    try:
        _start_etcd(plane)
        _start_api_server(plane)
        _start_controllers(plane)
    except BaseException:
        plane.stop()
        raise
    return plane


def _start_etcd(plane: ControlPlane) -> None:
    url = "http://127.0.0.1:2379"
    arguments = [
        f"--data-dir={plane.directory / 'etcd'}",
        f"--listen-client-urls={url}",
        f"--advertise-client-urls={url}",
        "--listen-peer-urls=http://127.0.0.1:2380",
        "--unsafe-no-fsync",  # nothing here outlives the machine
        "--log-level=warn",
    ]
    plane.start("etcd", arguments, {})


def _start_api_server(plane: ControlPlane) -> None:
    key = plane.directory / "accounts.key"
    made = subprocess.run([parts.program("keys"), key], capture_output=True, text=True)
    if made.returncode:
        raise LabError(f"no key for service accounts: {made.stderr.strip()}")
    tokens = plane.directory / "tokens.csv"
    tokens.write_text(f"{plane.token},admin,admin,system:masters\n")
    tokens.chmod(0o600)
    arguments = [
        "--etcd-servers=http://127.0.0.1:2379",
        f"--cert-dir={plane.certificate.parent}",
        f"--secure-port={API_PORT}",
        f"--advertise-address={NODE}",
        f"--service-cluster-ip-range={SERVICES}",
        "--service-account-issuer=https://kubernetes.default.svc",
        f"--service-account-key-file={key}",
        f"--service-account-signing-key-file={key}",
        f"--token-auth-file={tokens}",
        "--authorization-mode=RBAC",
        "--disable-admission-plugins=ServiceAccount",
        "--allow-privileged=true",
        # Webhooks are called at the addresses of their endpoints: there is no kube-proxy.
        "--enable-aggregator-routing=true",
        "--service-node-port-range=30000-32767",
        "--v=1",
    ]
    plane.start("kube-apiserver", arguments, {})
    plane.wait(plane.certificate.exists, "the API server has no certificate", "kube-apiserver")
    write_kubeconfig(plane.kubeconfig, f"https://localhost:{API_PORT}", plane)
    plane.wait(plane.api.is_ready, "the API server does not get ready", "kube-apiserver")


def _start_controllers(plane: ControlPlane) -> None:
    arguments = [
        f"--kubeconfig={plane.kubeconfig}",
        f"--controllers={','.join(CONTROLLERS)}",
        f"--service-account-private-key-file={plane.directory / 'accounts.key'}",
        f"--root-ca-file={plane.certificate}",
        "--use-service-account-credentials=false",
        "--leader-elect=false",
        "--concurrent-deployment-syncs=10",
        "--authorization-always-allow-paths=*",
        "--bind-address=127.0.0.1",
    ]
    plane.start("kube-controller-manager", arguments, {})


def start_istiod(plane: ControlPlane) -> None:
    """Start istiod, and return when it serves. Raises LabError."""
    mesh = plane.directory / "mesh.yaml"
    mesh.write_text(MESH.format(node=NODE, port=XDS_PORT, namespace=SYSTEM))
    arguments = [
        "discovery",
        f"--kubeconfig={plane.kubeconfig}",
        f"--meshConfig={mesh}",
        "--clusterID=Kubernetes",
        f"--grpcAddr=:{XDS_PORT}",
        f"--httpsAddr=:{WEBHOOK_PORT}",
        "--httpAddr=127.0.0.1:8080",
        "--monitoringAddr=127.0.0.1:15014",
        "--secureGRPCAddr=",
        "--log_output_level=default:info",
        "--keepaliveMaxServerConnectionAge=24h",
    ]
    home = {"HOME": str(plane.directory), "TMPDIR": str(plane.directory)}
    plane.start("pilot-discovery", arguments, {**ISTIOD, **home})


def write_kubeconfig(file: Path, server: str, plane: ControlPlane, token: str = "") -> None:
    """Write a kubeconfig for the API server at an address. Raises OSError."""
    cluster: dict[str, Any] = {
        "server": server,
        "certificate-authority": str(plane.certificate),
        "tls-server-name": "localhost",
    }
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "lab", "cluster": cluster}],
        "users": [{"name": "admin", "user": {"token": token or plane.token}}],
        "contexts": [{"name": "lab", "context": {"cluster": "lab", "user": "admin"}}],
        "current-context": "lab",
    }
    file.touch(0o600)
    file.write_text(json.dumps(config, indent=1), "utf-8")
