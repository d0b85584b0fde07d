import math
import pickle
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trafficsplit.analysis.question import Question
from trafficsplit.analysis.split import Split, split_of_weight, split_of_weights
from trafficsplit.analysis.tally import Tally
from trafficsplit.errors import InputError
from trafficsplit.settings.options import (
    EXPECTATIONS,
    addresses_of,
    checked_host,
    checked_path,
    hosts_of,
    question_of_options,
)

names = st.text(st.characters(categories=["L", "N"]), min_size=1, max_size=8)
weights = st.dictionaries(names, st.floats(0, 1e300), min_size=1, max_size=6).filter(
    lambda w: any(w.values())
)


@given(weights)
def test_weights_in_any_unit_come_out_as_fractions_of_one(given_weights: dict[str, float]) -> None:
    split = Split(given_weights)
    assert math.isclose(math.fsum(split.weights.values()), 1, rel_tol=1e-12)
    assert list(split) == list(given_weights)


@given(weights)
def test_a_normalised_split_stays_as_it_is(given_weights: dict[str, float]) -> None:
    split = Split(given_weights)
    again = Split(dict(split.weights))
    assert all(math.isclose(again[v], split[v], rel_tol=1e-12) for v in split)


@pytest.mark.parametrize(
    ("bad", "named"),
    [
        ({}, "no weights"),
        ({"green": -1}, "green is negative"),
        ({"green": math.nan}, "green is nan"),
        ({"green": math.inf}, "green is inf"),
        ({"green": "25"}, "green is not a number"),
        ({"green": True}, "green is not a number"),
        ({"blue": 0, "green": 0}, "all weights are zero"),
        ({" ": 1}, "no variant's name"),
    ],
)
def test_bad_weights_are_refused_by_name(bad: dict[str, float], named: str) -> None:
    with pytest.raises(InputError, match=named):
        Split(bad)


def test_the_default_tolerance_is_two_points_or_half_the_smallest_weight() -> None:
    assert Split({"blue": 75, "green": 25}).default_tolerance == 0.02
    assert Split({"blue": 98, "green": 2}).default_tolerance == pytest.approx(0.01)
    assert Split({"blue": 1, "green": 0}).default_tolerance == 0.02


def test_splits_and_tallies_can_be_sent_to_other_processes() -> None:
    split, tally = Split({"blue": 3, "green": 1}), Tally({"blue": 3}, errors=1)
    assert pickle.loads(pickle.dumps(split)) == split
    assert pickle.loads(pickle.dumps(tally)) == tally


def test_text_forms() -> None:
    assert split_of_weight("25 %") == Split({"blue": 75, "green": 25})
    assert split_of_weights("blue=3, green=1") == Split({"blue": 3, "green": 1})
    assert split_of_weights("a=b=1")["a=b"] == 1


def read_or_line(read: Callable[[Any], Any], given_input: object) -> Any:
    """What was read, or the refusal: one line."""
    try:
        return read(given_input)
    except InputError as error:
        return str(error).splitlines() == [str(error)]


@given(st.text(max_size=30))
def test_any_text_is_a_split_or_one_clear_line(text: str) -> None:
    for read in (split_of_weight, split_of_weights):
        assert read_or_line(read, text)


options = st.one_of(st.none(), st.text(max_size=12), st.floats().map(str), st.integers().map(str))


@given(st.dictionaries(st.sampled_from([*EXPECTATIONS]), options))
def test_any_options_ask_a_question_or_are_refused(given_options: dict[str, str | None]) -> None:
    asked = read_or_line(lambda options: question_of_options(**options), given_options)
    if isinstance(asked, Question):
        assert 0 < asked.alpha < 0.5
        assert asked.requests > 0


@given(st.text(max_size=20))
def test_any_address_is_usable_or_refused(text: str) -> None:
    for check in (checked_host, hosts_of, checked_path):
        assert read_or_line(check, text)
    assert read_or_line(addresses_of, f"x{text}")


def test_tallies_add_up_and_refuse_what_is_no_count() -> None:
    total = Tally({"blue": 1}, errors=2) + Tally({"green": 3}, unidentified=4)
    assert (total.identified, total.lost, total.requests) == (4, 6, 10)
    assert total.share("green") == 0.75
    assert Tally().share("green") is None
    for bad in (-1, 1.5, True, "1"):
        with pytest.raises(InputError, match="green"):
            Tally({"green": bad})  # type: ignore[dict-item]
