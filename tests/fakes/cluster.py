"""An API server that speaks enough of the Kubernetes protocol for the real client and kubectl.

Discovery, GET, list, merges with resourceVersion and dry runs; no
webhooks, as on a cluster whose istiod is down.
"""

from __future__ import annotations

import copy
import json
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

Object = dict[str, Any]
Answer = tuple[int, Object]


@dataclass(frozen=True)
class Group:
    """An API group: its version, and its kinds by their names in paths."""

    version: str
    kinds: Mapping[str, str]


GROUPS = {
    "networking.istio.io": Group(
        "v1",
        {
            "virtualservices": "VirtualService",
            "gateways": "Gateway",
            "destinationrules": "DestinationRule",
        },
    ),
    "gateway.networking.k8s.io": Group("v1", {"httproutes": "HTTPRoute", "gateways": "Gateway"}),
    "flagger.app": Group("v1beta1", {"canaries": "Canary"}),
    "argoproj.io": Group("v1alpha1", {"rollouts": "Rollout", "analysisruns": "AnalysisRun"}),
    "apps": Group("v1", {"deployments": "Deployment", "replicasets": "ReplicaSet"}),
}
CORE = Group("v1", {"services": "Service", "nodes": "Node"})


class Cluster:
    """The objects of a cluster by path, and its server. A context manager."""

    def __init__(self, *objects: Object, groups: tuple[str, ...] = tuple(GROUPS)) -> None:
        self.groups = groups
        self.objects: dict[str, Object] = {}
        self.token = "right"
        self.forbidden = ""  # a part of the paths that nobody may read
        self.patched: list[Object] = []
        # What another client does to an object just before a change of it arrives.
        self.meanwhile: Callable[[Object], None] = lambda _: None
        for one in objects:
            self.add(one)
        cluster = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_: object) -> None:
                pass

            def do_GET(self) -> None:
                self.answer(*cluster.get(urlsplit(self.path).path, self.headers))

            def do_PATCH(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                url = urlsplit(self.path)
                query = {k: v[0] for k, v in parse_qs(url.query).items()}
                self.answer(*cluster.patch(url.path, query, self.headers, body))

            def answer(self, status: int, body: Object) -> None:
                data = json.dumps(body).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Cluster:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def add(self, one: Object) -> str:
        """Put an object in, and return its path."""
        one = copy.deepcopy(one)
        name = one["apiVersion"].rpartition("/")[0]
        group = GROUPS.get(name, CORE)
        plural = next(plural for plural, kind in group.kinds.items() if kind == one["kind"])
        root = f"/apis/{name}/{group.version}" if name else "/api/v1"
        metadata = one["metadata"]
        if one["kind"] != "Node":
            metadata.setdefault("namespace", "default")
            root += f"/namespaces/{metadata['namespace']}"
        one["apiVersion"] = f"{name}/{group.version}" if name else "v1"
        metadata |= {"generation": 1, "resourceVersion": "1"}
        self.objects[f"{root}/{plural}/{metadata['name']}"] = one
        return f"{root}/{plural}/{metadata['name']}"

    def the(self, kind: str) -> Object:
        """Return the first object of a kind."""
        return next(one for one in self.objects.values() if one["kind"] == kind)

    def get(self, path: str, headers: Any) -> Answer:
        """Answer GET: an object, a list, or what there is."""
        if headers.get("Authorization", "Bearer right") != f"Bearer {self.token}":
            return refusal(401, "Unauthorized", "Unauthorized")
        if self.forbidden and self.forbidden in path:
            return refusal(403, "Forbidden", f'user "us" cannot get {self.forbidden}')
        found = self.discovery(path)
        if found is not None:
            return 200, found
        if path in self.objects:
            return 200, self.objects[path]
        root, _, plural = path.rpartition("/")
        kinds = self._kinds_at(root)
        if plural not in kinds:
            return refusal(404, "NotFound", f"{plural} not found")
        items = [one for at, one in self.objects.items() if _is_listed(at, root, plural)]
        kind = f"{kinds[plural]}List"
        return 200, {"kind": kind, "apiVersion": "v1", "metadata": {}, "items": items}

    def _kinds_at(self, root: str) -> Mapping[str, str]:
        """Return the kinds that may be listed below a path."""
        if root.startswith("/api/v1"):
            return CORE.kinds
        name = root.split("/")[2] if root.startswith("/apis/") else ""
        return GROUPS[name].kinds if name in self.groups else {}

    def discovery(self, path: str) -> Object | None:
        """Answer what groups, versions and kinds there are, None for another path."""
        if path == "/api":
            return {"kind": "APIVersions", "versions": ["v1"]}
        if path == "/api/v1":
            return resources("v1", CORE)
        if path == "/apis":
            groups = [described(name) for name in self.groups]
            return {"kind": "APIGroupList", "apiVersion": "v1", "groups": groups}
        for name in self.groups:
            version = f"{name}/{GROUPS[name].version}"
            if path == f"/apis/{name}":
                return {"kind": "APIGroup", "apiVersion": "v1", **described(name)}
            if path == f"/apis/{version}":
                return resources(version, GROUPS[name])
        return None

    def patch(self, path: str, query: Mapping[str, str], headers: Any, body: Object) -> Answer:
        """Answer PATCH: a merge, refused where its resourceVersion is an older one."""
        status, found = self.get(path, headers)
        if status != 200:
            return status, found
        asked = body.get("metadata", {}).get("resourceVersion")
        if asked:
            self.meanwhile(found)
        if asked and asked != found["metadata"]["resourceVersion"]:
            return refusal(409, "Conflict", "the object has been modified; apply to the latest")
        new = copy.deepcopy(found)
        new["spec"] |= body["spec"]
        self.patched.append({"query": query, "body": body})
        if query.get("dryRun") != "All":
            if new["spec"] != found["spec"]:
                new["metadata"]["generation"] += 1
            version = int(found["metadata"]["resourceVersion"])
            new["metadata"]["resourceVersion"] = str(version + 1)
            self.objects[path] = new
        return 200, new


def _is_listed(path: str, root: str, plural: str) -> bool:
    """Return whether an object at `path` is in the list `root`/`plural`, of any namespace."""
    return path.startswith(f"{root}/") and path.rpartition("/")[0].endswith(f"/{plural}")


def described(name: str) -> Object:
    """Return a group as discovery describes it."""
    version = GROUPS[name].version
    described = {"groupVersion": f"{name}/{version}", "version": version}
    return {"name": name, "versions": [described], "preferredVersion": described}


def resources(group_version: str, group: Group) -> Object:
    """Return the kinds of a group as discovery lists them."""
    kinds = [
        {
            "name": plural,
            "singularName": kind.lower(),
            "namespaced": kind != "Node",
            "kind": kind,
            "verbs": ["get", "list", "patch"],
        }
        for plural, kind in group.kinds.items()
    ]
    return {
        "kind": "APIResourceList",
        "apiVersion": "v1",
        "groupVersion": group_version,
        "resources": kinds,
    }


def refusal(status: int, reason: str, message: str) -> Answer:
    """Return a Status, as the API server refuses."""
    return status, {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": message,
        "reason": reason,
        "code": status,
    }
