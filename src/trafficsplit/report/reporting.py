"""From a run to its report: judged, drawn, written, and said; for every command that judges."""

from __future__ import annotations

import contextlib
import datetime
import shlex
import shutil
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from analysis.errors import InputError
from analysis.text import one_line

if TYPE_CHECKING:
    from analysis import Judgement, Run


def finished(
    run: Run, report: Report, clock: Clock, *, as_json: bool, notes: Sequence[str] = ()
) -> int:
    """Judge and report; say it on standard output, or with `as_json` on standard error.

    Returns the exit code. Raises OSError, but not before the verdict is said.
    """
    from trafficsplit.pipelines import tell_github
    from trafficsplit.report import further_lines

    judgement, verdict = _written(run, report, clock)
    if as_json:
        print((report.directory / "verdict.json").read_text("utf-8"), end="")
    lines = [f"{judgement.verdict}: {judgement.reason}", *further_lines(verdict)]
    lines += [f"note: {note}." for note in notes]
    lines.append(f"report: {report.directory / 'report.html'}")
    print(
        "\n".join(one_line(line, 2000) for line in lines),
        file=sys.stderr if as_json else sys.stdout,
    )
    tell_github(verdict)
    return judgement.verdict.exit_code


def _written(run: Run, report: Report, clock: Clock) -> tuple[Judgement, Mapping[str, Any]]:
    """Judge, draw and write; the directory has its last name then.

    Raises OSError, but not before the verdict is said.
    """
    from analysis import write_run
    from analysis.judge import judge
    from analysis.plots import write_plots
    from trafficsplit import pipelines
    from trafficsplit.page import write_page
    from trafficsplit.report import verdict_object, write_verdict

    judgement = judge(run)
    verdict = verdict_object(run, judgement)
    clock.lap("analysis")
    try:
        write_run(run, report.directory)
        plots = write_plots(run, report.directory)
        clock.lap("plots")
        write_page(run, verdict, plots, report.directory)
        clock.lap("report")
        pipelines.write(verdict, report.directory)
        write_verdict({**verdict, "phases": clock.phases}, report.directory)
        report.name_for(str(judgement.verdict), run.started_at)
    except OSError:
        print(f"{judgement.verdict}: {judgement.reason}", file=sys.stderr)
        raise
    return judgement, verdict


def command_line() -> str:
    """What was typed, to be typed again."""
    return shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]])


class Clock:
    """How long each phase took, from the start of the command."""

    def __init__(self, began: float) -> None:
        self._last = began
        self.phases: dict[str, float] = {}

    def lap(self, phase: str) -> None:
        """A phase is over."""
        now = time.monotonic()
        self.phases[phase] = round(now - self._last, 3)
        self._last = now


class Report:
    """Where the report is written."""

    def __init__(self, directory: Path, *, named: bool) -> None:
        self.directory = directory
        self._named = named

    def name_for(self, verdict: str, started_at: str) -> None:
        """Give a directory of our own choice the name that tells what is in it."""
        if self._named:
            return
        moment = datetime.datetime.fromisoformat(started_at).strftime("%Y%m%dT%H%M%SZ")
        for attempt in range(100):
            suffix = f"-{attempt + 1}" if attempt else ""
            target = self.directory.with_name(f"{moment}-{verdict}{suffix}")
            if not target.exists():
                self.directory = self.directory.rename(target)
                return


@contextlib.contextmanager
def report_directory(directory: Path | None, *, keep: bool = False) -> Iterator[Report]:
    """A directory to write into; with `keep` a recording in it stays.

    Raises InputError where there is none to be had.
    """
    from analysis.recording import RECORDING

    named = directory is not None
    if directory is None:
        now = datetime.datetime.now(datetime.UTC).strftime("%Y%m%dT%H%M%S.%fZ")
        directory = Path("reports") / f".{now}"
    try:
        directory.mkdir(parents=True, exist_ok=True)
        # An older run is not this one.
        (directory / "run.json").unlink(missing_ok=True)
        if not keep:
            shutil.rmtree(directory / RECORDING, ignore_errors=True)
        probe = directory / ".writable"
        probe.touch()
        probe.unlink()
        report = Report(directory, named=named)
        yield report
    except OSError as error:
        where = error.filename or directory
        raise InputError(
            f"{where} cannot be written ({error.strerror or error}): give another --report DIR"
        ) from None
    finally:
        if not named:
            with contextlib.suppress(OSError):  # an empty directory would only be litter
                directory.rmdir()
