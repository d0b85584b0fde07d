"""The request of a run, as manifests match it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from urllib.parse import urlsplit

from trafficsplit.weights.routes import Probe


def probe_of(hosts: Sequence[str], path: str, headers: Mapping[str, str]) -> Probe:
    """Return the request that a run sends to base URLs; a header may give it another host."""
    lower = {name.lower(): value for name, value in headers.items()}
    host = lower.get("host", "")
    if "host" not in lower and hosts:
        host = urlsplit(hosts[0]).netloc
    return Probe(path, host, lower)
