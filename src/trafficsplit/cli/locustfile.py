"""`trafficsplit locustfile`: the path of the locustfile, to run or to copy it."""

from __future__ import annotations

import click

from trafficsplit.assets import asset


@click.command()
def locustfile() -> None:
    """Print the path of the locustfile: locust -f "$(trafficsplit locustfile)" --host …"""
    click.echo(asset("locustfiles", "color.py"))
