"""Where requests go, and what stands in them: parsed from text. Each raises InputError."""

from __future__ import annotations

import re
from collections.abc import Mapping
from ipaddress import ip_address
from urllib.parse import urlsplit

from trafficsplit.errors import InputError

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110, section 5.6.2
# The client frames the message itself, and these headers do.
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
    if not valid or any(c <= " " for c in host):
        raise InputError(f"--host {host!r} is no address: give http://NAME or http://NAME:PORT")
    return host.rstrip("/")


def parse_hosts(text: str) -> tuple[str, ...]:
    """Return the base URLs of a text, with commas or spaces in between; each only once."""
    parts = [part for part in re.split(r"[,\s]+", text) if part]
    return tuple(dict.fromkeys(parse_host(part) for part in parts))


def required_hosts(text: str) -> tuple[str, ...]:
    """Return the base URLs of a text, at least one."""
    hosts = parse_hosts(text)
    if not hosts:
        raise InputError("no gateway to ask: give --host http://ADDRESS")
    return hosts


def parse_path(path: str) -> str:
    """Return a path that can be sent as it is."""
    if not path.startswith("/") or not path.isascii() or any(c <= " " for c in path):
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
        if not value.isprintable() or any(ord(c) > 255 for c in value):
            raise InputError(f"--header {name} has characters that cannot be sent: {value!r}")
        headers[name] = value
    return headers


def parse_addresses(text: str) -> dict[str, tuple[str, ...]]:
    """Return addresses by name, from lines of `NAME:ADDRESS,ADDRESS`; none for `NAME` alone."""
    addresses: dict[str, tuple[str, ...]] = {}
    for line in text.splitlines():
        name, colon, rest = line.strip().partition(":")
        try:
            found = _addresses_in(rest) if colon else ()
        except ValueError:
            name = ""
        if not name or any(c <= " " for c in name):
            raise InputError(f"--resolve {line!r} is not NAME:ADDRESS, e.g. gateway:10.0.0.7")
        addresses[name.lower()] = found
    return addresses


def _addresses_in(text: str) -> tuple[str, ...]:
    parts = [part.strip().strip("[]") for part in text.split(",")]
    return tuple(dict.fromkeys(str(ip_address(part)) for part in parts))


def resolve_text(addresses: Mapping[str, tuple[str, ...]]) -> str:
    """Return the lines that `parse_addresses` reads."""
    lines = []
    for name, known in addresses.items():
        lines.append(f"{name}:{','.join(known)}" if known else name)
    return "\n".join(lines)


def parse_mapping(text: str) -> dict[str, str]:
    """Return variants by what they are called elsewhere, from `DESTINATION=VARIANT,…`."""
    mapping = {}
    for part in text.split(","):
        if not part.strip():
            continue
        key, equals, value = part.partition("=")
        if not equals or not key.strip() or not value.strip():
            raise InputError(f"--map {part.strip()!r} is not DESTINATION=VARIANT, e.g. stable=blue")
        mapping[key.strip()] = value.strip()
    return mapping
