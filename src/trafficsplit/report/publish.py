"""From a run to its report, in this order: the verdict first, the decoration after it.

The sentence and the exit code come from memory. verdict.json, junit.xml and summary.md follow in
milliseconds; then the run's files and the page; pictures last, and only if they are asked for. A
full disk costs files but no verdict, and a signal from here on costs pictures only.
"""

from __future__ import annotations

import contextlib
import shlex
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from trafficsplit.analysis.judge import judge
from trafficsplit.analysis.run import Run
from trafficsplit.errors import BrokenError, ExitCode
from trafficsplit.files import write_whole
from trafficsplit.frame import say
from trafficsplit.report import pipelines
from trafficsplit.report.directory import VERDICT, ReportDirectory, directory_name
from trafficsplit.report.document import VerdictDocument, document_of, further_lines
from trafficsplit.report.run_files import write_run
from trafficsplit.settings.secrets import masked_arguments
from trafficsplit.text import one_line

SIGNALS = (signal.SIGINT, signal.SIGTERM)
MOST_SAID = 2000  # characters of a line


class Clock:
    """Measures how long each phase of a command takes, in seconds.

    `began` is the start of the first, by the monotonic clock.
    """

    def __init__(self, began: float) -> None:
        self._last = began
        self.phases: dict[str, float] = {}

    def lap(self, phase: str) -> None:
        """Note that a phase is over, and that the next begins."""
        now = time.monotonic()
        self.phases[phase] = round(now - self._last, 3)
        self._last = now


@dataclass(frozen=True)
class Saying:
    """How a verdict is said: as JSON on standard output (`json`), followed by `notes`.

    `quiet` says nothing at all. `github` gives the verdict to a workflow of GitHub's as well, if it
    runs in one; `plots` draws pictures.
    """

    json: bool = False
    plots: bool = False
    quiet: bool = False
    github: bool = True
    notes: Sequence[str] = ()


@dataclass
class HeldSignals:
    """Signals that came in while they were held back."""

    caught: list[int] = field(default_factory=list)

    def catch(self, number: int, _: object) -> None:
        """Take a signal, as its handler."""
        self.caught.append(number)


class Skipped(BaseException):
    """A signal says that no more pictures are wanted."""


def publish(run: Run, report: ReportDirectory, clock: Clock, saying: Saying) -> VerdictDocument:
    """Judge a run, say the verdict, and write the report. Return the verdict document.

    Raises BrokenError if the run has no verdict because we failed ourselves.
    """
    with signals_held_back() as signals:
        if run.ending.broken:
            _write_what_there_is(run, report)
            raise BrokenError(run.ending.broken)
        judgement = judge(run)
        document = document_of(run, judgement)
        clock.lap("analysis")
        document = replace(document, phases=dict(clock.phases))
        _say_verdict(document, saying)
        missing = _write_first(run, document, report)
        if saying.github:
            pipelines.tell_github(document)
        if not signals.caught:
            missing += _decorate(run, document, report, saying)
        directory = _put_in_place(document, report, missing)
        if not saying.quiet:
            _say_where(directory, missing, saying)
    return document


@contextlib.contextmanager
def signals_held_back() -> Iterator[HeldSignals]:
    """Hold SIGINT and SIGTERM back: they cost neither what was counted nor its verdict."""
    signals = HeldSignals()
    with _handled_by(signals.catch):
        yield signals


@contextlib.contextmanager
def _handled_by(handler: Callable[[int, Any], None]) -> Iterator[None]:
    try:
        before = [signal.signal(number, handler) for number in SIGNALS]
    except ValueError:  # not in the main thread, which alone gets signals
        yield
        return
    try:
        yield
    finally:
        for number, old in zip(SIGNALS, before, strict=True):
            signal.signal(number, old)


def _say_verdict(document: VerdictDocument, saying: Saying) -> None:
    if saying.quiet:
        return
    lines = [f"{document.verdict}: {document.reason}", *further_lines(document)]
    lines += [f"note: {note}." for note in saying.notes]
    if saying.json and not say(document.as_json()):
        lines.append("note: standard output took no JSON.")
    say("\n".join(one_line(line, MOST_SAID) for line in lines), to_error=saying.json)


def _write_first(run: Run, document: VerdictDocument, report: ReportDirectory) -> list[str]:
    """Write the verdict's files; return what could not be written."""
    missing: list[str] = []
    with _noting(missing):
        write_whole(report.aside / VERDICT, document.as_json() + "\n")
    with _noting(missing):
        pipelines.write(document, report.aside)
    with _noting(missing):
        write_run(run, report.aside)
    return missing


@contextlib.contextmanager
def _noting(missing: list[str]) -> Iterator[None]:
    """Note a file that cannot be written, as on a full disk, and go on."""
    try:
        yield
    except OSError as error:
        name = Path(str(error.filename)).name if error.filename else "a file"
        missing.append(f"{name} ({error.strerror or error})")


def _decorate(
    run: Run, document: VerdictDocument, report: ReportDirectory, saying: Saying
) -> list[str]:
    """Write the page and draw the pictures, until a signal says that they are not wanted.

    Return what could not be written.
    """

    def skip(*_: object) -> None:
        raise Skipped

    missing: list[str] = []
    try:
        with _handled_by(skip):
            with _noting(missing):
                from trafficsplit.report.page import write_page

                write_page(run, document, report.aside)
            if saying.plots:
                with _noting(missing):
                    from trafficsplit.report.plots import write_plots

                    write_plots(run, report.aside)
    except Skipped:
        missing.append("pictures (interrupted)")
    except Exception as error:  # what is decoration takes no verdict with it
        missing.append(f"the page ({type(error).__name__}: {one_line(str(error))})")
    return missing


def _put_in_place(
    document: VerdictDocument, report: ReportDirectory, missing: list[str]
) -> Path | None:
    try:
        return report.put_in_place(directory_name(document.started_at, str(document.verdict)))
    except OSError as error:
        missing.append(f"the report ({error.strerror or error})")
        return None


def _say_where(directory: Path | None, missing: Sequence[str], saying: Saying) -> None:
    if missing:
        say(f"note: not written: {', '.join(missing)}.", to_error=True)
    if directory is None:
        return
    page = directory / "report.html"
    say(f"report: {page if page.exists() else directory}", to_error=saying.json)


def _write_what_there_is(run: Run, report: ReportDirectory) -> None:
    """Keep what was counted before we broke, without a verdict."""
    with contextlib.suppress(OSError):
        write_run(run, report.aside)
        directory = report.put_in_place(directory_name(run.subject.started_at, "broken"))
        say(f"what was counted is in {directory}", to_error=True)


def command_line() -> str:
    """Return the command as it can be typed again in a shell, but for its secrets."""
    return shlex.join([Path(sys.argv[0]).name, *masked_arguments(sys.argv[1:])])


def exit_code(document: VerdictDocument) -> ExitCode:
    """Return the exit code of a verdict."""
    return document.verdict.exit_code
