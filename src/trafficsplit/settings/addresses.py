"""Parsers of base URLs, paths, headers, addresses and mappings.

Each raises InputError.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from ipaddress import ip_address
from urllib.parse import urlsplit

from trafficsplit.errors import InputError

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110, section 5.6.2
# Headers that frame a message, which the client sets itself.
_FRAMING = {"connection", "content-length", "transfer-encoding", "upgrade", "te", "trailer"}


def parse_host(host: str) -> str:
    """Return a base URL without the slash at its end."""
    try:
        url = urlsplit(host)
        valid = url.scheme in {"http", "https"} and bool(url.hostname) and url.port != 0
    except ValueError:
        valid = False
    if valid and "@" in url.netloc:
        raise InputError("--host has a user's name in it: give --header 'Authorization: …' instead")
    if not valid or _has_blanks(host):
        raise InputError(f"--host {host!r} is no address: give http://NAME or http://NAME:PORT")
    return host.rstrip("/")


def parse_hosts(text: str) -> tuple[str, ...]:
    """Return the base URLs in a text, with commas or spaces in between; each of them once."""
    parts = filter(None, re.split(r"[,\s]+", text))
    return tuple(dict.fromkeys(map(parse_host, parts)))


def _has_blanks(text: str) -> bool:
    """Return whether a text has blanks or control characters."""
    return any(character <= " " for character in text)


def required_hosts(text: str) -> tuple[str, ...]:
    """Return the base URLs in a text, which must have one."""
    hosts = parse_hosts(text)
    if not hosts:
        raise InputError("no gateway to ask: give --host http://ADDRESS")
    return hosts


def parse_path(path: str) -> str:
    """Return a path that can be sent as it is."""
    if not path.startswith("/") or not path.isascii() or _has_blanks(path):
        raise InputError(f"--path {path!r} is no path: begin with /, and percent-encode the rest")
    return path


def parse_headers(text: str) -> dict[str, str]:
    """Return header names and values from lines of `NAME: VALUE`."""
    headers = {}
    for line in text.splitlines():
        name, colon, value = line.partition(":")
        name = name.strip()
        value = value.strip()
        if not colon or not _TOKEN.fullmatch(name):
            raise InputError(f"--header {line!r} is no header: give 'NAME: VALUE'")
        if name.lower() in _FRAMING:
            raise InputError(f"--header {name} cannot be set: the client needs it itself")
        if not value.isprintable() or not _is_latin(value):
            raise InputError(f"--header {name} has characters that cannot be sent: {value!r}")
        headers[name] = value
    return headers


def _is_latin(text: str) -> bool:
    """Return whether a text can be sent in latin-1, as HTTP sends headers."""
    return all(ord(character) <= 255 for character in text)


def parse_addresses(text: str) -> dict[str, tuple[str, ...]]:
    """Return addresses by name, from lines of `NAME:ADDRESS,ADDRESS`; `NAME` alone has none."""
    addresses: dict[str, tuple[str, ...]] = {}
    for line in text.splitlines():
        name, colon, rest = line.strip().partition(":")
        of_name: tuple[str, ...] = ()
        try:
            if colon:
                of_name = _parse_addresses_of_name(rest)
        except ValueError:
            name = ""
        if not name or _has_blanks(name):
            raise InputError(f"--resolve {line!r} is not NAME:ADDRESS, e.g. gateway:10.0.0.7")
        addresses[name.lower()] = of_name
    return addresses


def _parse_addresses_of_name(text: str) -> tuple[str, ...]:
    """Return the addresses in `ADDRESS,ADDRESS`, each of them once. Raises ValueError."""
    addresses: dict[str, None] = {}
    for part in text.split(","):
        addresses[str(ip_address(part.strip().strip("[]")))] = None
    return tuple(addresses)


def resolve_text(addresses: Mapping[str, tuple[str, ...]]) -> str:
    """Return the lines that `parse_addresses` reads."""
    lines = []
    for name, of_name in addresses.items():
        line = name
        if of_name:
            line += f":{','.join(of_name)}"
        lines.append(line)
    return "\n".join(lines)


def parse_mapping(text: str) -> dict[str, str]:
    """Return variants by the names of destinations, from `DESTINATION=VARIANT,…`.

    A destination may be empty: a label that Prometheus drops because it has no value.
    """
    mapping = {}
    for part in text.split(","):
        if not part.strip():
            continue
        key, equals, value = part.partition("=")
        if not equals or not value.strip():
            raise InputError(f"--map {part.strip()!r} is not DESTINATION=VARIANT, e.g. stable=blue")
        mapping[key.strip()] = value.strip()
    return mapping
