"""What is promised for a match, held against simulations of its evidence."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from tests.support import passages
from trafficsplit.analysis.question import Question
from trafficsplit.analysis.split import Split
from trafficsplit.analysis.until_match import until_match

THREE = (0.5, 0.3, 0.2)


def question(weights: Sequence[float], tolerance: float, gateways: int = 1) -> Question:
    split = Split({f"v{index}": weight for index, weight in enumerate(weights)})
    return Question(split, tolerance, gateways=gateways)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("weights", "tolerance", "gateways"),
    [
        ((0.75, 0.25), 0.02, 1),
        ((0.95, 0.05), 0.02, 1),
        ((0.5, 0.5), 0.2, 1),
        ((0.99, 0.01), 0.005, 1),
        (THREE, 0.02, 1),
        ((0.34, 0.33, 0.33), 0.03, 1),
        ((0.9, 0.05, 0.05), 0.02, 1),
        ((0.25, 0.25, 0.25, 0.25), 0.05, 1),
        ((0.75, 0.25), 0.05, 3),
        (THREE, 0.05, 2),
    ],
)
def test_promises_are_within_ten_per_cent(
    weights: Sequence[float], tolerance: float, gateways: int
) -> None:
    asked = question(weights, tolerance, gateways)
    found = passages.requests_to_match(asked, runs=1200, seed=11)
    promised = until_match(asked)
    assert promised is not None
    assert promised.quantile(0.5) == pytest.approx(np.median(found), rel=0.1)
    assert promised.quantile(0.9) == pytest.approx(np.quantile(found, 0.9), rel=0.1)
    assert promised.mean == pytest.approx(found.mean(), rel=0.1)
    assert (found > promised.quantile(0.999)).mean() < 0.005


def test_without_an_edge_there_is_nothing_to_wait_for() -> None:
    assert until_match(question((1.0, 0.0), 0.02)) is None
    assert until_match(question((1.0,), 0.02)) is None


def test_more_gateways_take_more_requests_than_as_many_times_one() -> None:
    one = until_match(question((0.75, 0.25), 0.02))
    four = until_match(question((0.75, 0.25), 0.02, gateways=4))
    assert one is not None
    assert four is not None
    assert four.quantile(0.5) > 5 * one.quantile(0.5)
    # All of four are in time as often as one is that is late a quarter as often.
    assert four.quantile(0.96) == pytest.approx(4 * one.quantile(0.99), rel=0.01)
