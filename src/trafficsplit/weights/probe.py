"""The request of a run, as manifests match it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from urllib.parse import urlsplit

from trafficsplit.weights.routes import Probe


def probe_of(hosts: Sequence[str], path: str, headers: Mapping[str, str]) -> Probe:
    """Return the request that a run sends; its host is the header's, else the first base URL's."""
    lower = {name.lower(): value for name, value in headers.items()}
    host = urlsplit(hosts[0]).netloc if hosts else ""
    return Probe(path, lower.get("host", host), lower)
