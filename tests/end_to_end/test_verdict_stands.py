"""A verdict that is known stands, whatever becomes of its pictures, its streams and its disk."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import IO

import pytest

from tests.fakes.servers import served, split
from tests.support.processes import ended, started_command
from tests.support.questions import SURE_25
from tests.support.waiting import until

# Verdicts on a gateway that gives green 25 %, each with its code and how to get it.
MATCH = ("match", 0, SURE_25)
MISMATCH = ("mismatch", 1, ("--weight", "90"))
Case = tuple[str, int, tuple[str, ...]]
OUT = ("--report", "out")


@pytest.fixture(scope="module")
def gateway() -> Iterator[str]:
    with served(split(0.25)) as port:
        yield f"http://127.0.0.1:{port}"


def check_report(report: Path, name: str) -> None:
    """Assert that a report is in its place, and says this verdict."""
    assert json.loads((report / "verdict.json").read_text())["verdict"] == name
    assert ("<failure" in (report / "junit.xml").read_text()) == (name == "mismatch")
    assert f" {name}: " in (report / "summary.md").read_text().splitlines()[0]
    assert not list(report.glob(".run-*"))


def has_said(process: subprocess.Popen[str], report: Path) -> bool:
    """Wait for the verdict's sentence: what follows is written, and drawn."""
    assert process.stdout
    return "match: " in process.stdout.readline()


def draws(process: subprocess.Popen[str], report: Path) -> bool:
    """Wait for the page, which comes before the pictures."""
    return until(lambda: list(report.glob(".run-*/report.html")) or process.poll() is not None)


@pytest.mark.parametrize(
    "signals",
    [
        (signal.SIGTERM,),
        (signal.SIGINT,),
        (signal.SIGINT, signal.SIGINT),
        (signal.SIGTERM, signal.SIGINT),
    ],
)
@pytest.mark.parametrize("moment", [has_said, draws])
@pytest.mark.parametrize("case", [MATCH, MISMATCH], ids=["match", "mismatch"])
def test_signals_while_it_draws_take_pictures_only(
    gateway: str,
    tmp_path: Path,
    case: Case,
    moment: Callable[[subprocess.Popen[str], Path], bool],
    signals: tuple[signal.Signals, ...],
) -> None:
    name, code, question = case
    options = ("--host", gateway, *question, "--plots", *OUT)
    with started_command(tmp_path, "verify", *options) as process:
        assert moment(process, tmp_path / "out")
        for number in signals:
            process.send_signal(number)
        found, _, err = ended(process)
    assert found == code, err
    assert "Traceback" not in err
    check_report(tmp_path / "out", name)


@contextlib.contextmanager
def closed_pipe() -> Iterator[IO[str]]:
    """A pipe whose reader has gone, as with `| head -c0`."""
    ours, theirs = os.pipe()
    os.close(ours)
    with os.fdopen(theirs, "w") as stream:
        yield stream


def full_disk() -> AbstractContextManager[IO[str]]:
    """A file on a disk that is full, as with `>/dev/full`."""
    return Path("/dev/full").open("w")


HAS_FULL_DISK = pytest.mark.skipif(
    not Path("/dev/full").exists(), reason="/dev/full is Linux's full disk"
)


@pytest.mark.parametrize("output", [closed_pipe, pytest.param(full_disk, marks=HAS_FULL_DISK)])
@pytest.mark.parametrize("more", [(), ("--json",)])
@pytest.mark.parametrize("case", [MATCH, MISMATCH], ids=["match", "mismatch"])
def test_an_output_that_takes_nothing_takes_no_verdict(
    gateway: str,
    tmp_path: Path,
    case: Case,
    more: tuple[str, ...],
    output: Callable[[], AbstractContextManager[IO[str]]],
) -> None:
    name, code, question = case
    options = ("--host", gateway, *question, *OUT, *more)
    with (
        output() as stream,
        started_command(tmp_path, "verify", *options, stdout=stream) as process,
    ):
        found, _, err = ended(process)
    assert found == code, err
    assert "Traceback" not in err
    assert f"{name}: " in err  # said where it can be
    check_report(tmp_path / "out", name)


CLOSED_OUTPUT = ("sh", "-c", 'exec "$0" "$@" >&-')
CLOSED_STREAMS = ("sh", "-c", 'exec "$0" "$@" <&- >&- 2>&-')


@pytest.mark.parametrize("before", [CLOSED_OUTPUT, CLOSED_STREAMS], ids=["output", "all streams"])
@pytest.mark.parametrize("case", [MATCH, MISMATCH], ids=["match", "mismatch"])
def test_closed_streams_take_no_verdict(
    gateway: str, tmp_path: Path, case: Case, before: tuple[str, ...]
) -> None:
    name, code, question = case
    options = ("--host", gateway, *question, *OUT)
    with started_command(tmp_path, "verify", *options, before=before) as process:
        found, _, err = ended(process)
    assert found == code, err
    if before is CLOSED_OUTPUT:
        assert f"{name}: " in err
    check_report(tmp_path / "out", name)


@pytest.fixture(params=["64k", "16k"])
def small_disk(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    """A directory on a disk of its own, too small for a page, or for most files."""
    if os.geteuid() != 0:
        pytest.skip("only root can mount a small disk")
    directory = tmp_path / "out"
    directory.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={request.param}", "none", str(directory)]
    mounted = subprocess.run(command, capture_output=True, text=True, check=False)
    if mounted.returncode:
        pytest.skip(f"no small disk can be mounted: {mounted.stderr.strip()}")
    try:
        yield directory
    finally:
        subprocess.run(["umount", "-l", str(directory)], check=True)


@pytest.mark.parametrize("case", [MATCH, MISMATCH], ids=["match", "mismatch"])
def test_a_full_disk_takes_no_verdict(
    gateway: str, tmp_path: Path, small_disk: Path, case: Case
) -> None:
    name, code, question = case
    options = ("--host", gateway, *question, *OUT)
    with started_command(tmp_path, "verify", *options) as process:
        found, out, err = ended(process)
    assert found == code, err
    assert out.startswith(f"{name}: ")
    assert "note: not written: " in err
    assert "No space left on device" in err
    assert "Traceback" not in err
    # What there is speaks of this verdict, and the first files are those that pipelines read.
    assert json.loads((small_disk / "verdict.json").read_text())["verdict"] == name
