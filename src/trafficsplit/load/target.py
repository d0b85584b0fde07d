"""Where requests go: addresses, TLS, and what is the same in each of them."""

from __future__ import annotations

import contextlib
import socket
import ssl
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import gevent.socket

from analysis import InputError
from load.http import request_bytes

Address = tuple[int, Any]  # family, and what connect() takes


@dataclass(frozen=True)
class Place:
    """Where a gateway is: its base URL, and its address where that is not DNS's affair."""

    host: str
    address: str = ""

    @property
    def name(self) -> str:
        """The host's name, as DNS knows it."""
        return (urlsplit(self.host).hostname or "").lower()

    def __str__(self) -> str:
        return f"{self.host} ({self.address})" if self.address else self.host


def places_of(hosts: Sequence[str], addresses: Mapping[str, Sequence[str]]) -> list[Place]:
    """The gateways of checked base URLs: one each, or one for each address to be told apart.

    `addresses` are by name; where it has a name without any, DNS's are taken. Raises InputError for
    a name without an address.
    """
    found = []
    for host in hosts:
        name = Place(host).name
        given = addresses.get(name)
        if given is None or len(given) == 1:
            found.append(Place(host))
            continue
        every = given or sorted({str(address[0]) for _, address in _found(name, 0)})
        found += [Place(host, address) for address in every] if len(every) > 1 else [Place(host)]
    return found


def _found(name: str, port: int) -> list[Address]:
    try:
        found = socket.getaddrinfo(name, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise InputError(f"{name} has no address ({error}): check the name, or --resolve") from None
    return list(dict.fromkeys((family, address) for family, *_, address in found))


@dataclass(frozen=True)
class Target:
    """One gateway. `context` is None where it speaks plain HTTP."""

    addresses: Sequence[Address]
    name: str  # for SNI and the certificate
    context: ssl.SSLContext | None
    prefix: str  # of every path
    host: str  # for the header

    def request(self, path: str, headers: Mapping[str, str]) -> bytes:
        """The bytes that ask for a path."""
        return request_bytes(self.prefix + path, self.host, headers)


def target_of(place: Place, *, ca_file: str = "", insecure: bool = False) -> Target:
    """What a place comes to. Raises InputError, for a name without an address."""
    url = urlsplit(place.host)
    name = url.hostname or ""
    port = url.port or (443 if url.scheme == "https" else 80)
    addresses = _found(place.address or name, port)
    context = tls_context(ca_file, insecure=insecure) if url.scheme == "https" else None
    if context:
        context.set_alpn_protocols(["http/1.1"])
    netloc = url.netloc.rpartition("@")[2]
    return Target(addresses, name, context, url.path.rstrip("/"), netloc)


def tls_context(ca_file: str, *, insecure: bool) -> ssl.SSLContext:
    """What to trust. Raises InputError for a file that is no certificate."""
    try:
        context = ssl.create_default_context(cafile=ca_file or None)
    except (OSError, ssl.SSLError) as error:
        reason = error.strerror if isinstance(error, FileNotFoundError) else "no certificate in PEM"
        raise InputError(f"--ca-file {ca_file} cannot be used: {reason}") from None
    if insecure:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def resolve(names: Mapping[str, str]) -> None:
    """Give names their addresses in this process, whatever the system's resolver says."""
    modules: list[Any] = [socket, gevent.socket]
    for module in modules:
        original = getattr(module.getaddrinfo, "original", module.getaddrinfo)

        def getaddrinfo(host: Any, *args: Any, _ask: Any = original, **kwargs: Any) -> Any:
            return _ask(names.get(host, host), *args, **kwargs)

        setattr(getaddrinfo, "original", original)  # noqa: B010
        module.getaddrinfo = getaddrinfo


class Tls:
    """TLS over a socket that does not block, with the two methods of a socket that are used.

    `on_blocked` is called when the socket takes no more for now: `flush` when it does.
    """

    def __init__(
        self, context: ssl.SSLContext, name: str, sock: Any, on_blocked: Callable[[], None]
    ) -> None:
        self._socket, self._on_blocked = sock, on_blocked
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._unsent = b""
        self._object = context.wrap_bio(self._incoming, self._outgoing, server_hostname=name)

    def shake_hands(self) -> bool:
        """Go on with the handshake; whether it is done. Raises OSError."""
        try:
            self._object.do_handshake()
        except ssl.SSLWantReadError:
            return False
        finally:
            self.flush()
        return True

    def receive(self, size: int) -> None:
        """Take in what the socket has. Raises BlockingIOError where there is nothing, OSError."""
        data = self._socket.recv(size)
        if data:
            self._incoming.write(data)
        else:
            self._incoming.write_eof()

    def recv(self, size: int) -> bytes:
        """As a socket's: all that can be read now, empty at the end. Raises BlockingIOError."""
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
        """As a socket's, but takes all of it; what the socket refuses waits for `flush`."""
        self._object.write(data)
        self.flush()
        return len(data)

    def flush(self) -> bool:
        """Send what waits; whether all is sent. Raises OSError."""
        self._unsent += self._outgoing.read()
        if self._unsent:
            with contextlib.suppress(BlockingIOError):
                self._unsent = self._unsent[self._socket.send(self._unsent) :]
            if self._unsent:
                self._on_blocked()
        return not self._unsent
