"""Weights in per cent, as they are changed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trafficsplit.analysis.split import Split
from trafficsplit.errors import InputError
from trafficsplit.weights.percent import complete_weights, in_words, percent, whole_weights

SHARES = st.dictionaries(st.sampled_from("abcdef"), st.integers(0, 1000), min_size=2)


@given(st.floats(0, 100))
def test_per_cent_have_no_dust_of_normalisation(green: float) -> None:
    found = percent(Split({"blue": 100 - green, "green": green}))
    assert found["green"] == pytest.approx(green, abs=1e-8)
    assert found["green"] == round(found["green"], 9)


@pytest.mark.parametrize(
    ("given_weights", "before", "after"),
    [
        ({"green": 25}, {"blue": 100, "green": 0}, {"blue": 75, "green": 25}),
        ({"c": 10}, {"a": 60, "b": 30, "c": 10}, {"a": 60, "b": 30, "c": 10}),
        ({"c": 40}, {"a": 60, "b": 30, "c": 10}, {"a": 40, "b": 20, "c": 40}),
        ({"a": 50}, {"a": 100, "b": 0, "c": 0}, {"a": 50, "b": 25, "c": 25}),
        ({"a": 100}, {"a": 1, "b": 1}, {"a": 100, "b": 0}),
        ({"a": 30, "b": 70}, {"a": 1, "b": 1}, {"a": 30, "b": 70}),
        ({"a": 100}, {"a": 0}, {"a": 100}),
    ],
)
def test_what_is_not_given_shares_the_rest_as_before(
    given_weights: dict[str, float], before: dict[str, float], after: dict[str, float]
) -> None:
    assert complete_weights(given_weights, before) == pytest.approx(after)


@given(SHARES, st.floats(0, 100))
def test_completed_weights_sum_to_a_hundred(before: dict[str, float], weight: float) -> None:
    variant = next(iter(before))
    after = complete_weights({variant: weight}, before)
    assert list(after) == list(before)
    assert after[variant] == weight
    assert sum(after.values()) == pytest.approx(100)
    assert min(after.values()) >= 0


@pytest.mark.parametrize(
    ("given_weights", "said"),
    [
        ({"red": 5}, "there is no variant red, but blue, green"),
        ({"green": -1}, "the weight of green is -1"),
        ({"green": 101}, "the weight of green is 101"),
        ({"green": float("nan")}, "the weight of green is nan"),
        ({"green": 60, "blue": 60}, "the weights sum to 120, and not to 100"),
        ({"green": 60, "blue": 30}, "the weights sum to 90, and not to 100"),
    ],
)
def test_weights_that_make_no_whole_are_refused(given_weights: dict[str, float], said: str) -> None:
    with pytest.raises(InputError, match=said):
        complete_weights(given_weights, {"blue": 100, "green": 0})


@pytest.mark.parametrize(
    ("weights", "whole"),
    [
        ({"a": 75.0, "b": 25.0}, {"a": 75, "b": 25}),
        ({"a": 99.5, "b": 0.5}, {"a": 995, "b": 5}),
        ({"a": 99.99, "b": 0.01}, {"a": 9999, "b": 1}),
        ({"a": 99.999, "b": 0.001}, {"a": 99999, "b": 1}),
        ({"a": 100 / 3, "b": 200 / 3}, {"a": 33333, "b": 66667}),
        ({}, {}),
    ],
)
def test_whole_weights_are_as_coarse_as_does(
    weights: dict[str, float], whole: dict[str, int]
) -> None:
    assert whole_weights(weights) == whole


@given(st.integers(0, 100_000))
def test_whole_weights_keep_thousandths_of_a_per_cent(thousandths: int) -> None:
    green = thousandths / 1000
    whole = whole_weights({"blue": 100 - green, "green": green})
    assert whole["green"] / sum(whole.values()) == pytest.approx(green / 100, abs=1e-12)


def test_weights_in_words() -> None:
    assert in_words({"blue": 99.5, "green": 0.5}) == "blue 99.5 %, green 0.5 %"
