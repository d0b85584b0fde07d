"""`trafficsplit locustfile`: where the locustfile is, to be run or copied."""

from __future__ import annotations

import click

from trafficsplit.assets import asset


@click.command()
def locustfile() -> None:
    """Print the path of the locustfile: locust -f "$(trafficsplit locustfile)" --host …"""
    click.echo(asset("locustfiles", "color.py"))
