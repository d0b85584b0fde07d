"""The table of options, as Click has them."""

from __future__ import annotations

from typing import Any

import click
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from tests.conftest import Cli, refused
from trafficsplit.cli import trafficsplit
from trafficsplit.cli.options import ALTERNATIVES, options, texts_of
from trafficsplit.settings import options as tables
from trafficsplit.settings.options import Option, Texts

TABLE = (
    *tables.EXPECTED,
    Option("number", "N", "A number.", default="7", shown_default="7"),
    Option("header", "NAME: VALUE", "Repeatable.", repeatable=True),
    Option("loud", "", "A flag.", flag=True),
    Option("virtual_service", "NAMESPACE/NAME", "Another alternative."),
    Option("http_route", "NAMESPACE/NAME", "And one more."),
)


def parsed(*arguments: str, **environment: str) -> Texts:
    """Return what a command with these options makes of arguments and environment."""
    found: list[Texts] = []

    @click.command()
    @options(TABLE)
    @click.pass_context
    def command(context: click.Context, /, **_: Any) -> None:
        found.append(texts_of(context, TABLE))

    variables = {f"TRAFFICSPLIT_{name.upper()}": text for name, text in environment.items()}
    result = CliRunner(env=variables).invoke(command, arguments, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return found[0]


def test_every_option_of_the_table_has_a_text() -> None:
    texts = parsed()
    assert set(texts) == {option.name for option in TABLE}
    assert texts["number"] == "7"
    assert texts["loud"] == texts["header"] == texts["weight"] == ""


def test_what_is_typed_is_taken_as_text() -> None:
    texts = parsed("--number", "1e6", "--loud", "--max-failing", "0", "--weight=-3")
    assert (texts["number"], texts["loud"], texts["max_failing"]) == ("1e6", "yes", "0")
    assert texts["weight"] == "-3"


def test_an_option_that_is_repeated_is_a_line_each() -> None:
    assert parsed("--header", "A: b", "--header", "C: d e")["header"] == "A: b\nC: d e"
    assert parsed(header="A: b\nC: d e")["header"] == "A: b\nC: d e"
    assert parsed("--header", "A: b", header="C: d")["header"] == "A: b"


@pytest.mark.parametrize("name", ["number", "tolerance", "max_failing"])
def test_every_option_is_a_variable_too_and_what_is_typed_wins(name: str) -> None:
    flag = f"--{name.replace('_', '-')}"
    assert parsed(**{name: "3"})[name] == "3"
    assert parsed(flag, "4", **{name: "3"})[name] == "4"


@pytest.mark.parametrize(
    ("text", "given_text"), [("1", "yes"), ("true", "yes"), ("0", ""), ("", "")]
)
def test_a_flag_is_a_variable_too(text: str, given_text: str) -> None:
    assert parsed(loud=text)["loud"] == given_text


@pytest.mark.parametrize("typed", ALTERNATIVES)
@pytest.mark.parametrize("set_elsewhere", ALTERNATIVES)
def test_one_way_to_say_the_split_that_is_typed_beats_another_in_the_environment(
    typed: str, set_elsewhere: str
) -> None:
    texts = parsed(f"--{typed.replace('_', '-')}", "x", **{set_elsewhere: "y"})
    given_ones = {name: texts[name] for name in ALTERNATIVES if texts[name]}
    assert given_ones == {typed: "x"}


def test_two_that_are_typed_are_both_there_to_be_refused() -> None:
    texts = parsed("--weight", "25", "--manifest", "f", weights="blue=1")
    assert (texts["weight"], texts["manifest"], texts["weights"]) == ("25", "f", "")


def test_two_in_the_environment_are_both_there_to_be_refused() -> None:
    texts = parsed(weight="25", manifest="f")
    assert (texts["weight"], texts["manifest"]) == ("25", "f")


@given(st.text(st.characters(codec="utf-8", exclude_characters="\x00"), min_size=1))
def test_any_text_comes_through_as_it_is(text: str) -> None:
    assert parsed(f"--number={text}")["number"] == text


COMMANDS = {
    "verify": tables.VERIFY,
    "plan": tables.PLAN,
    "analyze": tables.ANALYZE,
    "set-weights": tables.SET_WEIGHTS,
    "rollout": tables.ROLLOUT,
    "gate": tables.GATE,
}


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_the_options_of_its_table(name: str) -> None:
    found = {}
    for parameter in trafficsplit.commands[name].params:
        if isinstance(parameter, click.Option) and parameter.name != "help":
            found[parameter.name] = (parameter.opts, parameter.envvar, parameter.multiple)
    assert found == {
        option.name: ([option.flag_name], option.variable, option.repeatable)
        for option in COMMANDS[name]
    }


@pytest.mark.parametrize("name", COMMANDS)
def test_help_shows_every_option_with_its_default(name: str) -> None:
    result = CliRunner().invoke(trafficsplit, [name, "--help"])
    shown = " ".join(result.output.split())
    for option in COMMANDS[name]:
        assert option.flag_name in shown
        assert " ".join(option.help.split()) in shown
        assert option.shown_default in shown


@pytest.mark.parametrize("option", ["--host", "--path", "--header", "--timeout"])
def test_an_option_that_is_typed_and_empty_is_refused(cli: Cli, option: str) -> None:
    said = refused(cli, "verify", "--weight", "25", option, "")
    assert said == f"trafficsplit: {option} is empty: give it a value, or leave it out\n"


def test_an_empty_host_in_the_environment_is_not_the_lab(cli: Cli) -> None:
    result = cli("verify", "--weight", "25", TRAFFICSPLIT_HOST="")
    assert (result.returncode, result.stderr.count("--host is empty")) == (2, 1)
    # Another empty variable is none.
    result = cli("plan", "--weight", "25", TRAFFICSPLIT_TOLERANCE="")
    assert result.returncode == 0, result.stderr
