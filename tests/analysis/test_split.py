import math
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trafficsplit.analysis.split import Split
from trafficsplit.errors import InputError

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
        ({"a\nb": 1}, "no variant's name"),
    ],
)
def test_bad_weights_are_refused_by_name(bad: dict[str, float], named: str) -> None:
    with pytest.raises(InputError, match=named):
        Split(bad)


def test_the_default_tolerance_is_two_points_or_half_the_smallest_weight() -> None:
    assert Split({"blue": 75, "green": 25}).default_tolerance == 0.02
    assert Split({"blue": 98, "green": 2}).default_tolerance == pytest.approx(0.01)
    assert Split({"blue": 1, "green": 0}).default_tolerance == 0.02


def test_a_variant_that_is_not_configured_has_weight_0() -> None:
    split = Split({"blue": 3, "green": 1, "red": 0})
    assert (split["green"], split["white"]) == (0.25, 0.0)
    assert ("red" in split, "white" in split) == (True, False)
    assert split.positive == {"blue": 0.75, "green": 0.25}
    assert len(split) == 3


@given(weights)
def test_a_split_can_be_sent_to_another_process(given_weights: dict[str, float]) -> None:
    split = Split(given_weights)
    again = pickle.loads(pickle.dumps(split))
    assert list(again) == list(split)
    assert all(math.isclose(again[v], split[v], rel_tol=1e-12) for v in split)


def test_equal_splits_have_equal_hashes_and_words() -> None:
    one = Split({"blue": 3, "green": 1})
    other = Split({"blue": 75, "green": 25})
    assert one == other
    assert hash(one) == hash(other)
    assert str(one) == "blue 75 %, green 25 %"
