"""Options as every command has them: settable by TRAFFICSPLIT_… as well."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from analysis.options import ELSEWHERE, EXPECTATIONS, LOAD, REPEATABLE, SOURCES

if TYPE_CHECKING:
    from trafficsplit.sources import Source

Command = Callable[..., Any]


def option(name: str, help_text: str, **settings: Any) -> Callable[[Command], Command]:
    """A click option with its environment variable: `--max-failing` is TRAFFICSPLIT_MAX_FAILING."""
    variable = f"TRAFFICSPLIT_{name.lstrip('-').replace('-', '_').upper()}"
    return click.option(name, help=help_text, envvar=variable, **settings)


def expectation(command: Command) -> Command:
    """The options that say what is expected, and how surely it is to be known."""
    options = [
        option(f"--{name.replace('_', '-')}", f"{text[0].upper()}{text[1:]}.", metavar=metavar)
        for name, (metavar, text) in {**EXPECTATIONS, **SOURCES}.items()
    ]
    for decorate in reversed(options):
        command = decorate(command)
    return command


def source_options(command: Command) -> Command:
    """The options that name a place where weights are set: a manifest, or a cluster's resource."""
    for name in ("map", "route", "manifest"):
        metavar, text = SOURCES[name]
        sentence = f"{text[0].upper()}{text[1:]}."
        if name == "manifest":
            sentence = "Edit the numbers in this manifest, and nothing else."
        command = option(f"--{name}", sentence, metavar=metavar)(command)
    force = "Take the weights over from whoever owns them."
    return cluster_options(option("--force-conflicts", force, is_flag=True)(command))


def cluster_source(options: dict[str, Any], *, address: bool = True) -> Source | None:
    """A live cluster's weights and its gateway's `address`, put into the options.

    The source, to be read again when the run is over; None where no cluster is named. Raises
    InputError.
    """
    if not any(options[name] for name in (*ELSEWHERE, "context", "gateway_service")):
        return None
    from trafficsplit.sources import taken_from_cluster  # and YAML with it, 60 ms

    return taken_from_cluster(options, address=address)


def cluster_options(command: Command) -> Command:
    """The options that name a resource of a live cluster."""
    for decorate in reversed(
        [
            option("--virtual-service", "Take the weights from this VirtualService of the cluster.",
                   metavar="NAMESPACE/NAME"),
            option("--http-route", "Take the weights from this HTTPRoute of the cluster.",
                   metavar="NAMESPACE/NAME"),
            option("--context", "The kubeconfig's context.  [its current one]", metavar="NAME"),
            option("--gateway-service", "The Service in front of the gateway, for its address.  "
                   "[by the resource's Gateway]", metavar="NAMESPACE/NAME"),
        ]
    ):  # fmt: skip
        command = decorate(command)
    return command


def load_options(command: Command) -> Command:
    """The options that say what is sent, and how it is read."""
    for name, (metavar, default, text) in reversed(list(LOAD.items())):
        flag = f"--{name.replace('_', '-')}"
        sentence = f"{text[0].upper()}{text[1:]}."
        settings: dict[str, Any] = {"metavar": metavar, "default": default}
        if name in REPEATABLE:
            settings |= LINES
        command = option(flag, sentence, **settings)(command)
    return command


class _Line(click.types.StringParamType):
    """Text; of an option that may be repeated, the environment has a line each."""

    envvar_list_splitter = "\n"


def _lines(_: click.Context, __: click.Parameter, values: tuple[str, ...]) -> str:
    return "\n".join(values)


LINES: dict[str, Any] = {
    "multiple": True,
    "default": (),
    "callback": _lines,
    "type": _Line(),
}


def one_of(context: click.Context, *names: str) -> None:
    """What was typed beats what the environment says about the same thing."""
    typed = [n for n in names if context.get_parameter_source(n) is _TYPED]
    if typed:
        for name in names:
            if name not in typed:
                context.params[name] = None


_TYPED = click.core.ParameterSource.COMMANDLINE
