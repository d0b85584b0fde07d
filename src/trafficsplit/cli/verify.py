"""`trafficsplit verify`: drive a gateway until the verdict is known, and write the report."""

from __future__ import annotations

from functools import partial

import click

from trafficsplit.cli.options import options, texts_of
from trafficsplit.settings.options import VERIFY


@click.command()
@options(VERIFY)
@click.pass_context
def verify(context: click.Context, /, **_: object) -> int:
    """Does the gateway split as configured?

    Exit codes: 0 match, 1 mismatch, 2 wrong usage, 3 inconclusive, 4 failing, 5 broken.
    """
    texts = texts_of(context, VERIFY)
    # Imported here, so that --help and a mistyped option answer at once.
    from trafficsplit.locust.warm import WarmProcess

    with WarmProcess() as warm:
        from trafficsplit.lab.source import gateway_of_the_lab
        from trafficsplit.preparation import prepare
        from trafficsplit.report.publish import Clock, Saying, exit_code
        from trafficsplit.settings.commands import parse_output
        from trafficsplit.verification import Occasion
        from trafficsplit.verification import verify as verified

        clock = Clock(context.obj)
        output = parse_output(texts)
        prepared = prepare(texts)
        clock.lap("imports")
        notes: list[str] = []
        saying = Saying(json=output.json, plots=output.plots, notes=notes)
        occasion = Occasion(
            clock, output.report, saying, prepared.source, prepared.location, warm=warm
        )
        gateway = partial(gateway_of_the_lab, tell=notes.append)
        return exit_code(verified(prepared.settings, occasion, gateway))
