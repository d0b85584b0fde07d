"""An API server that speaks enough of the Kubernetes protocol for the real client and kubectl.

Discovery, GET, list, server-side apply with resourceVersion, ownership of fields and dry runs; no
webhooks, as on a cluster whose istiod is down.
"""

from __future__ import annotations

import copy
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

GROUPS = {
    "networking.istio.io": ("v1", {"virtualservices": "VirtualService", "gateways": "Gateway",
                                   "destinationrules": "DestinationRule"}),
    "gateway.networking.k8s.io": ("v1", {"httproutes": "HTTPRoute", "gateways": "Gateway"}),
    "flagger.app": ("v1beta1", {"canaries": "Canary"}),
}  # fmt: skip
CORE = {"services": "Service", "nodes": "Node"}


class Cluster:
    """The objects of a cluster by path, and its server. A context manager."""

    def __init__(self, *objects: dict[str, Any], groups: tuple[str, ...] = tuple(GROUPS)) -> None:
        self.groups = groups
        self.objects: dict[str, dict[str, Any]] = {}
        self.token = "right"
        self.forbidden = ""  # a part of the paths that nobody may read
        self.applied: list[dict[str, Any]] = []
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

            def answer(self, status: int, body: dict[str, Any]) -> None:
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

    def add(self, one: dict[str, Any]) -> str:
        one = copy.deepcopy(one)
        group = one["apiVersion"].rpartition("/")[0]
        version, kinds = GROUPS.get(group, ("v1", CORE))
        plural = next(plural for plural, kind in kinds.items() if kind == one["kind"])
        root = f"/apis/{group}/{version}" if group else "/api/v1"
        metadata = one["metadata"]
        if one["kind"] != "Node":
            metadata.setdefault("namespace", "default")
            root += f"/namespaces/{metadata['namespace']}"
        one["apiVersion"] = f"{group}/{version}" if group else "v1"
        metadata |= {"generation": 1, "resourceVersion": "1"}
        self.objects[f"{root}/{plural}/{metadata['name']}"] = one
        return f"{root}/{plural}/{metadata['name']}"

    def the(self, kind: str) -> dict[str, Any]:
        return next(one for one in self.objects.values() if one["kind"] == kind)

    def get(self, path: str, headers: Any) -> tuple[int, dict[str, Any]]:
        if headers.get("Authorization", "Bearer right") != f"Bearer {self.token}":
            return refusal(401, "Unauthorized", "Unauthorized")
        if self.forbidden and self.forbidden in path:
            return refusal(403, "Forbidden", f'user "us" cannot get {self.forbidden}')
        if (found := self.discovery(path)) is not None:
            return 200, found
        if path in self.objects:
            return 200, self.objects[path]
        root, _, last = path.rpartition("/")
        group = root.split("/")[2] if root.startswith("/apis/") else ""
        known = CORE if root.startswith("/api/v1") else GROUPS.get(group, ("", {}))[1]
        if last in known and (not group or group in self.groups):
            items = [
                one for at, one in self.objects.items()
                if at.rpartition("/")[0].endswith(f"/{last}")
                and (at.startswith(f"{root}/") and (group or "/api/" in at))
            ]  # fmt: skip
            return 200, {"kind": f"{known[last]}List", "apiVersion": "v1", "metadata": {},
                         "items": items}  # fmt: skip
        return refusal(404, "NotFound", f"{last} not found")

    def discovery(self, path: str) -> dict[str, Any] | None:
        groups = [
            {"name": name, "versions": [{"groupVersion": f"{name}/{version}", "version": version}],
             "preferredVersion": {"groupVersion": f"{name}/{version}", "version": version}}
            for name, (version, _) in GROUPS.items() if name in self.groups
        ]  # fmt: skip
        if path == "/api":
            return {"kind": "APIVersions", "versions": ["v1"]}
        if path == "/apis":
            return {"kind": "APIGroupList", "apiVersion": "v1", "groups": groups}
        for group in groups:
            if path == f"/apis/{group['name']}":
                return {"kind": "APIGroup", "apiVersion": "v1", **group}
            if path == f"/apis/{group['versions'][0]['groupVersion']}":
                return resources(path.removeprefix("/apis/"), GROUPS[group["name"]][1])
        return resources("v1", CORE) if path == "/api/v1" else None

    def patch(
        self, path: str, query: dict[str, str], headers: Any, body: dict[str, Any]
    ) -> tuple[int, dict[str, Any]]:
        status, found = self.get(path, headers)
        if status != 200:
            return status, found
        kind = headers["Content-Type"]
        new = copy.deepcopy(found)
        manager = query.get("fieldManager", "kubectl")
        if kind == "application/apply-patch+yaml":
            asked = body["metadata"].get("resourceVersion")
            if asked and asked != found["metadata"]["resourceVersion"]:
                return refusal(409, "Conflict", "the object has been modified; please apply your "
                               "changes to the latest version")  # fmt: skip
            owner = found["metadata"].get("annotations", {}).get("owner", manager)
            if owner != manager and body["spec"] != found["spec"] and not query.get("force"):
                fields = ", ".join(f".spec.{name}" for name in body["spec"])
                return refusal(409, "Conflict", "Apply failed with 1 conflict: conflict with "
                               f'"{owner}": {fields}')  # fmt: skip
            self.applied.append({"query": query, "body": body})
            new["spec"] |= body["spec"]
            new["metadata"].setdefault("annotations", {})["owner"] = manager
        else:  # application/merge-patch+json, as `kubectl patch --type merge`
            new["spec"] |= body["spec"]
        if query.get("dryRun") != "All":
            if new["spec"] != found["spec"]:
                new["metadata"]["generation"] += 1
            version = int(found["metadata"]["resourceVersion"])
            new["metadata"]["resourceVersion"] = str(version + 1)
            self.objects[path] = new
        return 200, new


def resources(group_version: str, kinds: dict[str, str]) -> dict[str, Any]:
    return {
        "kind": "APIResourceList", "apiVersion": "v1", "groupVersion": group_version,
        "resources": [
            {"name": plural, "singularName": kind.lower(), "namespaced": kind != "Node",
             "kind": kind, "verbs": ["get", "list", "patch"]}
            for plural, kind in kinds.items()
        ],
    }  # fmt: skip


def refusal(status: int, reason: str, message: str) -> tuple[int, dict[str, Any]]:
    return status, {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
                    "message": message, "reason": reason, "code": status}  # fmt: skip
