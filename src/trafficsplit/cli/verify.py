"""`trafficsplit verify`: drive a gateway until the verdict is known, and write the report."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
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
from trafficsplit.reporting import Clock, command_line, finished, report_directory

if TYPE_CHECKING:
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
@option("--record", "Keep every request, as Parquet (needs the extra `record`).", is_flag=True)
@option("--insecure", "Do not check the gateway's TLS certificate.", is_flag=True)
@option("--report", "Where the report goes.  [reports/TIME-VERDICT]", metavar="DIR",
        type=click.Path(path_type=Path, file_okay=False))  # fmt: skip
@option("--json", "Print verdict.json on standard output, and nothing else there.", is_flag=True)
@click.pass_context
def verify(context: click.Context, /, **options: Any) -> int:
    """Does the gateway split as configured?

    Exit codes: 0 match, 1 mismatch, 2 wrong usage, 3 inconclusive, 4 failing.
    """
    clock = Clock(context.obj)
    # Imported here, so that --help and a mistyped option answer at once.
    from analysis import question_of_options, read_run
    from analysis.options import EXPECTATIONS, LOAD, check_load, hosts_of, weighed
    from trafficsplit.drive import WRONG_USAGE, DriveError, drive

    one_of(context, "weight", "weights", "manifest", "virtual_service", "http_route")
    host = ",".join(hosts_of(options["host"])) if options["host"] else ""
    options = {**options, **context.params, "host": host}
    source = cluster_source(options)
    options = weighed(options, sys.stdin.read)
    host = options["host"]
    question = question_of_options(**{name: options[name] for name in EXPECTATIONS})
    check_load({name: options[name] or "" for name in LOAD}, question)
    clock.lap("imports")
    with report_directory(options["report"]) as report:
        with _gateway(host, report.directory) as address:
            clock.lap("lab")
            passed_on = {
                name.replace("_", "-"): str(options[name])
                for name in (*EXPECTATIONS, *LOAD)
                if options[name]
            }
            passed_on |= dict.fromkeys([n for n in ("insecure", "record") if options[n]], "")
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
        run = replace(read_run(report.directory), command=command_line())
        if source:
            run = replace(run, source=str(source), **_read_again(source))
        return finished(run, report, clock, as_json=options["json"])


def _read_again(source: Source) -> dict[str, Any]:
    """What the source says now; or why it says nothing, which is no reason to lose a run."""
    try:
        return {"reread": source.split()}
    except InputError as error:
        return {"unread": str(error)}


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
