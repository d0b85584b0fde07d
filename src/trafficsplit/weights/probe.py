"""The request of a run, as manifests match it."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping, Sequence
from urllib.parse import SplitResult, urlsplit

from trafficsplit.weights.routes import Probe

DEFAULT_PORTS = {"http": 80, "https": 443}


def probe_of(hosts: Sequence[str], path: str, headers: Mapping[str, str]) -> Probe:
    """Return the request that a run sends to base URLs; a header may give it another host."""
    lower = {name.lower(): value for name, value in headers.items()}
    host = lower.get("host", "")
    if not hosts:
        return Probe(path, host, lower)
    url = urlsplit(hosts[0])
    if "host" not in lower:
        host = url.netloc
    return Probe(path, host, lower, scheme=url.scheme, port=_port_of(url))


def _port_of(url: SplitResult) -> int:
    """Return the gateway's port, 0 where an address does not tell it.

    An address with a port of its own may be a node's, a forwarded one or a balancer's.
    """
    default = DEFAULT_PORTS.get(url.scheme, 0)
    try:
        port = url.port or default
    except ValueError:
        return 0
    if port == default or not _is_address(url.hostname or ""):
        return port
    return 0


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return name == "localhost"
    return True
