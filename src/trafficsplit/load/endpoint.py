"""Gateways, ready to be connected to: their addresses, their TLS, and the host of requests."""

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

Address = tuple[int, Any]  # family, and the address that connect() takes


@dataclass(frozen=True)
class GatewayAddress:
    """One gateway: its base URL, and its IP address where several gateways have the same name."""

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

    `addresses` are by name; a name in it that has none gets those that DNS knows. Raises InputError
    for a name without an address.
    """
    for host in hosts:
        name = GatewayAddress(host).name
        of_name: Sequence[str] | None = addresses.get(name)
        if of_name is not None and not of_name:
            of_name = sorted({str(address[0]) for _, address in _look_up(name, 0)})
        if of_name is None or len(of_name) == 1:
            yield GatewayAddress(host)
            continue
        for address in of_name:
            yield GatewayAddress(host, address)


def _look_up(name: str, port: int) -> list[Address]:
    """Return the addresses that the system knows. Raises InputError where it knows none."""
    try:
        infos = socket.getaddrinfo(name, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise InputError(f"{name} has no address ({error}): check the name, or --resolve") from None
    addresses: dict[Address, None] = {}
    for family, *_, address in infos:
        addresses[family, address] = None
    return list(addresses)


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
    name = url.hostname or ""
    default_port = 80
    context = None
    if url.scheme == "https":
        default_port = 443
        context = tls_context(connection)
        context.set_alpn_protocols(["http/1.1"])
    return Endpoint(
        addresses=_look_up(gateway.address or name, url.port or default_port),
        name=name,
        context=context,
        prefix=url.path.rstrip("/"),
        host=url.netloc.rpartition("@")[2],
    )


def tls_context(connection: ConnectionSettings) -> ssl.SSLContext:
    """Return the certificates to trust. Raises InputError for a file that has none."""
    ca_file = connection.ca_file
    try:
        context = ssl.create_default_context(cafile=ca_file or None)
    except (OSError, ssl.SSLError) as error:
        is_missing = isinstance(error, FileNotFoundError)
        reason = error.strerror if is_missing else "no certificate in PEM"
        raise InputError(f"--ca-file {ca_file} cannot be used: {reason}") from None
    if connection.insecure:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def resolve(names: Mapping[str, str]) -> None:
    """Give names addresses in this process, which replace those of the system's resolver."""
    modules: list[Any] = [socket, gevent.socket]
    for module in modules:
        original = getattr(module.getaddrinfo, "original", module.getaddrinfo)

        def getaddrinfo(host: Any, *args: Any, _ask: Any = original, **kwargs: Any) -> Any:
            return _ask(names.get(host, host), *args, **kwargs)

        setattr(getaddrinfo, "original", original)  # noqa: B010 — a function has no such field
        module.getaddrinfo = getaddrinfo
