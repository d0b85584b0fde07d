"""Servers that speak TLS, for `fakes.servers.served`."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable
from pathlib import Path


def speaking(file: Path, key: Path) -> Callable[[socket.socket, int], None]:
    """Return a handler that speaks TLS, says what it hears, and ends after `bye`."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file, key)

    def handler(connection: socket.socket, _: int) -> None:
        with context.wrap_socket(connection, server_side=True) as secure:
            data = b""
            while data != b"bye" and (data := secure.recv(65536)):
                secure.sendall(data)

    return handler
