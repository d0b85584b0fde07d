"""Gateways that are not ours, from the system's packages: nginx and HAProxy, run for a test."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from tests.conftest import needs
from tests.support.waiting import PATIENCE, until

# Root's temporary directories are root's alone.
NGINX = (
    ("user root;" if os.geteuid() == 0 else "")
    + """
worker_processes 1; daemon off; pid {directory}/nginx.pid; error_log {directory}/error.log;
events {{ worker_connections 4096; }}
http {{
  access_log off; keepalive_requests 1000000;
  client_body_temp_path {directory}/body; proxy_temp_path {directory}/proxy;
  fastcgi_temp_path {directory}/fastcgi; uwsgi_temp_path {directory}/uwsgi;
  scgi_temp_path {directory}/scgi;
  {http}
  server {{ listen {address}:{port} {tls}; {server} }}
}}
"""
)

HAPROXY = """
global
  maxconn 1000
defaults
  mode http
  timeout connect 5s
  timeout client 30s
  timeout server 30s
listen gateway
  bind 127.0.0.1:{port}
  {balance}
  server blue 127.0.0.1:{blue} weight 75
  server green 127.0.0.1:{green} weight 25
"""


@contextlib.contextmanager
def nginx(
    directory: Path, http: str, server: str, *, address: str = "127.0.0.1", tls: bool = False
) -> Iterator[str]:
    """A running nginx; the base URL."""
    config = directory / "nginx.conf"
    command = [needs("nginx"), "-c", str(config), "-e", str(directory / "error.log")]
    values = {
        "directory": str(directory),
        "http": http,
        "server": server,
        "address": address,
        "tls": "ssl" if tls else "",
    }
    with _served(command, config, NGINX, address, values) as port:
        yield f"{'https' if tls else 'http'}://{address}:{port}"


@contextlib.contextmanager
def haproxy(directory: Path, balance: str, blue: int, green: int) -> Iterator[str]:
    """A running HAProxy in front of two servers, 75 to 25; the base URL."""
    config = directory / "haproxy.cfg"
    command = [needs("haproxy"), "-db", "-f", str(config)]
    values = {"balance": balance, "blue": str(blue), "green": str(green)}
    with _served(command, config, HAPROXY, "127.0.0.1", values) as port:
        yield f"http://127.0.0.1:{port}"


@contextlib.contextmanager
def _served(
    command: Sequence[str], config: Path, template: str, address: str, values: Mapping[str, str]
) -> Iterator[int]:
    """A gateway on a port that was free when it was chosen; another is tried where it is not."""
    log = config.with_suffix(".log")
    for _ in range(5):
        port = free_port(address)
        config.write_text(template.format(port=port, **values))
        with log.open("w") as output:
            process = subprocess.Popen(command, stdout=output, stderr=output)
        try:
            if is_up(process, address, port):
                yield port
                return
        finally:
            process.terminate()
            try:
                process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
    raise AssertionError(log.read_text())


def free_port(address: str) -> int:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.create_server((address.strip("[]"), 0), family=family) as free:
        port: int = free.getsockname()[1]
    return port


def is_up(process: subprocess.Popen[bytes], address: str, port: int) -> bool:
    """Wait until a gateway listens, or has ended; return whether it goes on."""
    until(lambda: _listening(address, port) or process.poll() is not None)
    return process.poll() is None


def _listening(address: str, port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection((address.strip("[]"), port), 1):
        return True
    return False


def certificate(directory: Path, name: str) -> tuple[Path, Path]:
    """A certificate that signs itself, for a name; and its key."""
    cert = directory / "cert.pem"
    key = directory / "key.pem"
    command = [
        *(needs("openssl"), "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"),
        *("-subj", f"/CN={name}", "-addext", f"subjectAltName=DNS:{name}"),
        *("-out", str(cert), "-keyout", str(key)),
    ]
    subprocess.run(command, check=True, capture_output=True)
    return cert, key
