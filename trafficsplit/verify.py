"""`trafficsplit verify`: drive a gateway until the verdict is known, and write the report."""

from __future__ import annotations

import contextlib
import datetime
import shlex
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from analysis.errors import InputError
from trafficsplit.options import (
    LINES,
    cluster_options,
    cluster_source,
    expectation,
    load_options,
    one_of,
    option,
)

if TYPE_CHECKING:
    from analysis import Judgement, Run
    from trafficsplit.sources import Source

UNREACHABLE = 4


@click.command()
@option("--host", "The gateway's base URL; of several gateways one each.  [the lab, started if "
        "none is up]", metavar="URL", **LINES)  # fmt: skip
@expectation
@cluster_options
@option("--users", "How many users ask at once.", type=click.IntRange(1, 10_000), default=16,
        show_default=True)  # fmt: skip
@option("--ramp", "Add the users over this many seconds.", metavar="SECONDS", default=0.0,
        type=click.FloatRange(min=0))  # fmt: skip
@option("--processes", "Send from this many processes.", type=click.IntRange(1, 256), default=1,
        show_default=True)  # fmt: skip
@load_options
@option("--insecure", "Do not check the gateway's TLS certificate.", is_flag=True)
@option("--report", "Where the report goes.  [reports/TIME-VERDICT]", metavar="DIR",
        type=click.Path(path_type=Path, file_okay=False))  # fmt: skip
@option("--json", "Print verdict.json on standard output, and nothing else there.", is_flag=True)
@click.pass_context
def verify(context: click.Context, /, **options: Any) -> int:
    """Does the gateway split as configured?

    Exit codes: 0 match, 1 mismatch, 2 wrong usage, 3 inconclusive, 4 failing.
    """
    clock = _Clock(context.obj)
    # Imported here, so that --help and a mistyped option answer at once.
    from analysis import question_of_options, read_run
    from analysis.options import EXPECTATIONS, LOAD, check_load, hosts_of, weighed
    from trafficsplit.drive import WRONG_USAGE, DriveError, drive
    from trafficsplit.report import further_lines

    one_of(context, "weight", "weights", "manifest", "virtual_service", "http_route")
    host = ",".join(hosts_of(options["host"])) if options["host"] else ""
    options = {**options, **context.params, "host": host}
    source = cluster_source(options)
    options = weighed(options, sys.stdin.read)
    host = options["host"]
    question = question_of_options(**{name: options[name] for name in EXPECTATIONS})
    check_load({name: options[name] or "" for name in LOAD}, question)
    clock.lap("imports")
    with _report_directory(options["report"]) as report:
        with _gateway(host, report.directory) as address:
            clock.lap("lab")
            passed_on = {
                name.replace("_", "-"): str(options[name])
                for name in (*EXPECTATIONS, *LOAD)
                if options[name]
            }
            if options["insecure"]:
                passed_on["insecure"] = ""
            try:
                drive(
                    address,
                    report.directory,
                    passed_on,
                    users=options["users"],
                    ramp=options["ramp"],
                    processes=options["processes"],
                )
            except DriveError as error:
                print(f"trafficsplit: {error}", file=sys.stderr)
                return WRONG_USAGE if error.refused else UNREACHABLE
            clock.lap("load")
        run = replace(read_run(report.directory), command=_command())
        if source:
            run = replace(run, source=str(source), **_read_again(source))
        judgement, verdict = _report(run, report, clock)
    if options["json"]:
        print((report.directory / "verdict.json").read_text("utf-8"), end="")
    lines = [f"{judgement.verdict}: {judgement.reason}", *further_lines(verdict)]
    lines.append(f"report: {report.directory / 'report.html'}")
    print("\n".join(lines), file=sys.stderr if options["json"] else sys.stdout)
    return judgement.verdict.exit_code


def _read_again(source: Source) -> dict[str, Any]:
    """What the source says now; or why it says nothing, which is no reason to lose a run."""
    try:
        return {"reread": source.split()}
    except InputError as error:
        return {"unread": str(error)}


def _report(run: Run, report: _Report, clock: _Clock) -> tuple[Judgement, Mapping[str, Any]]:
    """Judge, draw and write; the directory has its last name then.

    Raises OSError, but not before the verdict is said.
    """
    from analysis import write_run
    from analysis.judge import judge
    from analysis.plots import write_plots
    from trafficsplit.report import verdict_object, write_page, write_verdict

    judgement = judge(run)
    verdict = verdict_object(run, judgement)
    clock.lap("analysis")
    try:
        if run.source:  # the load did not know of it
            write_run(run, report.directory)
        plots = write_plots(run, report.directory)
        clock.lap("plots")
        write_page(verdict, plots, report.directory)
        clock.lap("report")
        write_verdict({**verdict, "phases": clock.phases}, report.directory)
        report.name_for(str(judgement.verdict), run.started_at)
    except OSError:
        print(f"{judgement.verdict}: {judgement.reason}", file=sys.stderr)
        raise
    return judgement, verdict


class _Clock:
    """How long each phase took, from the start of the command."""

    def __init__(self, began: float) -> None:
        self._last = began
        self.phases: dict[str, float] = {}

    def lap(self, phase: str) -> None:
        now = time.monotonic()
        self.phases[phase] = round(now - self._last, 3)
        self._last = now


class _Report:
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
def _report_directory(directory: Path | None) -> Iterator[_Report]:
    """A directory to write into. Raises InputError where there is none to be had."""
    named = directory is not None
    if directory is None:
        now = datetime.datetime.now(datetime.UTC).strftime("%Y%m%dT%H%M%S.%fZ")
        directory = Path("reports") / f".{now}"
    try:
        directory.mkdir(parents=True, exist_ok=True)
        (directory / "run.json").unlink(missing_ok=True)  # an older run is not this one
        probe = directory / ".writable"
        probe.touch()
        probe.unlink()
        report = _Report(directory, named=named)
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


@contextlib.contextmanager
def _gateway(host: str, directory: Path) -> Iterator[str]:
    """The gateway to ask: the one given, the lab that is up, or one for this run."""
    if host:
        yield host
        return
    import lab

    if state := lab.status():
        yield state.host
        return
    with lab.start(directory / "lab") as started:
        yield started.host


def _command() -> str:
    return shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]])
