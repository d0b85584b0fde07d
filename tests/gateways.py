"""Gateways that are not ours, from the system's packages: nginx and HAProxy, run for a test."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

from tests.conftest import needs
from tests.lab.test_lab import until

# Root's temporary directories are root's alone.
NGINX = (
    ("user root;" if os.geteuid() == 0 else "")
    + """
worker_processes 1; daemon off; pid {directory}/nginx.pid; error_log {directory}/error.log;
events {{ worker_connections 512; }}
http {{
  access_log off; keepalive_requests 1000000;
  client_body_temp_path {directory}/body; proxy_temp_path {directory}/proxy;
  fastcgi_temp_path {directory}/fastcgi; uwsgi_temp_path {directory}/uwsgi;
  scgi_temp_path {directory}/scgi;
  {http}
  server {{ listen 127.0.0.1:{port}; {server} }}
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
def nginx(directory: Path, http: str, server: str) -> Iterator[str]:
    """A running nginx; the base URL."""
    config = directory / "nginx.conf"
    command = [needs("nginx"), "-c", str(config), "-e", str(directory / "error.log")]
    with _served(command, config, NGINX, directory=directory, http=http, server=server) as url:
        yield url


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
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        config.write_text(template.format(port=port, **values))
        with log.open("w") as output:
            process = subprocess.Popen(command, stdout=output, stderr=output)
        try:
            until(lambda port=port: _listening(port) or process.poll() is not None)  # noqa: B023
            if process.poll() is None:
                yield f"http://127.0.0.1:{port}"
                return
        finally:
            process.terminate()
            process.wait(10)
    raise AssertionError(log.read_text())


def _listening(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
        return True
    return False
