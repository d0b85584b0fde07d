"""The table of options as options of click's, which have the environment variables too."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Any

import click

from trafficsplit.errors import InputError
from trafficsplit.settings.options import Option, Texts

Command = Callable[..., Any]
TYPED = click.core.ParameterSource.COMMANDLINE
# Options of which one is to be given. One that was typed replaces those of the environment.
ALTERNATIVES = ("weight", "weights", "manifest", "virtual_service", "http_route")


def options(table: Sequence[Option]) -> Callable[[Command], Command]:
    """Return a decorator that adds options of the table to a command."""

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
    """The text of an option that may be repeated; the environment has a line for each time."""

    envvar_list_splitter = "\n"


def texts_of(context: click.Context, table: Sequence[Option]) -> Texts:
    """Return the texts that were given for options.

    Raises InputError for one that was typed, and is empty: as a rule a variable of a pipeline that
    is not set, so that something else would be verified than was meant.
    """
    given: dict[str, str | None] = {}
    typed = {name for name in ALTERNATIVES if context.get_parameter_source(name) is TYPED}
    for option in table:
        value = context.params[option.name]
        if _is_empty(context, option, value):
            raise InputError(f"{option.flag_name} is empty: give it a value, or leave it out")
        if typed and option.name in ALTERNATIVES and option.name not in typed:
            value = None
        given[option.name] = _text(value)
    return Texts(table, given)


def _is_empty(context: click.Context, option: Option, value: object) -> bool:
    """Return whether an option was given, with nothing in it.

    An empty variable of the environment is as good as none, but for the gateway's: without it the
    lab would be verified.
    """
    if context.get_parameter_source(option.name) is TYPED:
        texts = value if isinstance(value, tuple) else (value,)
        return "" in texts
    return option.name == "host" and os.environ.get(option.variable) == ""


def _text(value: object) -> str:
    """Return the value that click has for an option as text."""
    if value is True:
        return "yes"
    if isinstance(value, tuple):
        return "\n".join(map(str, value))
    return str(value or "")
