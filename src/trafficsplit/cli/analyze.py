"""`trafficsplit analyze`: judge what exists: recordings, access logs, counts, Prometheus."""

from __future__ import annotations

import datetime
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from analysis.errors import InputError
from trafficsplit.options import expectation, one_of, option
from trafficsplit.reporting import Clock, command_line, finished, report_directory

if TYPE_CHECKING:
    from analysis import Question, Run


@click.command()
@click.argument("files", nargs=-1, metavar="[FILE]…")
@option("--counts", "Bare counts; errors=N and unidentified=N are understood.",
        metavar="V=N,…")  # fmt: skip
@option("--prometheus", "Take the counts of real users' traffic from this Prometheus.",
        metavar="URL")  # fmt: skip
@option("--query", "The counter: a plain selector.  [istio_requests_total{reporter=\"source\"}]",
        metavar="SELECTOR")  # fmt: skip
@option("--window", "How long back.", metavar="TIME", default="10m", show_default=True)
@option("--by", "The label that names the variant.  [destination_version, …]", metavar="LABEL")
@option("--path", "Of an access log only the requests for this path.", metavar="PATH")
@expectation
@option("--report", "Where the report goes.  [reports/TIME-VERDICT]", metavar="DIR",
        type=click.Path(path_type=Path, file_okay=False))  # fmt: skip
@option("--json", "Print verdict.json on standard output, and nothing else there.", is_flag=True)
@click.pass_context
def analyze(context: click.Context, /, **options: Any) -> int:
    """Judge what exists already.

    FILE is a recording (`verify --record`, or any Parquet file with a column `variant`), a report's
    directory, or an access log of Envoy or Istio, plain or compressed; - is standard input. --map
    says which variant a subset, cluster or address is: 10.0.0.7:8080=green.

    Exit codes: 0 match, 1 mismatch, 2 wrong usage, 3 inconclusive, 4 failing.
    """
    clock = Clock(context.obj)
    one_of(context, "weight", "weights", "manifest")
    options = {**options, **context.params}
    files = [str(file) for file in options["files"]]
    given = [bool(files), bool(options["counts"]), bool(options["prometheus"])]
    if sum(given) != 1:
        raise InputError("what is to be judged? Give files, --counts, or --prometheus: one of them")
    clock.lap("imports")
    # Read first: a report may go where its recording is.
    run, notes = _run(files, options)
    run = replace(run, command=command_line())
    clock.lap("reading")
    with report_directory(options["report"], keep=True) as report:
        return finished(run, report, clock, as_json=options["json"], notes=notes)


def _run(files: list[str], options: dict[str, Any]) -> tuple[Run, list[str]]:
    from analysis import read_run
    from analysis.manifests import mapping_of
    from analysis.recorded import (
        Recorded,
        is_recording,
        run_of_logs,
        run_of_tally,
        tally_of_counts,
    )

    paths = [Path(file) for file in files]
    for path in paths:
        if str(path) != "-" and not path.exists():
            raise InputError(f"there is no {path}")
    if len(paths) == 1 and (paths[0] / "run.json").exists():
        run = read_run(paths[0])
        return (replace(run, question=_question(options), decided="")
                if _asks(options) else run), []  # fmt: skip
    recordings = [str(path) != "-" and is_recording(path) for path in paths]
    if recordings and all(recordings):
        recorded = Recorded(paths)
        question = None if _asks(options) else recorded.question()
        return recorded.run(question or _question(options)), recorded.notes
    if any(recordings):
        raise InputError("recordings and access logs cannot be judged as one: analyze them apart")
    mapping = mapping_of(options["map"] or "")
    question = _question(options)
    if files:
        for path in paths:
            if path.is_dir():
                raise InputError(f"{path} has no recording and no report in it")
        return run_of_logs(files, question, mapping, options["path"] or "")
    from analysis.run import stamp
    from trafficsplit.prometheus import SELECTOR, Window, tally_of

    now = stamp(datetime.datetime.now(datetime.UTC))
    if options["counts"]:
        tally = tally_of_counts(options["counts"], question.split)
        return run_of_tally(tally, question, host="--counts", started_at=now), []
    selector = options["query"] or SELECTOR
    window = Window(options["prometheus"], selector, options["window"], options["by"] or "")
    tally, elapsed = tally_of(window, question.split, mapping)
    host = options["prometheus"]
    return run_of_tally(tally, question, host=host, started_at=now, elapsed=elapsed), []


def _asks(options: dict[str, Any]) -> bool:
    """Whether a split is given, which overrules a recording's own."""
    return any(options[name] for name in ("weight", "weights", "manifest"))


def _question(options: dict[str, Any]) -> Question:
    import sys

    from analysis import question_of_options
    from analysis.options import EXPECTATIONS, weighed

    # The map is for the manifest where that has destinations of these names, else for the data.
    found = weighed({**options, "map": ""}, sys.stdin.read)
    return question_of_options(**{name: found[name] for name in EXPECTATIONS})
