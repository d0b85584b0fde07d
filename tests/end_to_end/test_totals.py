"""The tally, Locust's own statistics and Envoy's counters agree, to the last request."""

from __future__ import annotations

import contextlib
import csv
import re
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fakes.servers import free_port, page, plain, read_request, served
from tests.support.envoys import envoys_counts
from tests.support.locusts import (
    LOCUSTFILE,
    SOURCE,
    headless,
    locust,
    rows_of,
    said_in,
    started_locust,
)
from tests.support.questions import SURE
from tests.support.waiting import until
from trafficsplit import lab
from trafficsplit.lab import Lab
from trafficsplit.report.run_files import read_run

pytestmark = pytest.mark.lab


@pytest.fixture
def own_lab(tmp_path: Path) -> Iterator[Lab]:
    """A lab whose counters nobody else moves."""
    with lab.start(tmp_path / "lab") as started:
        yield started


MOST_LATE = 32  # as many as may be under way while the machine stands still


@pytest.mark.slow
@pytest.mark.parametrize(
    "more", [(), ("--client", "stock"), ("--client", "requests"), ("--processes", "2")]
)
def test_three_ways_of_counting_agree(own_lab: Lab, tmp_path: Path, more: tuple[str, ...]) -> None:
    run = locust(tmp_path, *headless(own_lab.host, tmp_path, *SURE, *more))
    assert run.returncode == 0, run.stderr
    recorded = read_run(tmp_path / "run")
    tally = recorded.tally
    rows = rows_of(tmp_path)
    assert rows["Aggregated"] == tally.requests
    assert {v: rows[f"/color [{v}]"] for v in tally.counts} == dict(tally.counts)
    seen = envoys_counts(own_lab)
    assert sum(seen.values()) == tally.requests + 1  # whether it was ready was asked once
    assert all(0 <= seen[v] - tally.counts[v] <= 1 for v in tally.counts)
    counted = recorded.counted
    assert sum(sum(b.values()) for b in counted.latency.values()) == tally.requests
    # Answers that are so late that the others did not wait for them are in no order.
    late = tally.requests - sum(counted.order.connections.counts.values())
    assert 0 <= late <= MOST_LATE


ANSWERS = (
    plain(page("green")),
    plain(page("blue")),
    plain(page("blue"), "503 Service Unavailable"),
    plain(b"<html>no color</html>"),
)


def in_turn(connection: socket.socket, number: int) -> None:
    """Give each kind of answer in turn, on each connection from another one on."""
    while read_request(connection):
        number += 1
        connection.sendall(ANSWERS[number % len(ANSWERS)])


@pytest.mark.parametrize("more", [(), ("--client", "stock"), ("--processes", "2")])
def test_failures_are_in_locusts_list_one_by_one(tmp_path: Path, more: tuple[str, ...]) -> None:
    question = ("--test", "fixed", "--requests", "400", "--max-failing", "90")
    with served(in_turn) as port:
        run = locust(tmp_path, *headless(f"http://127.0.0.1:{port}", tmp_path, *question, *more))
    assert "Traceback" not in run.stderr
    tally = read_run(tmp_path / "run").tally
    assert tally.requests == 400
    assert tally.lost > 100
    rows = rows_of(tmp_path)
    assert rows["Aggregated"] == tally.requests
    assert rows["/color [unidentified]"] == tally.unidentified
    with (tmp_path / "stats_failures.csv").open() as file:
        listed = {row["Error"]: int(row["Occurrences"]) for row in csv.DictReader(file)}
    assert sum(listed.values()) == tally.lost
    assert sum(n for why, n in listed.items() if "HTTP 503" in why) == tally.errors


def test_processes_share_rate_and_budget(own_lab: Lab, tmp_path: Path) -> None:
    question = ("--test", "fixed", "--requests", "1501")
    shared = ("--processes", "2", "--rate", "500")
    run = locust(tmp_path, *headless(own_lab.host, tmp_path, *question, *shared))
    assert run.returncode in (0, 1, 3), run.stderr
    recorded = read_run(tmp_path / "run")
    assert recorded.tally.requests == 1501
    assert recorded.ending.interrupted == ""
    assert (recorded.sender.rate, recorded.sender.processes) == (500, 2)
    assert recorded.subject.elapsed > 2.5  # and not as fast as it goes
    assert sum(envoys_counts(own_lab).values()) == 1502


@pytest.mark.slow
def test_a_worker_that_is_killed_costs_what_it_had_not_told(own_lab: Lab, tmp_path: Path) -> None:
    port = free_port()
    question = ("--tolerance", "0.4", "--requests", "60000")
    master = (*headless(own_lab.host, tmp_path, *question), *master_of(port, workers=2))
    with (
        started_locust(tmp_path / "master", *master) as leading,
        started_locust(tmp_path / "first", *worker_of(port)) as first,
        started_locust(tmp_path / "second", *worker_of(port)),
    ):
        assert until(lambda: sum(envoys_counts(own_lab).values()) > 15_000)
        first.kill()
        leading.wait(180)
    assert leading.returncode in (0, 1, 3), said_in(tmp_path / "master")  # there is a verdict
    recorded = read_run(tmp_path / "run")
    assert (recorded.sender.processes, recorded.sender.lost) == (2, 1)
    rows = rows_of(tmp_path)
    assert rows["Aggregated"] == recorded.tally.requests >= 15_000
    seen = sum(envoys_counts(own_lab).values())
    # What half of a second and the dying took along: no more than one report's worth.
    assert recorded.tally.requests < seen
    assert recorded.tally.requests + 1 + 8 + 20_000 > seen


def master_of(port: str, workers: int) -> list[str]:
    """Return the options of a master that waits for workers."""
    return ["--master", "--expect-workers", str(workers), "--master-bind-port", port]


def worker_of(port: str) -> list[str]:
    """Return the options of a worker."""
    return ["--worker", "--master-port", port]


def test_a_worker_of_another_version_is_refused_in_one_line(own_lab: Lab, tmp_path: Path) -> None:
    port = free_port()
    other = tmp_path / "other.py"
    other.write_text(
        f"import trafficsplit.locust.fleet as workers\nworkers.VERSION = '0.0.9'\n{SOURCE}"
    )
    master = (*headless(own_lab.host, tmp_path), *master_of(port, workers=2))
    with contextlib.ExitStack() as started:
        started.enter_context(started_locust(tmp_path / "master", *master, file=LOCUSTFILE))
        stranger = started.enter_context(
            started_locust(tmp_path / "stranger", *worker_of(port), file=other)
        )
        stranger.wait(180)
        line = said_in(tmp_path / "stranger")
        assert stranger.returncode == 2, line
        assert re.search(r"refused: worker \S+ has trafficsplit 0\.0\.9, the master", line)
        assert sum(envoys_counts(own_lab).values()) == 0  # it has sent nothing
    assert "install the same on both" in said_in(tmp_path / "master")
