"""The order of a report: the verdict first, the decoration after it, whatever happens meanwhile."""

from __future__ import annotations

import errno
import io
import json
import os
import shlex
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.runs import RUNS, having, made
from trafficsplit.analysis.run import Run
from trafficsplit.errors import BrokenError, ExitCode
from trafficsplit.files import write_whole
from trafficsplit.report import page, pipelines, plots, publish, run_files
from trafficsplit.report.directory import ReportDirectory, report_directory
from trafficsplit.report.document import VerdictDocument
from trafficsplit.report.publish import Clock, Saying, command_line, exit_code
from trafficsplit.report.run_files import read_run

MATCHING = made({"blue": 6000, "green": 2000})
FIRST = {"verdict.json", "junit.xml", "summary.md"}
COUNTS = {"run.json", "tally.csv", "latency.csv"}


def published(run: Run, target: Path, **saying: Any) -> VerdictDocument:
    clock = Clock(time.monotonic())
    with report_directory(target) as report:
        return publish.publish(run, report, clock, Saying(**saying))


def files(directory: Path) -> set[str]:
    return {file.name for file in directory.iterdir()}


def put_before_the_page(monkeypatch: pytest.MonkeyPatch, act: Callable[[Path], None]) -> None:
    """Let something happen when the page is to be drawn, and draw it then."""
    draw = page.write_page

    def write_page(run: Run, document: VerdictDocument, directory: Path) -> None:
        act(directory)
        draw(run, document, directory)

    monkeypatch.setattr(page, "write_page", write_page)


@pytest.mark.parametrize("name", RUNS)
def test_a_report_is_whole(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run: Run = RUNS[name]
    document = published(run, tmp_path / "r")
    assert files(tmp_path / "r") == {*FIRST, *COUNTS, "report.html"}
    verdict = json.loads((tmp_path / "r" / "verdict.json").read_text("utf-8"))
    assert verdict == json.loads(document.as_json())
    assert "analysis" in verdict["phases"]
    assert read_run(tmp_path / "r").tally == run.tally
    said = capsys.readouterr()
    assert said.out.splitlines()[0] == f"{document.verdict}: {document.reason}"
    assert said.out.splitlines()[-1] == f"report: {tmp_path / 'r' / 'report.html'}"
    assert said.err == ""


def test_the_verdict_is_said_and_written_before_anything_is_drawn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    seen: list[str] = []

    def look(directory: Path) -> None:
        assert files(directory) >= FIRST | COUNTS
        assert json.loads((directory / "verdict.json").read_text())["verdict"] == "match"
        seen.append(capsys.readouterr().out)

    put_before_the_page(monkeypatch, look)
    published(MATCHING, tmp_path / "r")
    assert len(seen) == 1
    assert seen[0].startswith("match: The split is as configured")


def test_the_verdict_is_said_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    said: list[str] = []

    def write(file: Path, text: str) -> None:
        said.append(capsys.readouterr().out)
        write_whole(file, text)

    monkeypatch.setattr(publish, "write_whole", write)
    published(MATCHING, tmp_path / "r")
    assert said[0].startswith("match: ")


# --- signals ---


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_while_the_page_is_drawn_takes_the_page_alone(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    number: signal.Signals,
) -> None:
    put_before_the_page(monkeypatch, lambda _: os.kill(os.getpid(), number))
    document = published(MATCHING, tmp_path / "r", plots=True)
    assert exit_code(document) is ExitCode.MATCH
    assert files(tmp_path / "r") == FIRST | COUNTS
    said = capsys.readouterr()
    assert "not written: pictures (interrupted)" in said.err
    assert said.out.splitlines()[-1] == f"report: {tmp_path / 'r'}"


def test_a_signal_while_pictures_are_drawn_leaves_the_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def write_plots(run: Run, directory: Path) -> list[Path]:
        os.kill(os.getpid(), signal.SIGTERM)
        raise AssertionError("it goes on")

    monkeypatch.setattr(plots, "write_plots", write_plots)
    published(MATCHING, tmp_path / "r", plots=True)
    assert files(tmp_path / "r") == {*FIRST, *COUNTS, "report.html"}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_before_leaves_the_verdict_and_no_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    write = pipelines.write

    def interrupted(document: VerdictDocument, directory: Path) -> None:
        os.kill(os.getpid(), number)
        os.kill(os.getpid(), number)
        write(document, directory)

    monkeypatch.setattr(pipelines, "write", interrupted)
    document = published(MATCHING, tmp_path / "r")
    assert exit_code(document) is ExitCode.MATCH
    assert files(tmp_path / "r") == FIRST | COUNTS


def test_signals_do_again_what_they_did_before(tmp_path: Path) -> None:
    before = [signal.getsignal(number) for number in publish.SIGNALS]
    published(MATCHING, tmp_path / "r")
    assert [signal.getsignal(number) for number in publish.SIGNALS] == before


def test_a_thread_that_gets_no_signals_can_publish(tmp_path: Path) -> None:
    found: list[VerdictDocument] = []
    thread = threading.Thread(target=lambda: found.append(published(MATCHING, tmp_path / "r")))
    thread.start()
    thread.join()
    assert exit_code(found[0]) is ExitCode.MATCH
    assert "report.html" in files(tmp_path / "r")


# --- a full disk ---


def full(file: Path, text: str) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(file))


def test_a_full_disk_takes_files_and_no_verdict(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for module in (publish, pipelines, run_files, page):
        monkeypatch.setattr(module, "write_whole", full)
    document = published(made({"blue": 9, "red": 1}), tmp_path / "r")
    assert exit_code(document) is ExitCode.MISMATCH
    said = capsys.readouterr()
    assert said.out.startswith("mismatch: red is not configured")
    (note,) = said.err.splitlines()
    for name in ("verdict.json", "junit.xml", "tally.csv", "report.html"):
        assert f"{name} (No space left on device)" in note


@pytest.mark.parametrize(
    ("module", "lost"),
    [
        (publish, {"verdict.json"}),
        (pipelines, {"junit.xml", "summary.md"}),
        (run_files, COUNTS),
        (page, {"report.html"}),
    ],
)
def test_a_file_that_cannot_be_written_takes_no_other_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, module: Any, lost: set[str]
) -> None:
    monkeypatch.setattr(module, "write_whole", full)
    document = published(MATCHING, tmp_path / "r")
    assert exit_code(document) is ExitCode.MATCH
    assert files(tmp_path / "r") == ({*FIRST, *COUNTS, "report.html"} - lost)


def test_a_report_that_cannot_be_moved_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def put_in_place(self: ReportDirectory, name: str) -> Path:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(ReportDirectory, "put_in_place", put_in_place)
    assert exit_code(published(MATCHING, tmp_path / "r")) is ExitCode.MATCH
    said = capsys.readouterr()
    assert "not written: the report (No space left on device)" in said.err
    assert "report: " not in said.out


def test_a_page_that_breaks_takes_no_verdict_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(_: Path) -> None:
        raise ValueError("two\nlines")

    put_before_the_page(monkeypatch, broken)
    assert exit_code(published(MATCHING, tmp_path / "r")) is ExitCode.MATCH
    assert "not written: the page (ValueError: two lines)" in capsys.readouterr().err
    assert files(tmp_path / "r") == FIRST | COUNTS


# --- our own fault ---


def test_what_we_broke_has_no_verdict_and_keeps_its_counts(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = made({"blue": 60, "green": 20}, broken="broken: no file descriptors are left")
    with pytest.raises(BrokenError, match="no file descriptors are left"):
        published(run, tmp_path / "r")
    assert files(tmp_path / "r") == COUNTS
    assert read_run(tmp_path / "r").tally == run.tally
    said = capsys.readouterr()
    assert said.out == ""
    assert f"what was counted is in {tmp_path / 'r'}" in said.err


def test_what_we_broke_on_a_full_disk_is_still_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_files, "write_whole", full)
    with pytest.raises(BrokenError, match="the disk is full"):
        published(made({"blue": 60}, broken="broken: the disk is full"), tmp_path / "r")


# --- how it is said ---


def test_json_stands_alone_on_standard_output(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    document = published(MATCHING, tmp_path / "r", json=True)
    said = capsys.readouterr()
    assert json.loads(said.out) == json.loads(document.as_json())
    assert said.err.startswith("match: ")
    assert "report: " in said.err


def test_notes_follow_the_verdict(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    published(MATCHING, tmp_path / "r", notes=["3 lines were skipped", "two\nlines"])
    lines = capsys.readouterr().out.splitlines()
    assert lines[1:3] == ["note: 3 lines were skipped.", "note: two lines."]


def test_a_quiet_run_says_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    published(MATCHING, tmp_path / "r", quiet=True)
    assert capsys.readouterr() == ("", "")


def test_a_standard_output_that_takes_nothing_is_noted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class FullStream(io.StringIO):
        def write(self, text: str) -> int:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(sys, "stdout", FullStream())
    document = published(MATCHING, tmp_path / "r", json=True)
    assert exit_code(document) is ExitCode.MATCH
    said = capsys.readouterr().err
    assert "match: The split is as configured" in said
    assert "note: standard output took no JSON." in said


def test_pictures_are_drawn_where_they_are_asked_for(tmp_path: Path) -> None:
    published(MATCHING, tmp_path / "without")
    assert not list((tmp_path / "without").glob("*.png"))
    published(MATCHING, tmp_path / "with", plots=True)
    assert (tmp_path / "with" / "shares.png").exists()


def test_github_is_told_before_anything_is_drawn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    summary = tmp_path / "step.md"
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(summary))
    put_before_the_page(monkeypatch, lambda _: os.kill(os.getpid(), signal.SIGTERM))
    published(MATCHING, tmp_path / "r")
    assert summary.read_text() == (tmp_path / "r" / "summary.md").read_text()
    published(MATCHING, tmp_path / "again", github=False)
    assert summary.read_text() == (tmp_path / "r" / "summary.md").read_text()


def test_text_of_others_is_one_line_on_the_terminal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = having(made({}, unreachable="no\x1b[31m\nverdict: match"), host="http://x")
    published(run, tmp_path / "r")
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "failing: no [31m verdict: match"
    assert not any(line.startswith("verdict") for line in lines)


# --- small parts ---


def test_a_clock_measures_from_lap_to_lap(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(100.0)
    moments = iter([101.5, 101.75])
    monkeypatch.setattr(time, "monotonic", lambda: next(moments))
    clock.lap("imports")
    clock.lap("load")
    assert clock.phases == {"imports": 1.5, "load": 0.25}


def test_a_command_can_be_typed_again(monkeypatch: pytest.MonkeyPatch) -> None:
    arguments = ["verify", "--header", "Host: shop; rm", "--weight", "25"]
    monkeypatch.setattr(sys, "argv", ["/usr/bin/trafficsplit", *arguments])
    assert shlex.split(command_line()) == ["trafficsplit", *arguments]


@pytest.mark.parametrize("name", RUNS)
def test_the_exit_code_is_the_verdicts(name: str, tmp_path: Path) -> None:
    document = published(RUNS[name], tmp_path / "r", quiet=True)
    assert exit_code(document) is document.verdict.exit_code
