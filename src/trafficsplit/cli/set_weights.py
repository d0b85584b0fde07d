"""`trafficsplit set-weights`: change the weights where they are configured."""

from __future__ import annotations

import click

from trafficsplit.cli.options import options, texts_of
from trafficsplit.settings.options import SET_WEIGHTS


@click.command("set-weights")
@click.argument("weights", metavar="VARIANT=PERCENT,…")
@options(SET_WEIGHTS)
@click.pass_context
def set_weights(context: click.Context, /, weights: str, **_: object) -> None:
    """Change weights in a manifest, on a cluster, or else on the lab: set-weights green=40.

    Variants that are not named share the rest as before.
    """
    texts = texts_of(context, SET_WEIGHTS)
    from trafficsplit.lab.source import LabSource
    from trafficsplit.preparation import source_for_probe
    from trafficsplit.settings.commands import parse_set_weights
    from trafficsplit.settings.question import parse_weights
    from trafficsplit.weights.percent import complete_weights, percent

    settings = parse_set_weights(texts)
    wanted = parse_weights(weights)
    source = source_for_probe(settings.source, settings.probe) or LabSource()
    every = complete_weights(wanted, percent(source.split()))
    click.echo(source.set(every, dry_run=settings.dry_run))
