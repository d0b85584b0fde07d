"""What is more than a moment: time and requests enough for a gateway to change its mind."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from tests.support.runs import CANARY
from trafficsplit.analysis.moment import (
    FEWEST_RESPONSES,
    LONGEST_MOMENT,
    Moment,
    fewest_responses,
    moment,
    only_time_is_missing,
    seconds_alone,
    switches_in,
)
from trafficsplit.analysis.order import Order, OrderRecorder
from trafficsplit.analysis.question import Question
from trafficsplit.analysis.split import Split
from trafficsplit.analysis.tally import Tally

QUESTION = Question(CANARY, 0.02)


def seen(codes: Sequence[int]) -> tuple[list[Order], Tally]:
    recorder = OrderRecorder()
    numbers = np.arange(len(codes)) % 16 + 1
    recorder.extend(["blue", "green"], np.array(codes, np.int64), numbers)
    return [recorder.order], Tally({"blue": list(codes).count(0), "green": list(codes).count(1)})


def of(codes: Sequence[int], elapsed: float) -> Moment:
    orders, tally = seen(codes)
    return moment(QUESTION, orders, tally, elapsed)


def test_one_variant_alone_has_to_last_as_long_as_chance_can_make_it() -> None:
    assert of([0] * 399, 60.0) is Moment.FEW_RESPONSES
    assert of([0] * 400, 18.3) is Moment.SHORT
    assert of([0] * 400, 18.5) is Moment.LONG_ENOUGH
    assert of([1] * 400, 3.9) is Moment.LONG_ENOUGH  # a quarter to the fourth is less than alpha
    assert of([0] * 400 + [1], 1.0) is Moment.SHORT  # the other's turn may just have begun
    assert of([0] * 400 + [1], 19.0) is Moment.LONG_ENOUGH


def test_ten_changes_are_enough_and_a_few_long_turns_are_not() -> None:
    assert of([0, 1] * 5 + [0], 0.01) is Moment.LONG_ENOUGH
    assert of([0] * 300 + [1] * 100 + [0] * 300, 60.0) is Moment.FEW_TURNS
    assert of([0] * 300 + [1] + [0] * 300, 0.1) is Moment.LONG_ENOUGH


def test_changes_are_counted_over_all_gateways() -> None:
    orders, _ = seen([0, 1, 1, 0])
    assert switches_in(orders * 2) == 4


@pytest.mark.parametrize(
    ("weight", "seconds"), [(0.5, 7.64), (0.75, 18.42), (0.99, LONGEST_MOMENT), (1.0, 0.0)]
)
def test_the_likelier_a_variant_the_longer_it_may_answer_alone(
    weight: float, seconds: float
) -> None:
    question = Question(Split({"blue": weight, "green": 1 - weight}), min(0.004, 0.02))
    assert seconds_alone(question, "blue") == pytest.approx(seconds, rel=0.01)


def test_a_rare_variant_has_to_have_had_its_turn() -> None:
    assert fewest_responses(QUESTION) == FEWEST_RESPONSES
    assert fewest_responses(Question(Split({"blue": 99, "green": 1}), 0.005)) == 1000


def test_time_is_missing_only_where_one_variant_answers_alone() -> None:
    assert only_time_is_missing(QUESTION, Tally({"blue": 80, "green": 0}), 0.0)
    assert not only_time_is_missing(QUESTION, Tally({"blue": 800}), 19.0)
    assert not only_time_is_missing(QUESTION, Tally({"blue": 800, "green": 1}), 1.0)
    assert not only_time_is_missing(QUESTION, Tally(), 0.0)
