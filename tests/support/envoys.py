"""Envoy's own counters: the oracle of every count."""

from __future__ import annotations

import http.client
from pathlib import Path

from trafficsplit.identify.identifier import variant_of
from trafficsplit.lab import Lab, State


def envoys_counts(started: Lab | State) -> dict[str, int]:
    """Return the requests that a lab's Envoy sent to each subset."""
    found = {}
    for line in _stats(started.admin, "upstream_rq_completed"):
        if "-sub|" in line:
            found[line.split("|")[2].removesuffix("-sub")] = int(line.rsplit(": ", 1)[1])
    return found


def envoy_has_seen(admin: str, requests: int) -> bool:
    """Return whether this many requests have come in since an Envoy was started.

    `admin` is the URL of its administration.
    """
    (line,) = _stats(admin, "gateway.downstream_rq_total")
    return int(line.rsplit(": ", 1)[1]) >= requests


def _stats(admin: str, name: str) -> list[str]:
    connection = http.client.HTTPConnection(admin.removeprefix("http://"), timeout=60)
    try:
        connection.request("GET", f"/stats?filter={name}")
        return connection.getresponse().read().decode().splitlines()
    finally:
        connection.close()


def admin_of_run(report: Path) -> str:
    """Return the administration's URL of the Envoy that a run has started for itself.

    Empty while there is none; `report` is the directory that the run's report goes to.
    """
    for file in report.glob(".run-*/lab/envoy-admin.txt"):
        text = file.read_text("ascii").strip()
        if ":" in text:  # the file is there before its text is
            return f"http://{text}"
    return ""


def ask(host: str, path: str, **headers: str) -> tuple[int, str | None]:
    """Ask a gateway once; return the status, and the variant that answered."""
    connection = http.client.HTTPConnection(host.removeprefix("http://"), timeout=10)
    try:
        connection.request("GET", path, headers=headers)
        response = connection.getresponse()
        return response.status, variant_of(response.read(), "text/html")
    finally:
        connection.close()
