"""`trafficsplit lab`: the system under test, on this machine in the background."""

from __future__ import annotations

import json
from pathlib import Path

import click


@click.group()
def lab() -> None:
    """Run the system under test on this machine: real Envoy, real Color processes."""


@lab.command()
@click.option(
    "--manifests",
    "-f",
    multiple=True,
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="A manifest of Kubernetes or Istio, instead of the tutorial's; may be repeated.",
)
@click.option(
    "--access-log",
    type=click.Choice(["envoy", "istio", "json"]),
    help="Let the gateway write access.log, in Envoy's own format or in one of Istio's.",
)
def up(manifests: tuple[Path, ...], access_log: str | None) -> None:
    """Start it, and leave it running."""
    from trafficsplit import lab as the_lab

    files = list(map(Path.resolve, manifests)) or the_lab.MANIFESTS
    state = the_lab.up(files, access_log or "")
    click.echo(f"The lab is up: {state.host}/color")


@lab.command()
def down() -> None:
    """Stop it."""
    from trafficsplit import lab as the_lab

    if the_lab.down():
        click.echo("The lab is down.")
    else:
        click.echo("No lab was up.")


@lab.command()
@click.argument("service", default="")
def url(service: str) -> None:
    """Print the gateway's base URL, or that of a SERVICE of type NodePort."""
    from trafficsplit import lab as the_lab
    from trafficsplit.errors import InputError

    state = the_lab.status()
    if state is None:
        raise InputError("no lab is up: trafficsplit lab up")
    if not service:
        click.echo(state.host)
    elif service in state.node_ports:
        click.echo(state.node_ports[service])
    else:
        known = ", ".join(state.node_ports) or "none"
        raise InputError(f"{service} is no service of type NodePort in the lab: there is {known}")


@lab.command("set-weights")
@click.argument("weights", metavar="VARIANT=PERCENT,…")
def set_weights(weights: str) -> None:
    """Change the split, without losing a request: set-weights green=40.

    Variants that are not named share the rest as before. Returns when the weights are in force.
    """
    from trafficsplit import lab as the_lab
    from trafficsplit.settings.question import parse_weights
    from trafficsplit.weights.percent import in_words

    state = the_lab.set_weights(parse_weights(weights))
    click.echo(f"In force: {in_words(state.weights)}")


@lab.command()
@click.option("--json", "as_json", is_flag=True, help="Print the whole state.")
def status(as_json: bool) -> int:
    """Show whether it is up, and where. Exit code 1: it is not."""
    from trafficsplit import lab as the_lab
    from trafficsplit.weights.percent import in_words

    state = the_lab.status()
    if as_json:
        click.echo(json.dumps(vars(state) if state else None, indent=2))
    elif state:
        click.echo(f"The lab is up: {state.host}/color")
        click.echo(in_words(state.weights))
        click.echo(f"Envoy's administration: {state.admin} (process {state.envoy_pid})")
        for replica in state.replicas:
            click.echo(
                f"{replica['deployment']}: port {replica['port']} (process {replica['pid']})"
            )
    else:
        click.echo("No lab is up: trafficsplit lab up")
    return 0 if state else 1
