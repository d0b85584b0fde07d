"""Runs and their reports are not mixed up: one run a directory, and nothing of an earlier one."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Cli, refused
from tests.fakes.servers import served, split
from tests.support.processes import ended, locusts_of, processes_of, started_command
from tests.support.questions import SURE_25
from tests.support.waiting import begun, until

OUT = ("--report", "out")
# A run that goes on until it is told to end.
LONG = ("--weight", "25", "--test", "fixed", "--requests", "4000000", *OUT)


@pytest.fixture(scope="module")
def gateway() -> Iterator[str]:
    with served(split(0.25)) as port:
        yield f"http://127.0.0.1:{port}"


def verdict_in(report: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((report / "verdict.json").read_text())
    return found


def files_of(directory: Path) -> set[str]:
    """Return what is in a directory, but for what runs have left behind aside."""
    return {path.name for path in directory.iterdir() if not path.name.startswith(".run-")}


def test_a_second_run_into_a_report_is_refused(gateway: str, cli: Cli, tmp_path: Path) -> None:
    options = ("verify", "--host", gateway)
    with started_command(tmp_path, *options, *LONG) as process:
        assert until(begun(tmp_path / "out"))
        line = refused(cli, *options, "--weight", "90", *OUT)
        assert "another run is writing into out" in line
        assert files_of(tmp_path / "out") == set()
        process.terminate()
        code, out, err = ended(process)
    # The first has its own counts, and its own weight.
    assert code == 3, out + err
    assert verdict_in(tmp_path / "out")["expected"] == {"blue": 0.75, "green": 0.25}
    # And once it has ended, there is room for the next.
    assert cli(*options, "--weight", "90", *OUT).returncode == 1


def test_each_run_has_an_id(gateway: str, cli: Cli, tmp_path: Path) -> None:
    ids = set()
    for _ in range(2):
        assert cli("verify", "--host", gateway, "--weight", "90", *OUT).returncode == 1
        verdict = verdict_in(tmp_path / "out")
        run = json.loads((tmp_path / "out" / "run.json").read_text())
        assert verdict["run_id"] == run["subject"]["run_id"]
        ids.add(verdict["run_id"])
    assert len(ids) == 2
    assert "" not in ids


@pytest.fixture
def earlier(gateway: str, cli: Cli, tmp_path: Path) -> Path:
    """The report of a match, with a file of the user's beside it."""
    result = cli("verify", "--host", gateway, *SURE_25, *OUT, "--plots")
    assert result.returncode == 0, result.stderr
    report = tmp_path / "out"
    (report / "notes.txt").write_text("the user's own")
    assert {"verdict.json", "junit.xml", "summary.md", "shares.png"} <= files_of(report)
    return report


REFUSED = [
    ("--host", "http://nowhere.invalid", "--resolve", "nowhere.invalid"),
    ("--host", "https://127.0.0.1:1", "--ca-file", __file__),
    ("--host", "http://127.0.0.1:1", "--host", "http://127.0.0.1:2", "--users", "1"),
]


def test_what_is_refused_for_the_gateway_leaves_no_earlier_verdict(cli: Cli, earlier: Path) -> None:
    kept = {path.name: path.read_bytes() for path in earlier.iterdir()}
    for options in REFUSED:
        for name, content in kept.items():
            (earlier / name).write_bytes(content)
        refused(cli, "verify", "--weight", "25", *options, *OUT)
        assert files_of(earlier) == {"notes.txt"}, options
    assert not list(earlier.glob(".run-*"))


def test_a_run_that_is_killed_leaves_no_earlier_verdict(gateway: str, earlier: Path) -> None:
    options = ("verify", "--host", gateway, *LONG)
    with started_command(earlier.parent, *options) as process:
        assert until(begun(earlier))
        locusts_of(process)[0].kill()
        code, _, err = ended(process)
    assert code == 5, err
    assert files_of(earlier) == {"notes.txt"}


def test_a_verify_that_is_killed_leaves_no_earlier_verdict(gateway: str, earlier: Path) -> None:
    options = ("verify", "--host", gateway, *LONG)
    with started_command(earlier.parent, *options) as process:
        assert until(begun(earlier))
        process.kill()
        ended(process)
    assert files_of(earlier) == {"notes.txt"}
    assert until(lambda: not processes_of(earlier.parent))  # what it had started has ended too
