"""Gateways that are not ours, from the system's packages: nginx and HAProxy, run for a test."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

from tests.conftest import needs
from tests.support.waiting import until

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
    values = {"directory": directory, "http": http, "server": server, "address": address}
    with _served(command, config, NGINX, **values, tls="ssl" if tls else "") as url:
        yield url.replace("http:", "https:" if tls else "http:").replace("127.0.0.1", address)


@contextlib.contextmanager
def haproxy(directory: Path, balance: str, blue: int, green: int) -> Iterator[str]:
    """A running HAProxy in front of two servers, 75 to 25; the base URL."""
    config = directory / "haproxy.cfg"
    command = [needs("haproxy"), "-db", "-f", str(config)]
    with _served(command, config, HAPROXY, balance=balance, blue=blue, green=green) as url:
        yield url


@contextlib.contextmanager
def _served(command: list[str], config: Path, template: str, **values: object) -> Iterator[str]:
    """A gateway on a port that was free when it was chosen; another is tried where it is not."""
    log = config.with_suffix(".log")
    for _ in range(5):
        address = str(values.get("address", "127.0.0.1"))
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        with socket.create_server((address.strip("[]"), 0), family=family) as free:
            port = free.getsockname()[1]
        config.write_text(template.format(port=port, **values))
        with log.open("w") as output:
            process = subprocess.Popen(command, stdout=output, stderr=output)
        try:
            until(lambda a=address, p=port: _listening(a, p) or process.poll() is not None)  # noqa: B023
            if process.poll() is None:
                yield f"http://127.0.0.1:{port}"
                return
        finally:
            process.terminate()
            process.wait(10)
    raise AssertionError(log.read_text())


def _listening(address: str, port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection((address.strip("[]"), port), 1):
        return True
    return False


def certificate(directory: Path, name: str) -> tuple[Path, Path]:
    """A certificate that signs itself, for a name; and its key."""
    files = directory / "cert.pem", directory / "key.pem"
    subprocess.run(
        [needs("openssl"), "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj",
         f"/CN={name}", "-addext", f"subjectAltName=DNS:{name}", "-out", str(files[0]),
         "-keyout", str(files[1])],
        check=True, capture_output=True,
    )  # fmt: skip
    return files
