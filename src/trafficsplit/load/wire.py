"""One socket to a gateway that does not block, with TLS where the gateway wants it."""

from __future__ import annotations

import _socket as _sockets
import contextlib
import errno
import os
import socket as names  # gevent's patches leave its constants alone
import ssl
import struct
from collections.abc import Callable
from typing import Any

from trafficsplit.errors import BrokenError
from trafficsplit.load.endpoint import Address, Endpoint
from trafficsplit.load.poller import READ, WRITE, Poller

# The socket of the system, without what Python's own adds to it; gevent's would yield.
_socket: Any = _sockets.socket
IP_BIND_ADDRESS_NO_PORT = 24  # of Linux; Python 3.11 has no name for it
BUFFER = 64 * 1024  # bytes of one read; a larger one costs two to four times as much
AT_ONCE = struct.pack("ii", 1, 0)  # no lingering at all
# Errors of a machine without sockets, ports or memory; they say nothing about the gateway.
OUR_FAULTS = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.EADDRNOTAVAIL}


class Wire:
    """A socket to one of an endpoint's addresses. `receive` and `send` are like those of a socket.

    Its methods raise OSError for a fault of the gateway, and BrokenError where this machine has no
    sockets left.
    """

    __slots__ = ("_poller", "_reset", "_socket", "_tls", "_unsent", "receive", "send")

    def __init__(self, poller: Poller, *, reset: bool) -> None:
        """Create a wire without a socket. With `reset` its port is free as soon as it is closed."""
        self._poller = poller
        self._reset = reset
        self._socket: Any = None
        self._tls: Tls | None = None
        self._unsent = b""
        self.receive: Callable[[int], bytes]
        self.send: Callable[[bytes], int]

    @property
    def is_open(self) -> bool:
        """Whether there is a socket."""
        return self._socket is not None

    def connect(
        self,
        address: Address,
        on_events: Callable[[int], None],
        source: str = "",
    ) -> None:
        """Begin to connect; `on_events` is called with the socket's events from now on.

        `source` is the address to connect from, empty for the system's choice.

        Raises OSError, BrokenError.
        """
        family, where = address
        try:
            sock = _socket(family, names.SOCK_STREAM | names.SOCK_NONBLOCK)
        except OSError as error:
            raise _blamed(error) from None
        self._socket = sock
        if self._reset:
            sock.setsockopt(names.SOL_SOCKET, names.SO_LINGER, AT_ONCE)
        if source:
            sock.setsockopt(names.IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1)
            sock.bind((source, 0))
        code = sock.connect_ex(where)
        if code not in (0, errno.EINPROGRESS):
            raise _blamed(OSError(code, os.strerror(code)))
        self._poller.watch(sock.fileno(), READ | WRITE, on_events)

    def finish_connecting(self) -> None:
        """Watch for reading only, from now on. Raises OSError where the connecting has failed."""
        code = self._socket.getsockopt(names.SOL_SOCKET, names.SO_ERROR)
        if code:
            raise OSError(code, os.strerror(code))
        self._poller.change(self._socket.fileno(), READ)
        self.receive = self._socket.recv
        self.send = self._socket.send

    def begin_tls(self, endpoint: Endpoint) -> None:
        """Speak TLS from now on, beginning with the handshake."""
        assert endpoint.context
        # A request is sent when all that was sent before it has been answered, and so waits for
        # nothing; a handshake is not.
        self._socket.setsockopt(names.IPPROTO_TCP, names.TCP_NODELAY, 1)
        descriptor = self._socket.fileno()
        poller = self._poller
        self._tls = Tls(
            endpoint.context,
            endpoint.name,
            self._socket,
            on_blocked=lambda: poller.change(descriptor, READ | WRITE),
        )
        self.receive = self._tls.recv
        self.send = self._tls.send

    def shake_hands(self) -> bool:
        """Go on with the handshake; return whether it is done. Raises OSError."""
        assert self._tls
        return self._tls.shake_hands()

    def hands_shaken(self, mask: int, size: int) -> bool:
        """Take the events of a handshake; return whether it can go on. Raises OSError."""
        assert self._tls
        if mask & WRITE and self._tls.flush():
            self._poller.change(self._socket.fileno(), READ)
        if not mask & ~WRITE:
            return False
        self._tls.receive(size)
        return True

    def transmit(self, data: bytes) -> None:
        """Send all of it, as soon as the socket takes it. Raises OSError."""
        try:
            sent = self.send(data)
        except BlockingIOError:
            sent = 0
        if sent < len(data):
            self._unsent = data[sent:]
            self._poller.change(self._socket.fileno(), READ | WRITE)

    def send_rest(self) -> None:
        """Send the bytes that the socket did not take before. Raises OSError."""
        try:
            if self._unsent:
                self._unsent = self._unsent[self.send(self._unsent) :]
            if not self._unsent and (not self._tls or self._tls.flush()):
                self._poller.change(self._socket.fileno(), READ)
        except BlockingIOError:
            return

    def reset(self) -> None:
        """Let the port be free as soon as the socket is closed."""
        if self._socket is not None and not self._reset:
            self._socket.setsockopt(names.SOL_SOCKET, names.SO_LINGER, AT_ONCE)

    def close(self) -> None:
        """Close the socket, if there is one."""
        self._tls = None
        self._unsent = b""
        if self._socket is not None:
            sock = self._socket
            self._socket = None
            self._poller.unwatch(sock.fileno())
            sock.close()


def _blamed(error: OSError) -> Exception:
    """Return the error of a gateway as it is, and that of this machine as a BrokenError."""
    if error.errno in OUR_FAULTS:
        reason = error.strerror or str(error)
        return BrokenError(
            f"broken: this machine gives no more sockets ({reason}): fewer --users, or a higher "
            "limit (ulimit -n)"
        )
    return error


class Tls:
    """TLS over a socket that does not block, with a socket's methods `recv` and `send`.

    `on_blocked` is called when the socket takes no more bytes; `flush` goes on when it does again.
    """

    def __init__(
        self, context: ssl.SSLContext, name: str, sock: Any, on_blocked: Callable[[], None]
    ) -> None:
        self._socket = sock
        self._on_blocked = on_blocked
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._unsent = b""
        self._object = context.wrap_bio(self._incoming, self._outgoing, server_hostname=name)

    def shake_hands(self) -> bool:
        """Go on with the handshake; return whether it is done. Raises OSError."""
        try:
            self._object.do_handshake()
        except ssl.SSLWantReadError:
            return False
        finally:
            self.flush()
        return True

    def receive(self, size: int) -> None:
        """Read encrypted bytes from the socket. Raises BlockingIOError without any, OSError."""
        data = self._socket.recv(size)
        if data:
            self._incoming.write(data)
        else:
            self._incoming.write_eof()

    def recv(self, size: int) -> bytes:
        """Return all bytes that can be read now; none at the end, as a socket does.

        Raises BlockingIOError where there are none before the end.
        """
        self.receive(size)
        pieces = []
        try:
            while piece := self._object.read(size):
                pieces.append(piece)
        except ssl.SSLWantReadError:
            if not pieces:
                raise BlockingIOError from None
        except (ssl.SSLZeroReturnError, ssl.SSLEOFError):
            pass
        return b"".join(pieces)

    def send(self, data: bytes) -> int:
        """Take all of the data; bytes that the socket refuses wait for `flush`."""
        self._object.write(data)
        self.flush()
        return len(data)

    def flush(self) -> bool:
        """Send the bytes that wait; return whether all are sent. Raises OSError."""
        self._unsent += self._outgoing.read()
        if self._unsent:
            with contextlib.suppress(BlockingIOError):
                self._unsent = self._unsent[self._socket.send(self._unsent) :]
            if self._unsent:
                self._on_blocked()
        return not self._unsent
