"""The ways into the cluster: one for each port of a service that is open to the outside."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from functools import partial

from trafficsplit.errors import LabError
from trafficsplit.lab.istio.api import Api, Document, MissingError
from trafficsplit.lab.istio.relay import Target

PAUSE = 0.2  # seconds between two looks at services and their endpoints
OUTSIDE = ("NodePort", "LoadBalancer")  # types of services that are open to the outside
LOOPBACK = "127.0.0.1"

Key = tuple[str, str, str]  # namespace, service, and name of the port

log = logging.getLogger(__name__)


class Ways:
    """Opens a way for each port of every service of type NodePort or LoadBalancer.

    `open_way` opens one, and returns its address and port; `tell` is called with all of them, by
    namespace/service:port, when there are more.
    """

    def __init__(
        self,
        api: Api,
        open_way: Callable[[Callable[[], list[Target]]], str],
        tell: Callable[[dict[str, str]], None],
    ) -> None:
        self._api = api
        self._open = open_way
        self._tell = tell
        self._targets: dict[Key, list[Target]] = {}
        self._ways: dict[Key, str] = {}

    def begin(self) -> None:
        """Open what is there, and go on in a thread."""
        self.look()
        threading.Thread(target=self._go_on, daemon=True).start()

    def _go_on(self) -> None:
        while True:
            time.sleep(PAUSE)
            try:
                self.look()
            except (LabError, MissingError) as error:
                log.warning("%s", error)

    def look(self) -> None:
        """Take endpoints as they are, and open ways for new services. Raises LabError."""
        self._targets = self._endpoints()
        before = len(self._ways)
        for service in self._api.get("/api/v1/services")["items"]:
            if service["spec"].get("type") in OUTSIDE:
                self._open_all(service)
        if len(self._ways) > before:
            self._tell({f"{k[0]}/{k[1]}:{k[2]}": way for k, way in self._ways.items()})

    def _open_all(self, service: Document) -> None:
        metadata = service["metadata"]
        for port in service["spec"].get("ports") or ():
            key = (metadata["namespace"], metadata["name"], port.get("name", ""))
            if key not in self._ways:
                self._ways[key] = self._open(partial(self._now, key))
        if service["spec"]["type"] == "LoadBalancer" and not service["status"].get("loadBalancer"):
            path = f"/api/v1/namespaces/{metadata['namespace']}/services/{metadata['name']}/status"
            balancer = {"ingress": [{"ip": LOOPBACK}]}
            self._api.patch(path, {"status": {"loadBalancer": balancer}})

    def _now(self, key: Key) -> list[Target]:
        return self._targets.get(key, [])

    def _endpoints(self) -> dict[Key, list[Target]]:
        """Return the addresses of all pods that are ready, by service and port."""
        found: dict[Key, list[Target]] = {}
        for piece in self._api.get("/apis/discovery.k8s.io/v1/endpointslices")["items"]:
            metadata = piece["metadata"]
            service = (metadata.get("labels") or {}).get("kubernetes.io/service-name", "")
            for port in piece.get("ports") or ():
                key = (metadata["namespace"], service, port.get("name") or "")
                for endpoint in piece.get("endpoints") or ():
                    if endpoint["conditions"].get("ready"):
                        addresses = [(one, port["port"]) for one in endpoint["addresses"]]
                        found.setdefault(key, []).extend(addresses)
        return found
