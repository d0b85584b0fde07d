"""What the running istiod makes of the manifests in tests/cases, for each request of a case."""

from __future__ import annotations

import contextlib
import itertools
import json
import re
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import requests

from tests.conftest import ROOT
from tests.support.envoy_routes import Config, Request, clusters_of, shares_of
from tests.support.gateways import certificate
from tests.support.granted import CASES, GATEWAY_API, NETWORKING, Document, Granted
from tests.support.granted import read_documents as read
from tests.support.istio import Cluster, has_way
from trafficsplit.errors import LabError
from trafficsplit.lab.istio.api import Api, MissingError
from trafficsplit.lab.istio.control_plane import AUDIENCE

# Ports of the gateways' service, and of their pods.
PORTS = {80: 8080, 443: 8443, 8080: 18080, 9000: 19000, 7000: 17000}
ALLOWED: Document = {"allowedRoutes": {"namespaces": {"from": "All"}}}
LISTENERS: list[Document] = [
    {"name": "tcp", "port": 9000, "protocol": "TCP", **ALLOWED},
    {"name": "http", "port": 80, "protocol": "HTTP", **ALLOWED},
    {
        "name": "https",
        "port": 443,
        "protocol": "HTTPS",
        "tls": {"certificateRefs": [{"name": "certificate"}]},
        **ALLOWED,
    },
]
# The Gateway of the Gateway API that the cases name; istiod makes a pod for it.
OF_API: Document = {
    "apiVersion": GATEWAY_API,
    "kind": "Gateway",
    "metadata": {"name": "gw"},
    "spec": {"gatewayClassName": "istio", "listeners": LISTENERS},
}
MARKER_PORT = 7000
APART = 1.1  # seconds between the creation of two objects, whose order is told in whole seconds
STEADY = 0.15  # seconds for which what is configured has to stay as it is
PAUSE = 0.05  # seconds between two looks
LONGEST = 20.0  # seconds until a change is given up
# Of what is applied: a Rollout or a Canary beside a route is nothing to istiod.
GROUPS = ("networking.istio.io/", "gateway.networking.k8s.io/", "v1")
APPLY = "application/apply-patch+yaml"  # of which JSON is a part
SIDECAR = "sidecar"  # a pod within the mesh, in the namespace default
BESIDE = f"""
apiVersion: v1
kind: Pod
metadata:
  name: {SIDECAR}
  labels: {{app: {SIDECAR}}}
  annotations:
    trafficsplit.dev/command: {sys.executable} {ROOT}/tests/support/sidecar.py
spec:
  containers:
    - name: istio-proxy
      image: none
      env:
        - {{name: ADDRESS, valueFrom: {{fieldRef: {{fieldPath: status.podIP}}}}}}
        - {{name: TOKEN, value: "{{token}}"}}
      readinessProbe: {{tcpSocket: {{port: 15000}}}} # it waits for a certificate for ever
---
apiVersion: v1
kind: Service
metadata: {{name: {SIDECAR}}}
spec:
  type: NodePort
  selector: {{app: {SIDECAR}}}
  ports: [{{name: admin, port: 15000}}]
---
apiVersion: v1
kind: Service
metadata: {{name: of-api}}
spec:
  type: NodePort
  selector: {{gateway.networking.k8s.io/gateway-name: gw}}
  ports: [{{name: admin, port: 15000}}]
"""
ADMINS = ("default/sidecar:admin", "default/of-api:admin")


class Istiod:
    """A cluster in which one file after another is applied, and what istiod makes of it is read."""

    def __init__(self, istio: Cluster, gateway: str) -> None:
        """`gateway` is the URL of the administration of a gateway's Envoy."""
        self._api = _api_of(istio)
        self._gateway = gateway
        self._sidecar, self._of_api = map(istio.url, ADMINS)
        self._asked = gateway
        self._changes = itertools.count(1)

    def cases_of(self, file: str, cases: Sequence[Document]) -> list[Document]:
        """Return the cases of one file, made anew."""
        known = [one for one in read(file) if one.get("apiVersion", "").startswith(GROUPS)]
        documents = list(map(_at_our_gateway, known))
        of_api = any(one["apiVersion"].startswith("gateway.") for one in documents)
        self._asked = self._of_api if of_api else self._gateway
        notes = " ".join(case.get("note", "") for case in cases)
        there_is_no = re.search(r"there is no (.*)", notes)
        missing = re.findall(r"[\w-]+", there_is_no[1]) if there_is_no else []
        granted = Granted(documents, missing).objects()
        try:
            self._apply(granted)
            refused = self._apply_in_order(documents)
            return [{**_of(case), **self._answer(case, refused)} for case in cases]
        finally:
            self._remove([one for one in granted + documents if one["kind"] != "Namespace"])

    def _remove(self, documents: Sequence[Document]) -> None:
        """Delete documents, and put the Gateway of the Gateway API back."""
        gateways = [one for one in documents if _is_of_api(one)]
        others = [one for one in documents if one not in gateways]
        self._delete(others)
        if gateways:
            self._apply([OF_API])

    def _answer(self, case: Document, refused: str) -> Document:
        if refused:
            return {"error": f"rejected by the API server: {refused}"}
        found = self._shares(case["request"])
        if isinstance(found, str):
            return {"error": found}
        return {"expected": named(found, case.get("expected", {}))}

    def _apply_in_order(self, documents: Sequence[Document]) -> str:
        """Apply documents, those of one kind apart in time; return why one is refused, or empty."""
        kinds = [document["kind"] for document in documents]
        several = any(kinds.count(kind) > 1 for kind in ("VirtualService", "HTTPRoute"))
        pieces = [[one] for one in documents] if several else [list(documents)]
        for number, piece in enumerate(pieces):
            if number:
                time.sleep(APART)
            refused = self._apply(piece)
            if refused:
                return refused
        self._settle()
        return ""

    def _apply(self, documents: Sequence[Document]) -> str:
        """Apply documents, as kubectl's server-side apply does; return why one is refused."""
        query = "fieldManager=cases&force=true&fieldValidation=Strict"
        for document in map(_with_ports, documents):
            try:
                self._api.patch(f"{_path(document)}?{query}", document, APPLY)
            except (LabError, MissingError) as error:
                return str(error)
        return ""

    def _delete(self, documents: Sequence[Document]) -> None:
        for document in documents:
            with contextlib.suppress(LabError, MissingError):
                self._api.delete(_path(document), 0)

    # --- what is configured ---

    def _settle(self) -> None:
        """Return when the last change is in force at the gateway and in the mesh, and steady."""
        mark = f"marker-{next(self._changes)}.example.com"
        failed = self._apply(marked(mark))
        assert not failed, failed
        deadline = time.monotonic() + LONGEST
        before: Any = None
        while time.monotonic() < deadline:
            now = [self._routes(at) for at in (self._gateway, self._of_api, self._sidecar)]
            everywhere = all(mark in json.dumps(routes) for routes in now)
            if everywhere and now == before:
                return
            before = now
            time.sleep(STEADY if everywhere else PAUSE)
        raise AssertionError(f"{mark} is not in force after {LONGEST} s")

    def _routes(self, admin: str) -> dict[str, Config]:
        """Return the routes of an Envoy, by name."""
        found = _dumped(admin, "dynamic_route_configs")
        return {one["route_config"]["name"]: one["route_config"] for one in found}

    def _shares(self, asked: Document) -> dict[str, float] | str:
        headers = {name.lower(): value for name, value in asked.get("headers", {}).items()}
        request = Request(
            asked["host"], asked["path"], asked.get("method", "GET"), asked["scheme"], headers
        )
        if asked.get("from") == "mesh":
            routes = self._routes(self._sidecar)
            return clusters_of(routes[str(asked.get("port", 80))], request)
        port = asked.get("port", 443 if asked["scheme"] == "https" else 80)
        chain = self._chain(port if self._asked == self._of_api else PORTS[port], request)
        if chain is None:
            return "no listener on the port: refused"
        if "rds" in chain:
            name = chain["rds"]["route_config_name"]
            return clusters_of(self._routes(self._asked)[name], request)
        return shares_of(chain)

    def _chain(self, port: int, request: Request) -> Config | None:
        """Return the last filter that a connection to a port of a gateway comes to."""
        for one in _dumped(self._asked, "dynamic_listeners"):
            state = one.get("warming_state") or one.get("active_state") or {}
            listener = state.get("listener", {})
            address = listener.get("address", {}).get("socket_address", {})
            if address.get("port_value") != port:
                continue
            for chain in listener.get("filter_chains", ()):
                names = chain.get("filter_chain_match", {}).get("server_names")
                if names is None or any(_covers(name, request.host) for name in names):
                    config: Config = chain["filters"][-1]["typed_config"]
                    return config
        return None


def _api_of(istio: Cluster) -> Api:
    """Return a client of the cluster's API server; kubectl takes longer to start than to ask."""
    config = json.loads((istio.directory / ".lab" / "kubeconfig").read_text("utf-8"))
    cluster = config["clusters"][0]["cluster"]
    server = cluster["server"].replace("127.0.0.1", "localhost")  # its certificate's name
    token = config["users"][0]["user"]["token"]
    return Api(server, token, Path(cluster["certificate-authority"]))


def _path(document: Document) -> str:
    """Return where the API server has a document."""
    metadata = document["metadata"]
    version = document["apiVersion"]
    root = f"/apis/{version}" if "/" in version else f"/api/{version}"
    plural = f"{document['kind'].lower()}s"
    if document["kind"] == "Namespace":
        return f"{root}/{plural}/{metadata['name']}"
    namespace = metadata.get("namespace", "default")
    return f"{root}/namespaces/{namespace}/{plural}/{metadata['name']}"


def _at_our_gateway(document: Document) -> Document:
    """Return a document, a route of the Gateway API as one of the Gateway that there is."""
    parents = document.get("spec", {}).get("parentRefs")
    if not parents or any(parent.get("kind") == "Service" for parent in parents):
        return document
    ours = []
    for parent in parents:
        ours.append({**parent, "name": "gw", "namespace": "default"})
    return {**document, "spec": {**document["spec"], "parentRefs": ours}}


def _is_of_api(document: Document) -> bool:
    kind: tuple[str, str] = (document["kind"], document["apiVersion"])
    return kind == ("Gateway", GATEWAY_API)


def _with_ports(document: Document) -> Document:
    """Return a document as it is, a Service with the port that it takes for granted."""
    if document["kind"] != "Service" or document["spec"].get("ports"):
        return document
    ports = [{"name": "http", "port": 80}]
    return {**document, "spec": {**document["spec"], "ports": ports}}


def _of(case: Document) -> Document:
    return {name: case[name] for name in ("file", "request")}


def marked(mark: str) -> list[Document]:
    """Return what tells that a change is in force: a route of the gateways, and of the mesh."""
    port = {"number": MARKER_PORT, "name": "marker", "protocol": "HTTP"}
    server = {"port": port, "hosts": ["*"]}
    spec = {
        "hosts": [mark],
        "gateways": ["marker", "mesh"],
        "http": [{"directResponse": {"status": 200}}],
    }
    gateway = {"selector": {"istio": "ingressgateway"}, "servers": [server]}
    service = {"ports": [{"name": "http", "port": 80}]}  # so that the mesh has routes for port 80
    route = {
        "parentRefs": [{"name": "gw"}],
        "hostnames": [mark],
        "rules": [{"backendRefs": [{"name": "marker", "port": 80}]}],
    }
    found = []
    for version, kind, fields in (
        ("v1", "Service", service),
        (GATEWAY_API, "HTTPRoute", route),
        (NETWORKING, "Gateway", gateway),
        (NETWORKING, "VirtualService", spec),
    ):
        metadata = {"name": "marker"}
        found.append({"apiVersion": version, "kind": kind, "metadata": metadata, "spec": fields})
    return found


def _dumped(admin: str, resource: str) -> list[Config]:
    """Return resources of an Envoy's configuration."""
    answer = requests.get(f"{admin}/config_dump", {"resource": resource}, timeout=5)
    found: list[Config] = answer.json().get("configs", [])
    return found


def _covers(name: str, host: str) -> bool:
    return name in ("*", host) or (name.startswith("*.") and host.endswith(name[1:]))


def named(shares: Mapping[str, float], expected: Mapping[str, float]) -> dict[str, float]:
    """Return shares of clusters by destination, named as a case names them."""
    found: dict[str, float] = {}
    for cluster, share in shares.items():
        if "|" not in cluster:
            found[cluster] = share
            continue
        _, port, subset, host = cluster.split("|")
        name, _, namespace = host.removesuffix(".svc.cluster.local").partition(".")
        plain = name if namespace in ("", "default") else f"{name}.{namespace}"
        plain += f"/{subset}" if subset else ""
        full = plain if plain in expected else f"{plain}:{port}"
        found[full] = round(found.get(full, 0.0) + share, 6)
    return found


@contextlib.contextmanager
def istiod(istio: Cluster, admin: str) -> Iterator[Istiod]:
    """Yield what makes cases in a cluster; `admin` is a service's port, that of one gateway."""
    ports = []
    for port, target in PORTS.items():
        ports.append({"name": f"port-{port}", "port": port, "targetPort": target})
    service = ("-n", "istio-system", "service/istio-ingressgateway")
    before = json.loads(istio.kubectl("get", *service, "-o", "json"))["spec"]["ports"]
    istio.kubectl("patch", *service, "--type=merge", "-p", _ports(ports))
    istio.kubectl("delete", "virtualservices,gateways.networking.istio.io", "--all")
    with_certificate(istio)
    token = istio.kubectl("create", "token", "default", f"--audience={AUDIENCE}").strip()
    istio.kubectl("apply", "-f", "-", text=BESIDE.replace("{token}", token))
    istio.kubectl("apply", "-f", "-", text=json.dumps(_listed([OF_API, *marked("marker.test")])))
    for way in ADMINS:
        istio.wait_until(partial(_is_configured, istio, way), way)
    try:
        yield Istiod(istio, istio.url(admin))
    finally:
        istio.kubectl("delete", "--wait=false", "-f", "-", text=BESIDE)
        istio.kubectl("delete", "--wait=false", "-f", "-", text=json.dumps(OF_API))
        istio.kubectl("delete", "--wait=false", "-f", "-", text=json.dumps(_listed(marked(""))))
        istio.kubectl("patch", *service, "--type=merge", "-p", _ports(before))
        state = json.loads((istio.directory / ".lab" / "state.json").read_text("utf-8"))
        for file in state["manifests"]:
            istio.kubectl("apply", "-f", file)


def _listed(documents: Sequence[Document]) -> Document:
    return {"apiVersion": "v1", "kind": "List", "items": documents}


def _ports(ports: Sequence[Document]) -> str:
    return json.dumps({"spec": {"ports": ports}})


def with_certificate(istio: Cluster) -> None:
    """Give the cluster the certificate that the Gateways name."""
    with tempfile.TemporaryDirectory() as directory:
        file, key = certificate(Path(directory), "shop.example.com")
        pair = (f"--cert={file}", f"--key={key}")
        istio.try_kubectl("create", "secret", "tls", "certificate", *pair)


def _is_configured(istio: Cluster, way: str) -> bool:
    if not has_way(istio, way):
        return False
    with contextlib.suppress(requests.RequestException):
        return bool(_dumped(istio.url(way), "dynamic_route_configs"))
    return False


def recorded() -> dict[str, list[Document]]:
    """Return the cases that are recorded, by file."""
    by_file: dict[str, list[Document]] = {}
    for case in json.loads((CASES / "istiod.json").read_text("utf-8")):
        by_file.setdefault(case["file"], []).append(case)
    return by_file
