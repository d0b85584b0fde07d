import math
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.runs import CANARY
from trafficsplit.analysis.question import MOST_REQUESTS, Question
from trafficsplit.analysis.split import Split
from trafficsplit.errors import InputError


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"test": "bayes"}, "'bayes': say sequential or fixed"),
        ({"zero_tolerance": 0.0}, "the tolerance of weight 0"),
        ({"alpha": 0.5}, "alpha is 0.5"),
        ({"alpha": 0.0}, "alpha is 0"),
        ({"alpha": 0.2, "power": 0.1}, "power is 0.1"),
        ({"power": 1.0}, "power is 1"),
        ({"tolerance": 0.0}, "from 1e-10, less than 50"),
        ({"tolerance": 0.5}, "from 1e-10, less than 50"),
        ({"tolerance": 1e-312}, "from 1e-10, less than 50"),
        ({"alpha": 1e-320}, "alpha is 9.99989e-321: give a fraction from 1e-12"),
        ({"split": Split({"blue": 1, "green": 1e-300})}, "the weight of green is 1e-298 %"),
        ({"max_failing": 1e-312}, "failing requests is 1e-312"),
        ({"max_failing": 1.0}, "failing requests is 1"),
        ({"max_failing": -0.1}, "failing requests is -0.1"),
        ({"gateways": 0}, "0 gateways"),
        ({"requests": -1}, "-1 requests"),
        ({"requests": MOST_REQUESTS + 1}, "requests cannot be sent"),
    ],
)
def test_values_out_of_range_are_refused_by_name(values: dict[str, Any], named: str) -> None:
    with pytest.raises(InputError, match=re.escape(named)):
        Question(**{"split": CANARY, "tolerance": 0.02, **values})


@pytest.mark.parametrize(
    ("weight", "tolerance", "end", "most"),
    [
        (25, 0.3, "green, of weight 25 %, get nothing", 25),
        (25, 0.25, "green, of weight 25 %, get nothing", 25),
        (95, 0.1, "green, of weight 95 %, get everything", 5),
        (2, 0.02, "green, of weight 2 %, get nothing", 2),
    ],
)
def test_a_tolerance_that_reaches_an_end_is_refused_with_the_largest_that_makes_sense(
    weight: float, tolerance: float, end: str, most: float
) -> None:
    split = Split({"green": weight, "blue": 100 - weight})
    with pytest.raises(InputError, match=f"{end}: give less than {most:g}"):
        Question(split, tolerance)


def test_the_largest_that_makes_sense_is_one() -> None:
    assert Question(CANARY, 0.2499).tolerance == 0.2499


@given(st.integers(1, 99), st.floats(1e-6, 0.499))
def test_no_question_calls_no_traffic_at_all_a_match(weight: int, tolerance: float) -> None:
    split = Split({"blue": 100 - weight, "green": weight})
    try:
        Question(split, tolerance)
    except InputError:
        assert tolerance >= min(split["green"], split["blue"])
    else:
        assert split["green"] - tolerance > 0
        assert split["green"] + tolerance < 1


def test_weight_zero_has_a_tolerance_of_its_own() -> None:
    question = Question(Split({"blue": 1, "green": 0}), 0.02)
    assert question.tolerance_of("green") == question.tolerance_of("blue") == 0.001
    assert Question(CANARY, 0.03).tolerance_of("green") == 0.03


def test_two_tests_of_several_gateways_share_alpha() -> None:
    assert Question(CANARY, 0.02).chi_square_alpha == 0.01
    assert Question(CANARY, 0.02, gateways=3).chi_square_alpha == 0.005


@given(st.floats(1e-6, 0.4), st.floats(1e-5, 0.3))
def test_the_responses_that_rule_weight_zero_out_are_the_fewest(alpha: float, zero: float) -> None:
    needed = Question(CANARY, 0.02, alpha=alpha, zero_tolerance=zero).requests_for_zero
    assert (1 - zero) ** needed <= alpha * (1 + 1e-9)
    assert (1 - zero) ** (needed - 1) >= alpha * (1 - 1e-9)


def test_a_mismatch_may_have_an_alpha_of_its_own() -> None:
    assert Question(CANARY, 0.02, alpha=0.03).alpha_of_mismatch == 0.03
    assert Question(CANARY, 0.02, mismatch_alpha=0.001).alpha_of_mismatch == 0.001
    assert Question(CANARY, 0.02, mismatch_alpha=0.001, gateways=2).chi_square_alpha == 0.0005
    for alpha in (0.0, 0.5, -1.0, math.nan):
        with pytest.raises(InputError, match="the alpha of a mismatch is"):
            Question(CANARY, 0.02, mismatch_alpha=alpha)


def test_twenty_variants_are_enough() -> None:
    split = Split({f"v{number}": 1 for number in range(21)})
    with pytest.raises(InputError, match=r"21 variants are too many .* at most 20"):
        Question(split, 0.01)
