"""The table of options, as click has them: every one settable by TRAFFICSPLIT_… as well."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import click

from trafficsplit.settings.options import Option, Texts

Command = Callable[..., Any]
TYPED = click.core.ParameterSource.COMMANDLINE
# Of these one is to be given; what was typed beats what the environment says.
ALTERNATIVES = ("weight", "weights", "manifest", "virtual_service", "http_route")


def options(table: Sequence[Option]) -> Callable[[Command], Command]:
    """Decorate a command with options of the table."""

    def decorate(command: Command) -> Command:
        for option in reversed(table):
            command = _decorator(option)(command)
        return command

    return decorate


def _decorator(option: Option) -> Callable[[Command], Command]:
    if option.flag:
        return click.option(
            option.flag_name,
            option.name,
            is_flag=True,
            envvar=option.variable,
            help=option.help_text,
        )
    if option.repeatable:
        return click.option(
            option.flag_name,
            option.name,
            metavar=option.metavar,
            multiple=True,
            type=_Line(),
            envvar=option.variable,
            help=option.help_text,
        )
    return click.option(
        option.flag_name,
        option.name,
        metavar=option.metavar,
        envvar=option.variable,
        help=option.help_text,
    )


class _Line(click.types.StringParamType):
    """Text; of an option that may be repeated, the environment has a line each."""

    envvar_list_splitter = "\n"


def texts_of(context: click.Context, table: Sequence[Option]) -> Texts:
    """Return what was given for options, as text."""
    given: dict[str, str | None] = {}
    typed = [n for n in ALTERNATIVES if context.get_parameter_source(n) is TYPED]
    for option in table:
        value = context.params[option.name]
        if typed and option.name in ALTERNATIVES and option.name not in typed:
            value = None
        given[option.name] = _text(value)
    return Texts(table, given)


def _text(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else ""
    if isinstance(value, tuple):
        return "\n".join(str(one) for one in value)
    return str(value or "")
