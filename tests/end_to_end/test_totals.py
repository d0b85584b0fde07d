"""The tally, Locust's own statistics and Envoy's counters agree, to the last request."""

import csv
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.fakes.servers import free_port, page, plain, read_request, served
from tests.support.envoys import envoys_counts
from tests.support.waiting import until
from trafficsplit import lab
from trafficsplit.lab import Lab
from trafficsplit.report.run_files import read_run

pytestmark = pytest.mark.lab
LOCUST = [
    str(Path(sys.executable).with_name("locust")), "-f",
    str(ROOT / "locustfiles" / "color.py"), "--loglevel", "WARNING",
]  # fmt: skip


@pytest.fixture
def own_lab(tmp_path: Path) -> Iterator[Lab]:
    """A lab whose counters nobody else moves."""
    with lab.start(tmp_path / "lab") as started:
        yield started


def locusts(prefix: Path) -> dict[str, int]:
    """The rows of Locust's CSV file: requests by name."""
    with prefix.with_name(f"{prefix.name}_stats.csv").open() as file:
        return {row["Name"]: int(row["Request Count"]) for row in csv.DictReader(file)}


@pytest.mark.parametrize(
    "more", [(), ("--client", "stock"), ("--client", "requests"), ("--processes", "2")]
)
def test_three_ways_of_counting_agree(own_lab: Lab, tmp_path: Path, more: tuple[str, ...]) -> None:
    run = subprocess.run(
        LOCUST + options(own_lab.host, tmp_path, *more),
        capture_output=True, text=True, timeout=120, check=False, cwd=tmp_path,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    recorded = read_run(tmp_path / "run")
    tally = recorded.tally
    rows = locusts(tmp_path / "stats")
    assert rows["Aggregated"] == tally.requests
    assert {v: rows[f"/color [{v}]"] for v in tally.counts} == dict(tally.counts)
    seen = envoys_counts(own_lab)
    assert sum(seen.values()) == tally.requests + 1  # whether it was ready was asked once
    assert all(0 <= seen[v] - tally.counts[v] <= 1 for v in tally.counts)
    assert sum(sum(b.values()) for b in recorded.latency.values()) == tally.requests
    assert sum(recorded.order.connections.counts.values()) == tally.requests


@pytest.mark.parametrize("more", [(), ("--client", "stock"), ("--processes", "2")])
def test_failures_are_in_locusts_list_one_by_one(tmp_path: Path, more: tuple[str, ...]) -> None:
    answers = [
        plain(page("green")),
        plain(page("blue")),
        plain(page("blue"), "503 Service Unavailable"),
        plain(b"<html>no colour</html>"),
    ]

    def in_turn(connection: socket.socket, number: int) -> None:
        while read_request(connection):
            number += 1
            connection.sendall(answers[number % 4])

    with served(in_turn) as port:
        run = subprocess.run(
            LOCUST + options(f"http://127.0.0.1:{port}", tmp_path, "--test", "fixed", "--requests",
                             "400", "--max-failing", "90", *more),
            capture_output=True, text=True, timeout=120, check=False, cwd=tmp_path,
        )  # fmt: skip
    assert "Traceback" not in run.stderr
    tally = read_run(tmp_path / "run").tally
    assert tally.requests == 400
    assert tally.lost > 100
    rows = locusts(tmp_path / "stats")
    assert rows["Aggregated"] == tally.requests
    assert rows["/color [unidentified]"] == tally.unidentified
    with (tmp_path / "stats_failures.csv").open() as file:
        listed = {row["Error"]: int(row["Occurrences"]) for row in csv.DictReader(file)}
    assert sum(listed.values()) == tally.lost
    assert sum(n for why, n in listed.items() if "HTTP 503" in why) == tally.errors


def test_processes_share_rate_and_budget(own_lab: Lab, tmp_path: Path) -> None:
    more = ("--processes", "2", "--rate", "500", "--test", "fixed", "--requests", "1501")
    run = subprocess.run(
        LOCUST + options(own_lab.host, tmp_path, *more),
        capture_output=True, text=True, timeout=120, check=False, cwd=tmp_path,
    )  # fmt: skip
    assert run.returncode in (0, 1, 3), run.stderr
    recorded = read_run(tmp_path / "run")
    assert recorded.tally.requests == 1501
    assert recorded.interrupted == ""
    assert (recorded.sender.rate, recorded.sender.processes) == (500, 2)
    assert recorded.elapsed > 2.5  # and not as fast as it goes
    assert sum(envoys_counts(own_lab).values()) == 1502


def test_a_worker_that_is_killed_costs_what_it_had_not_told(own_lab: Lab, tmp_path: Path) -> None:
    port = free_port()
    master = subprocess.Popen(
        LOCUST + options(own_lab.host, tmp_path, "--tolerance", "0.4", "--requests", "60000")
        + ["--master", "--expect-workers", "2", "--master-bind-port", port],
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, cwd=tmp_path,
    )  # fmt: skip
    workers = [
        subprocess.Popen(
            [*LOCUST, "--worker", "--master-port", port],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=tmp_path,
        )
        for _ in range(2)
    ]  # fmt: skip
    try:
        assert until(lambda: sum(envoys_counts(own_lab).values()) > 15_000, 60)
        workers[0].kill()
        said = master.communicate(timeout=120)[1]
    finally:
        for process in (master, *workers):
            process.kill()
            process.wait()
    assert master.returncode in (0, 1, 3), said  # whatever the verdict, there is one
    recorded = read_run(tmp_path / "run")
    assert (recorded.sender.processes, recorded.sender.lost) == (2, 1)
    rows = locusts(tmp_path / "stats")
    assert rows["Aggregated"] == recorded.tally.requests >= 15_000
    seen = sum(envoys_counts(own_lab).values())
    # What half of a second and the dying took along: no more than one report's worth.
    assert recorded.tally.requests < seen
    assert recorded.tally.requests + 1 + 8 + 20_000 > seen


def test_a_worker_of_another_version_is_refused_in_one_line(own_lab: Lab, tmp_path: Path) -> None:
    port = free_port()
    other = tmp_path / "other.py"
    source = (ROOT / "locustfiles" / "color.py").read_text()
    other.write_text(
        f"import trafficsplit.locust.fleet as workers\nworkers.VERSION = '0.0.9'\n{source}"
    )
    master = subprocess.Popen(
        LOCUST + options(own_lab.host, tmp_path)
        + ["--master", "--expect-workers", "2", "--master-bind-port", port],
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, cwd=tmp_path,
    )  # fmt: skip
    stranger = subprocess.Popen(
        [LOCUST[0], "-f", str(other), "--loglevel", "WARNING", "--worker", "--master-port", port],
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, cwd=tmp_path,
    )  # fmt: skip
    try:
        line = stranger.communicate(timeout=60)[1]
        assert stranger.returncode == 2, line
        assert re.search(r"refused: worker \S+ has trafficsplit 0\.0\.9, the master", line)
        assert sum(envoys_counts(own_lab).values()) == 0  # it has sent nothing
    finally:
        master.kill()
        said = master.communicate()[1]
        stranger.kill()
        stranger.wait()
    assert "install the same on both" in said
