"""Envoy's own counters: the oracle of every count."""

from __future__ import annotations

import http.client

from trafficsplit.identify.identifier import variant_of
from trafficsplit.lab import Lab


def envoys_counts(started: Lab) -> dict[str, int]:
    """Return the requests that Envoy sent to each subset."""
    connection = http.client.HTTPConnection(started.admin.removeprefix("http://"), timeout=10)
    connection.request("GET", "/stats?filter=upstream_rq_completed")
    lines = connection.getresponse().read().decode().splitlines()
    connection.close()
    found = {}
    for line in lines:
        if "-sub|" in line:
            found[line.split("|")[2].removesuffix("-sub")] = int(line.rsplit(": ", 1)[1])
    return found


def ask(host: str, path: str, **headers: str) -> tuple[int, str | None]:
    """Ask a gateway once; return the status, and the variant that answered."""
    connection = http.client.HTTPConnection(host.removeprefix("http://"), timeout=10)
    try:
        connection.request("GET", path, headers=headers)
        response = connection.getresponse()
        return response.status, variant_of(response.read(), "text/html")
    finally:
        connection.close()
