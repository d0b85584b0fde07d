"""Locust on our locustfile, as people run it themselves."""

from __future__ import annotations

import subprocess
import sys
import time
import urllib.request
from pathlib import Path

from tests.conftest import ROOT
from tests.fakes.servers import free_port

LOCUSTFILE = ROOT / "locustfiles" / "color.py"
LOCUST = [
    *(str(Path(sys.executable).with_name("locust")), "-f", str(LOCUSTFILE)),
    *("--loglevel", "WARNING"),
]


def locust(directory: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """Run Locust in a directory, to its end."""
    return subprocess.run(
        [LOCUST[0], "-f", str(LOCUSTFILE), *options],
        cwd=directory,
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )


def headless(host: str, directory: Path, *more: str) -> list[str]:
    """Return the options of a run of 8 users without a page, whose files go into a directory."""
    (directory / "run").mkdir(exist_ok=True)
    if "--processes" in more:  # not Locust's own port: another test's master may have it
        port = free_port()
        more = (*more, "--master-bind-port", port, "--master-port", port)
    return [
        *("--headless", "-u", "8", "-r", "8", "--host", host, "--weight", "25"),
        *("--run-dir", str(directory / "run"), "--csv", str(directory / "stats"), *more),
    ]


def fetched(url: str) -> str:
    """Return the body of a page, once somebody answers."""
    deadline = time.monotonic() + 60
    while True:
        try:
            with urllib.request.urlopen(url, timeout=20) as response:
                return str(response.read().decode())
        except OSError:
            assert time.monotonic() < deadline
            time.sleep(0.1)
