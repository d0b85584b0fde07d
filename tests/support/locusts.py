"""Locust on our locustfile, as people run it themselves."""

from __future__ import annotations

import contextlib
import csv
import subprocess
import sys
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path

from tests.conftest import ROOT
from tests.fakes.servers import free_port
from tests.support.waiting import until

LOCUSTFILE = ROOT / "locustfiles" / "color.py"
SOURCE = LOCUSTFILE.read_text()
PROGRAM = str(Path(sys.executable).with_name("locust"))
QUIET = ("--loglevel", "WARNING")
LONGEST_RUN = 180  # seconds


def locust(
    directory: Path,
    *options: str,
    file: Path | str = LOCUSTFILE,
    before: Sequence[str] = (),
) -> subprocess.CompletedProcess[str]:
    """Run Locust on a locustfile in a directory, to its end.

    `before` is what the command line begins with.
    """
    return subprocess.run(
        [*before, PROGRAM, "-f", str(file), *QUIET, *options],
        cwd=directory,
        capture_output=True,
        text=True,
        timeout=LONGEST_RUN,
        check=False,
    )


@contextlib.contextmanager
def started_locust(
    directory: Path, *options: str, file: Path | str = LOCUSTFILE
) -> Iterator[subprocess.Popen[str]]:
    """A Locust that goes on beside the test, and has ended when the test is over.

    Both of its streams are written to the process's own log, which `said_by` reads.
    """
    directory.mkdir(exist_ok=True)
    with (directory / "said.log").open("ab") as output:
        process = subprocess.Popen(
            [PROGRAM, "-f", str(file), *QUIET, *options],
            cwd=directory,
            stdout=output,
            stderr=output,
            text=True,
        )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def said_in(directory: Path) -> str:
    """Return what the Locusts that were started in a directory have said."""
    return (directory / "said.log").read_text()


def headless(host: str, directory: Path, *more: str) -> list[str]:
    """Return the options of a run of 8 users without a page, whose files go into a directory."""
    (directory / "run").mkdir(exist_ok=True)
    ports: Sequence[str] = ()
    if "--processes" in more:  # not Locust's own port: another test's master may have it
        port = free_port()
        ports = ("--master-bind-port", port, "--master-port", port)
    return [
        *("--headless", "-u", "8", "-r", "8", "--host", host, "--weight", "25"),
        *("--run-dir", str(directory / "run"), "--csv", str(directory / "stats")),
        *more,
        *ports,
    ]


def rows_of(directory: Path) -> dict[str, int]:
    """Return the rows of the CSV file that Locust wrote for `headless`: requests by name."""
    with (directory / "stats_stats.csv").open() as file:
        return {row["Name"]: int(row["Request Count"]) for row in csv.DictReader(file)}


def fetched(url: str) -> str:
    """Return the body of a page, once it is served."""
    bodies: list[str] = []

    def is_served() -> bool:
        with contextlib.suppress(OSError), urllib.request.urlopen(url, timeout=20) as response:
            bodies.append(response.read().decode())
        return bool(bodies)

    assert until(is_served), f"{url} is not served"
    return bodies[0]
