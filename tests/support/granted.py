"""What a manifest takes for granted: the objects that it speaks of and does not hold.

Not the Gateway of the Gateway API: a pod belongs to it, which `istiod_cases` keeps.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from ruamel.yaml import YAML

from tests.conftest import ROOT

CASES = ROOT / "tests" / "cases"
NETWORKING = "networking.istio.io/v1"
GATEWAY_API = "gateway.networking.k8s.io/v1"
GRANTS = "gateway.networking.k8s.io/v1beta1"
LOCAL = ".svc.cluster.local"
HTTP = {"number": 80}
Document = dict[str, Any]
Name = tuple[str, str, str]  # kind, namespace, name


def read_documents(file: str) -> list[Document]:
    """Return the documents of one of the cases, those of lists one by one."""
    found = []
    for document in YAML(typ="safe").load_all((CASES / "manifests" / file).read_bytes()):
        if isinstance(document, dict):
            found += document.get("items", [document])
    return found


class Granted:
    """What some documents speak of and do not hold; `missing` are names that are not granted."""

    def __init__(self, documents: Sequence[Document], missing: Sequence[str] = ()) -> None:
        self._documents = documents
        self._there = {name_of(document) for document in documents}
        self._has_gateway = any(document.get("kind") == "Gateway" for document in documents)
        self._tls = any("tls" in spec for _, spec in self._specs("VirtualService"))
        self._missing = missing
        self._subsets: dict[tuple[str, str], set[str]] = {}
        self._ports: dict[tuple[str, str], set[int]] = {}

    def objects(self) -> list[Document]:
        """Return them all, namespaces first."""
        found = [*self._gateways(), *self._services(), *self._rules(), *self._grants()]
        namespaces = {one["metadata"].get("namespace", "default") for one in found}
        namespaces |= {namespace for _, namespace, _ in self._there}
        first = [_object("v1", "Namespace", "", one, {}) for one in namespaces - {"default"}]
        return first + found

    def _specs(self, *kinds: str) -> Iterator[tuple[str, Document]]:
        """Yield namespace and spec of the documents of some kinds."""
        for document in self._documents:
            if document.get("kind") in kinds:
                yield name_of(document)[1], document.get("spec") or {}

    def _gateways(self) -> Iterator[Document]:
        if self._has_gateway:
            return
        named: set[Name] = set()
        for own, spec in self._specs("VirtualService"):
            for gateway in spec.get("gateways") or ():
                namespace, _, name = gateway.rpartition("/")
                if gateway != "mesh" and ("Gateway", namespace or own, name) not in named:
                    named.add(("Gateway", namespace or own, name))
                    servers = {"selector": {"istio": "ingressgateway"}, "servers": self._servers()}
                    yield _object(NETWORKING, "Gateway", namespace or own, name, servers)

    def _servers(self) -> list[Document]:
        tls: Document = {"mode": "SIMPLE", "credentialName": "certificate"}
        secure = {"number": 443, "name": "https", "protocol": "HTTPS"}
        if self._tls:
            tls = {"mode": "PASSTHROUGH"}
            secure = {"number": 443, "name": "tls", "protocol": "TLS"}
        servers: list[Document] = [{"port": secure, "hosts": ["*"], "tls": tls}]
        for number, protocol in ((80, "HTTP"), (8080, "HTTP"), (9000, "TCP")):
            name = f"{protocol.lower()}-{number}"
            port = {"number": number, "name": name, "protocol": protocol}
            servers.append({"port": port, "hosts": ["*"]})
        return servers

    def _destinations(self) -> Iterator[tuple[str, str, str, int]]:
        """Yield namespace, host, subset and port of all that is a destination or a parent."""
        for own, spec in self._specs("VirtualService"):
            rules = [rule for kind in ("http", "tcp", "tls") for rule in spec.get(kind) or ()]
            for route in _all(rules, "route"):
                to = route["destination"]
                yield own, to["host"], to.get("subset", ""), (to.get("port") or HTTP)["number"]
            if "mesh" in (spec.get("gateways") or ["mesh"]):
                yield from ((own, host, "", 80) for host in spec.get("hosts") or ())
        for own, spec in self._specs("HTTPRoute", "GRPCRoute", "TCPRoute"):
            for parent in _all([spec], "parentRefs"):
                if parent.get("kind") == "Service":
                    yield own, parent["name"], "", parent.get("port", 80)
            for to in _all(spec.get("rules") or (), "backendRefs"):
                yield to.get("namespace", own), to["name"], "", to.get("port", 80)

    def _services(self) -> Iterator[Document]:
        for own, host, subset, port in self._destinations():
            name, _, namespace = host.removesuffix(LOCAL).partition(".")
            if (namespace and not host.endswith(LOCAL)) or "*" in host or name in self._missing:
                continue  # a host with a dot is a full name
            key = (namespace or own, name)
            self._subsets.setdefault(key, set()).update(filter(None, [subset]))
            self._ports.setdefault(key, set()).add(port)
        for (namespace, name), numbers in self._ports.items():
            if ("Service", namespace, name) not in self._there:
                ports = [{"name": f"http-{port}", "port": port} for port in sorted(numbers)]
                spec = {"selector": {"app": name}, "ports": ports}
                yield _object("v1", "Service", namespace, name, spec)

    def _rules(self) -> Iterator[Document]:
        for (namespace, name), subsets in self._subsets.items():
            if subsets and ("DestinationRule", namespace, name) not in self._there:
                every = [{"name": one, "labels": {"v": one}} for one in sorted(subsets)]
                spec = {"host": name, "subsets": every}
                yield _object(NETWORKING, "DestinationRule", namespace, name, spec)

    def _grants(self) -> Iterator[Document]:
        """Let routes ask for Services of other namespaces, where no document says which may."""
        if any(kind == "ReferenceGrant" for kind, _, _ in self._there):
            return
        group = GATEWAY_API.partition("/")[0]
        for kind in ("HTTPRoute", "GRPCRoute"):
            for own, spec in self._specs(kind):
                given = {"group": group, "kind": kind, "namespace": own}
                grant = {"from": [given], "to": [{"group": "", "kind": "Service"}]}
                for to in _all(spec.get("rules") or (), "backendRefs"):
                    if to.get("namespace", own) != own:
                        yield _object(GRANTS, "ReferenceGrant", to["namespace"], "routes", grant)


def _all(parents: Iterable[Document], field: str) -> Iterator[Document]:
    """Yield what the parents have in a field, which is a list."""
    for parent in parents:
        yield from parent.get(field) or ()


def name_of(document: Document) -> Name:
    """Return kind, namespace and name of a document."""
    metadata = document.get("metadata") or {}
    kind = str(document.get("kind"))
    return kind, metadata.get("namespace", "default"), str(metadata.get("name"))


def _object(version: str, kind: str, namespace: str, name: str, spec: Document) -> Document:
    metadata = {"name": name, **({"namespace": namespace} if namespace else {})}
    made: Document = {"apiVersion": version, "kind": kind, "metadata": metadata}
    return {**made, "spec": spec} if spec else made
