"""TCP, passed on."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator

import pytest

from trafficsplit.lab.istio.relay import CHUNK, Relay, Target
from trafficsplit.processes import free_socket

LONGEST = 20.0  # seconds; only what hangs takes them


@contextlib.contextmanager
def echoing(name: bytes) -> Iterator[Target]:
    """Yield a server that says its name, and then everything that it is told, until its end."""
    with free_socket() as listener:

        def serve() -> None:
            with contextlib.suppress(OSError):
                while True:
                    connection, _ = listener.accept()
                    threading.Thread(target=echo, args=(connection,), daemon=True).start()

        def echo(connection: socket.socket) -> None:
            with connection, contextlib.suppress(OSError):
                connection.sendall(name)
                while data := connection.recv(CHUNK):
                    connection.sendall(data)

        threading.Thread(target=serve, daemon=True).start()
        yield listener.getsockname()
        listener.shutdown(socket.SHUT_RDWR)


def ask(address: Target, data: bytes) -> bytes:
    """Return all that comes back until the other end closes."""
    with socket.create_connection(address, LONGEST) as connection:
        sender = threading.Thread(target=send, args=(connection, data), daemon=True)
        sender.start()
        received = b""
        while part := connection.recv(CHUNK):
            received += part
        sender.join(LONGEST)
    return received


def send(connection: socket.socket, data: bytes) -> None:
    with contextlib.suppress(OSError):  # the other end may have closed already, or been closed
        connection.sendall(data)
        connection.shutdown(socket.SHUT_WR)


def test_connections_go_to_the_targets_in_turn_and_lose_nothing() -> None:
    data = bytes(range(256)) * 4096  # a megabyte
    with echoing(b"a") as one, echoing(b"b") as other, free_socket() as listener:
        address = listener.getsockname()
        Relay().serve(listener.dup(), lambda: [one, other])
        answers = [ask(address, data) for _ in range(4)]
    assert [answer[:1] for answer in answers] == [b"a", b"b", b"a", b"b"]
    assert all(answer[1:] == data for answer in answers)


@pytest.mark.parametrize("targets", [[], [("127.0.0.1", 1)]], ids=["nobody", "refused"])
def test_a_connection_that_nobody_takes_is_closed(targets: list[Target]) -> None:
    with free_socket() as listener:
        Relay().serve(listener.dup(), lambda: targets)
        assert ask(listener.getsockname(), b"") == b""


def test_targets_are_those_of_the_moment() -> None:
    targets: list[Target] = []
    with echoing(b"a") as one, free_socket() as listener:
        Relay().serve(listener.dup(), lambda: targets)
        assert ask(listener.getsockname(), b"") == b""
        targets.append(one)
        assert ask(listener.getsockname(), b"") == b"a"
