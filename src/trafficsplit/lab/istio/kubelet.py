"""A small kubelet: it starts a process for each container, and reports address and readiness.

The real controllers do all else: they make pods of deployments, and endpoints of pods.
"""

from __future__ import annotations

import base64
import contextlib
import http.client
import logging
import math
import queue
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from trafficsplit.errors import InputError, LabError
from trafficsplit.lab.istio import network
from trafficsplit.lab.istio.api import Api, Document, MissingError
from trafficsplit.lab.istio.control_plane import AUDIENCE
from trafficsplit.lab.istio.images import UnknownImageError, program_of
from trafficsplit.lab.istio.network import NODE, PodNetwork

NODE_NAME = "lab"
PODS = "/api/v1/pods"
TICK = 0.05  # seconds between two looks at all processes
PROBE_TIMEOUT = 1.0  # seconds
PROBE_PAUSE = 0.5  # seconds between two probes of a pod that is ready
LONGEST_BACK_OFF = 10.0  # seconds until a process that ended is started again
TOKEN_LASTS = 30 * 24 * 3600  # seconds for which a pod's token is good
GRACE = 5.0  # seconds from SIGTERM to SIGKILL, at most

log = logging.getLogger(__name__)


@dataclass
class Container:
    """One container: the process that runs for it, and how often it was started again."""

    name: str
    image: str
    log: Path
    process: subprocess.Popen[bytes] | None = None
    started: float = 0.0
    restarts: int = 0
    again: float = 0.0  # when a process that has ended is started again
    waiting: str = ""  # why none runs
    code: int | None = None  # with which the last one ended


@dataclass
class Pod:
    """A pod of the node, and what is known of it."""

    document: Document
    network: PodNetwork
    directory: Path
    containers: list[Container]
    passes: bool = False  # whether all readiness probes pass
    ready: bool = False
    ready_since: str = ""
    started_at: str = ""
    ending: float = 0.0  # when its processes are killed, once it is being deleted
    told: Document = field(default_factory=dict)  # the status that the API server has

    @property
    def path(self) -> str:
        """Where the API server has it."""
        metadata = self.document["metadata"]
        return f"/api/v1/namespaces/{metadata['namespace']}/pods/{metadata['name']}"


class Kubelet:
    """Runs all pods of the cluster, on this machine, in `directory`."""

    def __init__(self, api: Api, directory: Path) -> None:
        self._api = api
        self._directory = directory
        self._pods: dict[str, Pod] = {}  # by their unique identifiers
        self._changes: queue.Queue[Document] = queue.Queue()
        self._addresses = network.addresses()
        self._number = 0

    def run(self) -> None:
        """Run pods until the process ends. Raises LabError where the API server is gone."""
        self._register()
        threading.Thread(target=self._watch, daemon=True).start()
        while True:
            self.tick()
            with contextlib.suppress(queue.Empty):
                self._take(self._changes.get(timeout=TICK))

    def tick(self) -> None:
        """Look at every process, and tell the API server what has changed."""
        with contextlib.suppress(queue.Empty):
            while True:
                self._take(self._changes.get_nowait())
        for identifier, pod in list(self._pods.items()):
            if pod.ending:
                self._end(identifier, pod)
                continue
            self._look_after(pod)
            self._tell(pod)

    def _register(self) -> None:
        """Make the node, which is this machine."""
        node = {
            "metadata": {"name": NODE_NAME, "labels": {"kubernetes.io/hostname": NODE_NAME}},
        }
        with contextlib.suppress(MissingError):
            self._api.create("/api/v1/nodes", node)
        status = {
            "status": {
                "addresses": [{"type": "InternalIP", "address": str(NODE)}],
                "conditions": [{"type": "Ready", "status": "True", "reason": "LabIsUp"}],
                "capacity": {"pods": "1000", "cpu": "2", "memory": "8Gi"},
            }
        }
        self._api.patch(f"/api/v1/nodes/{NODE_NAME}/status", status)

    # --- what the API server says ---

    def _watch(self) -> None:
        """Pass on every change of a pod, for ever."""
        while True:
            try:
                found = self._api.get(PODS)
                present = {pod["metadata"]["uid"] for pod in found["items"]}
                self._changes.put({"type": "LISTED", "present": present})
                for pod in found["items"]:
                    self._changes.put({"type": "MODIFIED", "object": pod})
                version = found["metadata"]["resourceVersion"]
                for change in self._api.watch(PODS, version):
                    if change["type"] == "ERROR":
                        break
                    self._changes.put(change)
            except (LabError, MissingError) as error:
                log.warning("%s", error)
                time.sleep(TICK)

    def _take(self, change: Document) -> None:
        """Take a change of a pod."""
        if change["type"] == "LISTED":
            for identifier, pod in self._pods.items():
                if identifier not in change["present"]:
                    _end_at(pod, 0)
            return
        document = change["object"]
        identifier = document["metadata"]["uid"]
        known = self._pods.get(identifier)
        is_going = change["type"] == "DELETED" or "deletionTimestamp" in document["metadata"]
        if known is None:
            if not is_going:
                self._begin(identifier, document)
            return
        known.document = document
        if is_going:
            grace = document["metadata"].get("deletionGracePeriodSeconds", GRACE)
            _end_at(known, 0 if change["type"] == "DELETED" else min(grace, GRACE))

    def _begin(self, identifier: str, document: Document) -> None:
        """Take a pod on: bind it to the node, and give it an address."""
        metadata = document["metadata"]
        if not document["spec"].get("nodeName"):
            binding = {
                "metadata": {"name": metadata["name"]},
                "target": {"kind": "Node", "name": NODE_NAME},
            }
            path = f"/api/v1/namespaces/{metadata['namespace']}/pods/{metadata['name']}/binding"
            with contextlib.suppress(MissingError):
                self._api.create(path, binding)
        self._number += 1
        directory = self._directory / f"{metadata['namespace']}.{metadata['name']}"
        directory.mkdir(parents=True, exist_ok=True)
        containers = []
        for container in document["spec"]["containers"]:
            name = container["name"]
            file = directory / f"{name}.log"
            containers.append(Container(name, str(container.get("image", "")), file))
        pod_network = PodNetwork(self._number, next(self._addresses))
        pod = Pod(document, pod_network, directory, containers)
        self._pods[identifier] = pod
        threading.Thread(target=_keep_probing, args=(pod,), daemon=True).start()

    # --- what the processes do ---

    def _look_after(self, pod: Pod) -> None:
        """Start what does not run, and see whether the pod is ready."""
        now = time.monotonic()
        for container, spec in zip(pod.containers, pod.document["spec"]["containers"], strict=True):
            process = container.process
            if process is not None and process.poll() is not None:
                container.code = process.returncode
                container.process = None
                container.restarts += 1
                container.waiting = "CrashLoopBackOff"
                back_off = min(2.0 ** (container.restarts - 2), LONGEST_BACK_OFF)
                container.again = now + back_off
            if container.process is None and now >= container.again:
                self._start(pod, container, spec)
        ready = pod.passes and all(container.process for container in pod.containers)
        if ready != pod.ready:
            pod.ready = ready
            pod.ready_since = _now()

    def _start(self, pod: Pod, container: Container, spec: Document) -> None:
        try:
            token = partial(self._token, pod)
            program = program_of(pod.document, spec, pod.network.address, pod.directory, token)
            environment = {**program.environment, **self._variables(pod, spec)}
            container.process = pod.network.start(program.command, container.log, environment)
        except UnknownImageError as error:
            container.waiting = f"ErrImagePull: {error}"
            container.again = time.monotonic() + LONGEST_BACK_OFF
            return
        except (InputError, LabError, MissingError, OSError) as error:
            container.waiting = f"CreateContainerError: {error}"
            container.again = time.monotonic() + LONGEST_BACK_OFF
            return
        container.waiting = ""
        container.started = time.time()
        pod.started_at = pod.started_at or _now()

    def _variables(self, pod: Pod, spec: Document) -> dict[str, str]:
        """Return the variables that a container's specification sets.

        Raises InputError, MissingError or LabError.
        """
        metadata = pod.document["metadata"]
        known = {
            "metadata.name": metadata["name"],
            "metadata.namespace": metadata["namespace"],
            "status.podIP": pod.network.address,
            "spec.nodeName": NODE_NAME,
        }
        variables = {"HOSTNAME": metadata["name"]}
        for entry in spec.get("env") or ():
            source = entry.get("valueFrom") or {}
            field_path = (source.get("fieldRef") or {}).get("fieldPath")
            if field_path in known:
                variables[entry["name"]] = known[field_path]
            elif "secretKeyRef" in source:
                variables[entry["name"]] = self._secret(metadata["namespace"], source)
            elif source:
                if spec.get("image", "").endswith("proxyv2"):
                    continue  # only pilot-agent reads them
                raise InputError(f"the lab cannot set {entry['name']} from a {next(iter(source))}")
            else:
                variables[entry["name"]] = str(entry.get("value", ""))
        return variables

    def _secret(self, namespace: str, source: Document) -> str:
        """Return a value of a Secret. Raises InputError, MissingError or LabError."""
        name, key = (source["secretKeyRef"][part] for part in ("name", "key"))
        secret = self._api.get(f"/api/v1/namespaces/{namespace}/secrets/{name}")
        data = secret.get("data") or {}
        if key not in data:
            raise InputError(f"the Secret {name} has no {key}")
        return base64.b64decode(data[key]).decode()

    def _token(self, pod: Pod) -> str:
        """Return a token of a pod's service account for istiod. Raises MissingError or LabError."""
        namespace = pod.document["metadata"]["namespace"]
        account = pod.document["spec"].get("serviceAccountName", "default")
        path = f"/api/v1/namespaces/{namespace}/serviceaccounts/{account}/token"
        asked = {"spec": {"audiences": [AUDIENCE], "expirationSeconds": TOKEN_LASTS}}
        token: str = self._api.create(path, asked)["status"]["token"]
        return token

    def _end(self, identifier: str, pod: Pod) -> None:
        """End a pod that is being deleted, and tell the API server when it is gone."""
        alive = [c.process for c in pod.containers if c.process and c.process.poll() is None]
        if alive and time.monotonic() < pod.ending:
            return
        for process in alive:
            process.kill()
            process.wait()
        pod.network.end()
        del self._pods[identifier]
        with contextlib.suppress(MissingError, LabError):
            self._api.delete(pod.path, 0)

    def _tell(self, pod: Pod) -> None:
        """Tell the API server a pod's status, if it has changed."""
        status = _status_of(pod)
        if status == pod.told:
            return
        try:
            self._api.patch(f"{pod.path}/status", {"status": status})
            pod.told = status
        except MissingError:
            pod.ending = pod.ending or time.monotonic()
        except LabError as error:
            log.warning("%s", error)


def _end_at(pod: Pod, grace: float) -> None:
    """Let a pod's processes end, within so many seconds."""
    if pod.ending:
        return
    pod.ending = time.monotonic() + grace
    for container in pod.containers:
        if container.process is not None:
            container.process.terminate()


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _keep_probing(pod: Pod) -> None:
    """Ask a pod again and again whether it is ready, until it ends.

    One that was ready is so until it has failed for as long as its probe says, as to a kubelet.
    """
    passed = -math.inf
    while not pod.ending:
        specs = pod.document["spec"]["containers"]
        now = time.monotonic()
        if all(_is_ready(spec, pod.network.address) for spec in specs):
            passed = now
        elif any(container.process is None for container in pod.containers):
            passed = -math.inf
        pod.passes = now - passed <= max(map(_patience, specs))
        time.sleep(PROBE_PAUSE if pod.passes else TICK)


def _patience(spec: Document) -> float:
    """Return the seconds for which a container may fail its probe before it is not ready."""
    probe = spec.get("readinessProbe") or {}
    return float(probe.get("periodSeconds", 10) * probe.get("failureThreshold", 3))


def _is_ready(spec: Document, address: str) -> bool:
    """Return whether a container passes its readiness probe, or listens where it says it does."""
    probe = spec.get("readinessProbe") or {}
    ports = {port.get("name", ""): port["containerPort"] for port in spec.get("ports") or ()}
    if "httpGet" in probe:
        get = probe["httpGet"]
        port = get["port"]
        return _answers(address, ports.get(port, port), get.get("path", "/"))
    if "tcpSocket" in probe:
        port = probe["tcpSocket"]["port"]
        return _listens(address, ports.get(port, port))
    return all(_listens(address, port) for port in list(ports.values())[:1])


def _answers(address: str, port: int, path: str) -> bool:
    connection = http.client.HTTPConnection(address, int(port), timeout=PROBE_TIMEOUT)
    try:
        connection.request("GET", path)
        return 200 <= connection.getresponse().status < 400
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _listens(address: str, port: int) -> bool:
    try:
        with socket.create_connection((address, int(port)), timeout=PROBE_TIMEOUT):
            return True
    except OSError:
        return False


def _status_of(pod: Pod) -> Document:
    """Return a pod's status as the API server has it."""
    running = all(container.process is not None for container in pod.containers)
    started = bool(pod.started_at)
    conditions = [_condition("PodScheduled", True, "")]
    conditions.append(_condition("Initialized", True, ""))
    conditions.append(_condition("ContainersReady", pod.ready, pod.ready_since))
    conditions.append(_condition("Ready", pod.ready, pod.ready_since))
    return {
        "phase": "Running" if started else "Pending",
        "hostIP": str(NODE),
        "podIP": pod.network.address,
        "podIPs": [{"ip": pod.network.address}],
        "startTime": pod.started_at or None,
        "conditions": conditions,
        "containerStatuses": list(_container_statuses(pod, running=running)),
    }


def _condition(kind: str, holds: bool, since: str) -> Document:
    condition: Document = {"type": kind, "status": str(holds)}
    if since:
        condition["lastTransitionTime"] = since
    return condition


def _container_statuses(pod: Pod, *, running: bool) -> Iterator[Document]:
    for container in pod.containers:
        state: dict[str, Any] = {"running": {"startedAt": pod.started_at or None}}
        if container.process is None:
            reason, _, message = container.waiting.partition(": ")
            state = {"waiting": {"reason": reason or "ContainerCreating", "message": message}}
        yield {
            "name": container.name,
            "image": container.image,
            "imageID": container.image,
            "ready": pod.ready and running,
            "started": container.process is not None,
            "restartCount": container.restarts,
            "state": state,
        }
