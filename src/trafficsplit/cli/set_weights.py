"""`trafficsplit set-weights`: change the weights where they are configured."""

from __future__ import annotations

from typing import Any

import click

from trafficsplit.options import LINES, option, source_options


@click.command("set-weights")
@click.argument("weights", metavar="VARIANT=PERCENT,…")
@source_options
@option("--dry-run", "Change nothing, and show what would be.", is_flag=True)
@option("--path", "The rule that requests for this path take.", metavar="PATH", default="/color",
        show_default=True)  # fmt: skip
@option("--host", "Likewise for this base URL.", metavar="URL", default="")
@option("--header", "Likewise with this header; may be repeated.", metavar="NAME: VALUE", **LINES)
def set_weights(weights: str, dry_run: bool, **options: Any) -> None:
    """Change weights in a manifest, on a cluster, or else on the lab: set-weights green=40.

    Variants that are not named share the rest as before.
    """
    from analysis.options import asked_of
    from analysis.split import weights_of_text
    from analysis.weights import completed
    from trafficsplit.sources import LabSource, percent, source_of

    source = source_of(options, asked_of(options)) or LabSource()
    every = completed(weights_of_text(weights), percent(source.split()))
    click.echo(source.set(every, dry_run=dry_run))
