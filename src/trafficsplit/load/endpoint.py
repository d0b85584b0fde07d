"""Where requests go: a gateway's addresses, its TLS, and what is the same in each request."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import gevent.socket

from trafficsplit.errors import InputError
from trafficsplit.load.http import request_bytes
from trafficsplit.settings.load import ConnectionSettings

Address = tuple[int, Any]  # family, and what connect() takes


@dataclass(frozen=True)
class GatewayAddress:
    """One gateway: its base URL, and its address where several have the same name."""

    host: str
    address: str = ""

    @property
    def name(self) -> str:
        """The host's name, as DNS knows it."""
        return (urlsplit(self.host).hostname or "").lower()

    def __str__(self) -> str:
        return f"{self.host} ({self.address})" if self.address else self.host


def gateway_addresses(
    hosts: Sequence[str], addresses: Mapping[str, Sequence[str]]
) -> Iterator[GatewayAddress]:
    """Yield the gateways of base URLs: one each, or one for each address of a name.

    `addresses` are by name; where it has a name without any, DNS's are taken. Raises InputError for
    a name without an address.
    """
    for host in hosts:
        name = GatewayAddress(host).name
        given = addresses.get(name)
        if given is None or len(given) == 1:
            yield GatewayAddress(host)
            continue
        every = given or sorted({str(address[0]) for _, address in _known(name, 0)})
        if len(every) == 1:
            yield GatewayAddress(host)
            continue
        for address in every:
            yield GatewayAddress(host, address)


def _known(name: str, port: int) -> list[Address]:
    """Return the addresses that the system knows. Raises InputError where it knows none."""
    try:
        found = socket.getaddrinfo(name, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise InputError(f"{name} has no address ({error}): check the name, or --resolve") from None
    return list(dict.fromkeys((family, address) for family, *_, address in found))


@dataclass(frozen=True)
class Endpoint:
    """One gateway, ready to be connected to. `context` is None where it speaks plain HTTP.

    `name` is for SNI and the certificate, `prefix` goes before every path, `host` is the header.
    """

    addresses: Sequence[Address]
    name: str
    context: ssl.SSLContext | None
    prefix: str
    host: str

    def request(self, path: str, headers: Mapping[str, str]) -> bytes:
        """Return the bytes that ask for a path."""
        return request_bytes(self.prefix + path, self.host, headers)


def endpoint_of(gateway: GatewayAddress, connection: ConnectionSettings) -> Endpoint:
    """Return a gateway, ready to be connected to. Raises InputError for a name without address."""
    url = urlsplit(gateway.host)
    secure = url.scheme == "https"
    name = url.hostname or ""
    port = url.port or (443 if secure else 80)
    context = tls_context(connection) if secure else None
    if context:
        context.set_alpn_protocols(["http/1.1"])
    netloc = url.netloc.rpartition("@")[2]
    return Endpoint(
        _known(gateway.address or name, port), name, context, url.path.rstrip("/"), netloc
    )


def tls_context(connection: ConnectionSettings) -> ssl.SSLContext:
    """Return what to trust. Raises InputError for a file that is no certificate."""
    ca_file = connection.ca_file
    try:
        context = ssl.create_default_context(cafile=ca_file or None)
    except (OSError, ssl.SSLError) as error:
        reason = error.strerror if isinstance(error, FileNotFoundError) else "no certificate in PEM"
        raise InputError(f"--ca-file {ca_file} cannot be used: {reason}") from None
    if connection.insecure:
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

        setattr(getaddrinfo, "original", original)  # noqa: B010 — a function has no such field
        module.getaddrinfo = getaddrinfo
