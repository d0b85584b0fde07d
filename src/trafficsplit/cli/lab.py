"""`trafficsplit lab`: the system under test, on this machine in the background."""

from __future__ import annotations

import json
import os
import shlex
import sys
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
@click.option(
    "--istio",
    is_flag=True,
    help="A cluster with the real Istio instead: Kubernetes' API server, its controllers, istiod. "
    "Needs Linux, and `trafficsplit lab build` once.",
)
@click.option(
    "--gateways",
    type=click.IntRange(1),
    metavar="N",
    help="How many ingress gateways the cluster has, with --istio.  [1]",
)
@click.argument("files", nargs=-1, type=click.Path(path_type=Path), metavar="[FILE…]")
def up(
    manifests: tuple[Path, ...],
    access_log: str | None,
    istio: bool,
    gateways: int | None,
    files: tuple[Path, ...],
) -> None:
    """Start it, and leave it running. FILE is a manifest, as with -f."""
    from trafficsplit import lab as the_lab
    from trafficsplit.errors import InputError

    given = list(map(Path.resolve, (*manifests, *files))) or the_lab.MANIFESTS
    if istio:
        if access_log:
            raise InputError("--access-log is of the plain lab: leave out --istio")
        state = the_lab.up_with_istio(given, gateways or 1)
        click.echo(f"The lab is up, with the real Istio: {state.host}/color")
        click.echo('For kubectl and --virtual-service: eval "$(trafficsplit lab env)"')
        return
    if gateways:
        raise InputError("--gateways is of the real Istio: give --istio too")
    state = the_lab.up(given, access_log or "")
    click.echo(f"The lab is up: {state.host}/color")


@lab.command()
@click.option("--all", "all_of_them", is_flag=True, help="Flagger and Argo Rollouts as well.")
def build(all_of_them: bool) -> None:
    """Build the real Istio's parts, once: a Go compiler and some ten minutes."""
    from trafficsplit.lab.istio import parts

    left = parts.missing(all_of_them=all_of_them)
    if left:
        click.echo(f"The first time this takes {parts.minutes_of(left)}:", err=True)
        parts.build(left, _tell_progress)
    click.echo(f"The real Istio's parts are built: {parts.home()}")


def _tell_progress(what: str, seconds: float) -> None:
    """Tell people what is being built, and, on a terminal, that it goes on."""
    if not seconds:
        click.echo(f"{what} …", err=True)
    elif sys.stderr.isatty():
        click.echo(f"\r{seconds:.0f} s", nl=False, err=True)


@lab.command()
def env() -> None:
    """Print what a shell needs to reach the cluster: eval "$(trafficsplit lab env)"."""
    click.echo(f"export KUBECONFIG={shlex.quote(_kubeconfig())}")


@lab.command(context_settings={"ignore_unknown_options": True, "help_option_names": []})
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED, metavar="…")
def kubectl(arguments: tuple[str, ...]) -> None:
    """Run kubectl on the cluster: lab kubectl get pods -A."""
    from trafficsplit.lab.istio import parts

    program = str(parts.program("kubectl"))
    environment = {**os.environ, "KUBECONFIG": _kubeconfig()}
    sys.stdout.flush()
    os.execve(program, [program, *arguments], environment)


def _kubeconfig() -> str:
    """Return the kubeconfig of the cluster. Raises InputError where none is up."""
    from trafficsplit import lab as the_lab
    from trafficsplit.errors import InputError

    state = the_lab.status()
    if state is None or not state.kubeconfig:
        raise InputError("no cluster is up: trafficsplit lab up --istio")
    return state.kubeconfig


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
    elif state and state.kubeconfig:
        click.echo(f"The lab is up, with the real Istio: {state.host}/color")
        for name, way in state.node_ports.items():
            click.echo(f"{name}: {way}")
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
