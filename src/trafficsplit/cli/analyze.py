"""`trafficsplit analyze`: judge recordings, access logs, counts or Prometheus."""

from __future__ import annotations

import click

from trafficsplit.cli.options import options, texts_of
from trafficsplit.settings.options import ANALYZE


@click.command()
@click.argument("files", nargs=-1, metavar="[FILE]…")
@options(ANALYZE)
@click.pass_context
def analyze(context: click.Context, /, files: tuple[str, ...], **_: object) -> int:
    """Judge requests that were recorded or counted before.

    FILE is a recording (`verify --record`, or any Parquet file with a column `variant`), a report's
    directory, or an access log of Envoy or Istio, plain or compressed; - is standard input. --map
    says which variant a subset, cluster or address is: 10.0.0.7:8080=green.

    Exit codes: 0 match, 1 mismatch, 2 wrong usage, 3 inconclusive, 4 failing, 5 broken.
    """
    texts = texts_of(context, ANALYZE)
    from trafficsplit.analysis.meeting import check_names_meet
    from trafficsplit.offline.inquiry import run_and_notes
    from trafficsplit.report.directory import report_directory
    from trafficsplit.report.plots_wanted import check_plots
    from trafficsplit.report.publish import Clock, Saying, exit_code, publish
    from trafficsplit.settings.commands import parse_analyze

    clock = Clock(context.obj)
    settings = parse_analyze(texts, files)
    output = settings.output
    check_plots(wanted=output.plots)
    clock.lap("imports")
    # It is read before the report is written, which may replace the recording.
    run, notes = run_and_notes(settings)
    check_names_meet(run)
    clock.lap("reading")
    saying = Saying(json=output.json, plots=output.plots, notes=notes)
    with report_directory(output.report, keep=True) as report:
        return exit_code(publish(run, report, clock, saying))
