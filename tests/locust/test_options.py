"""The options of the locustfile, as Locust's parser gets them."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any, cast

import pytest

from trafficsplit.locust.options import add_options
from trafficsplit.settings.options import LOCUSTFILE

if TYPE_CHECKING:
    from locust.argument_parser import LocustArgumentParser


class Parser(argparse.ArgumentParser):
    """Stands for Locust's parser: it keeps what is more than argparse's."""

    def __init__(self) -> None:
        super().__init__()
        self.variables: dict[str, str] = {}
        self.hidden: set[str] = set()

    def add_argument(self, *names: str, **more: Any) -> argparse.Action:
        if "env_var" in more:
            self.variables[names[0]] = more.pop("env_var")
        if not more.pop("include_in_web_ui", True):
            self.hidden.add(names[0])
        return super().add_argument(*names, **more)


@pytest.fixture
def parser() -> Parser:
    own = Parser()
    add_options(cast("LocustArgumentParser", own))
    return own


def test_every_option_of_the_table_is_there_with_its_default(parser: Parser) -> None:
    options = vars(parser.parse_args([]))
    for option in LOCUSTFILE:
        assert options[option.name] == (False if option.flag else option.default)
        assert parser.variables[option.flag_name] == option.variable
    assert (options["run_dir"], options["shared_by"], options["progress"]) == ("", 1, -1)


def test_what_is_of_no_use_in_a_form_is_not_in_it(parser: Parser) -> None:
    assert parser.hidden == {"--run-dir", "--shared-by", "--progress"}


def test_a_repeatable_option_has_a_line_each_time(parser: Parser) -> None:
    options = parser.parse_args(["--header", "A: 1", "--header", "B: 2"])
    assert options.header == "A: 1\nB: 2"
    assert parser.parse_args(["--header", "A: 1"]).header == "A: 1"


def test_a_flag_needs_no_value(parser: Parser) -> None:
    assert parser.parse_args(["--insecure"]).insecure is True


def test_the_help_can_be_shown(parser: Parser) -> None:
    text = parser.format_help()
    for option in LOCUSTFILE:
        assert option.flag_name in text
