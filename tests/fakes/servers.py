"""Servers of our own that answer as they are told, well or badly, on a free port."""

from __future__ import annotations

import contextlib
import random
import socket
import threading
from collections.abc import Callable, Iterator

Handler = Callable[[socket.socket, int], None]
PAGE = b'<!doctype html><html><body style="background-color:%s"><p>hello</p></body></html>'


def free_port() -> str:
    """A port that was free when it was chosen, as an option's text."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        return str(free.getsockname()[1])


def page(color: str) -> bytes:
    return PAGE % color.encode()


def plain(body: bytes, status: str = "200 OK", *headers: str) -> bytes:
    """A whole answer with a Content-Length."""
    lines = [f"HTTP/1.1 {status}", "Content-Type: text/html", f"Content-Length: {len(body)}"]
    return "\r\n".join([*lines, *headers, "", ""]).encode() + body


def read_request(connection: socket.socket) -> bool:
    """Take in one request; False at the end of the connection."""
    data = b""
    while b"\r\n\r\n" not in data:
        piece = connection.recv(65536)
        if not piece:
            return False
        data += piece
    return True


@contextlib.contextmanager
def served(handler: Handler, *, address: str = "127.0.0.1", port: int = 0) -> Iterator[int]:
    """A server; its port. `handler` gets each connection, and its number from 0.

    With port 0 it listens on one that is free.
    """
    server = socket.create_server((address, port))
    opened: list[socket.socket] = []
    threads: list[threading.Thread] = []

    def handle(connection: socket.socket, number: int) -> None:
        with connection, contextlib.suppress(OSError):
            handler(connection, number)

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = server.accept()
                opened.append(connection)
                thread = threading.Thread(target=handle, args=(connection, len(opened) - 1))
                threads.append(thread)
                thread.start()

    acceptor = threading.Thread(target=accept)
    acceptor.start()
    try:
        yield server.getsockname()[1]
    finally:
        with contextlib.suppress(OSError):
            server.shutdown(socket.SHUT_RDWR)
        server.close()
        acceptor.join(10)
        for connection in opened:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        for thread in threads:
            thread.join(10)


def always(answer: bytes, *, close: bool = False) -> Handler:
    """The same bytes for every request."""

    def handler(connection: socket.socket, _: int) -> None:
        while read_request(connection):
            connection.sendall(answer)
            if close:
                return

    return handler


def split(share: float, seed: int = 1) -> Handler:
    """Green's page for a share of the requests, drawn at random, and blue's for the others."""
    draws = random.Random(seed)
    green = plain(page("green"))
    blue = plain(page("blue"))

    def handler(connection: socket.socket, _: int) -> None:
        while read_request(connection):
            connection.sendall(green if draws.random() < share else blue)

    return handler
