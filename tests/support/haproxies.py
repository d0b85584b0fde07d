"""HAProxy with a configuration of one's own, in front of pages that nginx serves."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.conftest import needs
from tests.fakes.servers import page
from tests.support.gateways import free_port, is_up, nginx
from tests.support.waiting import PATIENCE

ADDRESS = "127.0.0.1"
DEFAULTS = """
global
  maxconn 4000
  stats socket {socket}
defaults
  timeout connect 5s
  timeout client 60s
  timeout server 60s
  timeout queue 60s
"""


@dataclass(frozen=True)
class Proxy:
    """A running HAProxy, and the ports of its listeners by name."""

    process: subprocess.Popen[bytes]
    ports: Mapping[str, int]
    socket: Path  # of its statistics

    def url(self, name: str) -> str:
        return f"http://{ADDRESS}:{self.ports[name]}"

    @property
    def requests(self) -> int:
        """The requests of HTTP, and connections, that it has seen."""
        with socket.socket(socket.AF_UNIX) as asking:
            asking.settimeout(PATIENCE)
            asking.connect(str(self.socket))
            asking.sendall(b"show info\n")
            said = b""
            while piece := asking.recv(65536):
                said += piece
        values = dict(line.split(": ", 1) for line in said.decode().splitlines() if ": " in line)
        return int(values["CumReq"])

    def hang(self) -> None:
        """Let it stand still: it takes connections, and answers nothing."""
        os.kill(self.process.pid, signal.SIGSTOP)

    def go_on(self) -> None:
        os.kill(self.process.pid, signal.SIGCONT)


@contextlib.contextmanager
def proxy(
    directory: Path, sections: str, listeners: Sequence[str], **values: object
) -> Iterator[Proxy]:
    """A running HAProxy; `{name}` in its sections is a listener's port, or one of the values."""
    directory.mkdir(exist_ok=True)
    config = directory / "haproxy.cfg"
    log = directory / "haproxy.log"
    for _ in range(5):
        ports = {name: free_port(ADDRESS) for name in listeners}
        statistics = directory / "statistics"
        config.write_text((DEFAULTS + sections).format(socket=statistics, **ports, **values))
        with log.open("w") as output:
            process = subprocess.Popen(
                [needs("haproxy"), "-db", "-f", str(config)], stdout=output, stderr=output
            )
        running = Proxy(process, ports, statistics)
        try:
            if is_up(process, ADDRESS, ports[listeners[0]]):
                yield running
                return
        finally:
            _stop(running)
    raise AssertionError(log.read_text())


def _stop(running: Proxy) -> None:
    process = running.process
    process.terminate()
    with contextlib.suppress(ProcessLookupError):
        running.go_on()  # if it hangs
    try:
        process.wait(PATIENCE)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


@contextlib.contextmanager
def hanging_soon(gateway: Proxy, *, requests: int = 300, after: float = 1.5) -> Iterator[None]:
    """Meanwhile, let a gateway hang for good, some seconds after it has seen so many requests."""
    over = threading.Event()
    before = gateway.requests

    def hang() -> None:
        while gateway.requests < before + requests:
            if over.wait(0.02):
                return
        if not over.wait(after):
            gateway.hang()

    hanging = threading.Thread(target=hang)
    hanging.start()
    try:
        yield
    finally:
        over.set()
        hanging.join()
        gateway.go_on()


@contextlib.contextmanager
def colors(directory: Path) -> Iterator[tuple[int, int]]:
    """The ports of two servers, of which one answers blue and the other green."""
    directory.mkdir(exist_ok=True)
    for _ in range(5):
        ports = [free_port(ADDRESS), free_port(ADDRESS)]
        servers = ""
        for port, color in zip(ports, ("blue", "green"), strict=True):
            body = page(color).decode().replace('"', '\\"')
            servers += f"""
  server {{ listen {ADDRESS}:{port}; default_type text/html; keepalive_requests 1000000;
    location / {{ return 200 "{body}"; }} }}"""
        with contextlib.ExitStack() as stack:
            try:
                stack.enter_context(nginx(directory, servers, "return 404;"))
            except AssertionError:  # a port was taken meanwhile
                continue
            yield ports[0], ports[1]
            return
    raise AssertionError("no ports for two servers")
