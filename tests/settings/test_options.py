"""The table of options, and the texts that are given for them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trafficsplit.errors import InputError
from trafficsplit.settings import options
from trafficsplit.settings.options import Option, Texts

TABLES = {
    "verify": options.VERIFY,
    "locustfile": options.LOCUSTFILE,
    "plan": options.PLAN,
    "analyze": options.ANALYZE,
    "set-weights": options.SET_WEIGHTS,
    "rollout": options.ROLLOUT,
    "gate": options.GATE,
}
TABLE = (
    Option("one", "N", "One.", default="1"),
    Option("two_words", "N", "Two.", shown_default="none"),
    Option("flag", "", "A flag.", flag=True),
)


@pytest.mark.parametrize("name", TABLES)
def test_no_option_is_in_a_table_twice(name: str) -> None:
    names = [option.name for option in TABLES[name]]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("name", TABLES)
def test_every_option_explains_itself(name: str) -> None:
    for option in TABLES[name]:
        assert option.help.endswith((".", "…")), option
        assert bool(option.metavar) != option.flag, option
        if option.default:
            assert option.shown_default, option


def test_an_option_of_several_commands_means_the_same_in_each() -> None:
    # `--report` and `--rate`, `--previous-weight` and `--path` differ in their defaults.
    differing = {"report", "rate", "previous_weight", "path", "host", "json", "context"}
    # The gate waits 30 s for new weights; a rollout has no deadline unless one is given.
    differing |= {"in_force_within"}
    meanings: dict[str, set[Option]] = {}
    for table in TABLES.values():
        for option in table:
            meanings.setdefault(option.name, set()).add(option)
    assert {name for name, found in meanings.items() if len(found) > 1} <= differing


def test_the_locustfile_has_options_of_verify() -> None:
    assert set(options.LOCUSTFILE) <= set(options.VERIFY)


def test_flags_and_variables_come_from_the_name() -> None:
    option = TABLE[1]
    assert (option.flag_name, option.variable) == ("--two-words", "TRAFFICSPLIT_TWO_WORDS")
    assert option.help_text == "Two.  [none]"
    assert TABLE[0].help_text == "One."


def test_what_is_not_given_has_its_default() -> None:
    assert Texts(TABLE, {}) == {"one": "1", "two_words": "", "flag": ""}
    assert Texts(TABLE, {"one": "", "two_words": None}) == {"one": "1", "two_words": "", "flag": ""}
    assert Texts(TABLE, {"one": "7"})["one"] == "7"


@given(st.dictionaries(st.text(max_size=5), st.text(max_size=5)))
def test_only_options_of_the_table_are_taken(given_texts: dict[str, str]) -> None:
    assert set(Texts(TABLE, given_texts)) == {"one", "two_words", "flag"}


def test_a_command_without_an_option_has_no_text_for_it() -> None:
    texts = Texts(TABLE, {"two_words": "x"})
    assert (texts.text("two_words"), texts.text("three")) == ("x", "")
    assert texts.has("three", "two_words")
    assert not texts.has("three", "flag")


def test_a_choice_is_one_of_those_that_there_are() -> None:
    texts = Texts(TABLE, {"two_words": "blue"})
    assert texts.choice("two_words", ("blue", "green")) == "blue"
    assert texts.choice("flag", ("blue",)) == ""
    with pytest.raises(InputError, match="there is no --two-words 'blue': say one of red, green"):
        texts.choice("two_words", ("red", "green"))


def test_at_most_one_of_several_is_given() -> None:
    assert Texts(TABLE, {"two_words": "x"}).at_most_one("two_words", "flag") == "two_words"
    assert Texts(TABLE, {}).at_most_one("two_words", "flag") == ""
    both = Texts(TABLE, {"two_words": "x", "flag": "yes"})
    with pytest.raises(InputError, match="--two-words and --flag say the same thing twice"):
        both.at_most_one("two_words", "flag")
