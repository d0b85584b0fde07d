"""How long a clear mismatch is held back: by what the judge of a run asks for."""

from __future__ import annotations

import pytest

from tests.support.runs import CANARY
from trafficsplit.analysis.first_passage import surely
from trafficsplit.analysis.held_back import USERS, held_back, seconds_held_back
from trafficsplit.analysis.independence import TELLING_PAIRS
from trafficsplit.analysis.moment import PACE
from trafficsplit.analysis.question import Question
from trafficsplit.analysis.until_mismatch import until_mismatch

QUESTION = Question(CANARY, 0.02)


def shares(green: float) -> dict[str, float]:
    return {"blue": 1 - green, "green": green}


def test_one_variant_alone_takes_a_moment() -> None:
    promised = held_back(surely(26.0), QUESTION, shares(0))
    seconds = seconds_held_back(QUESTION, shares(0))
    assert promised.quantile(0.5) == pytest.approx(seconds * PACE, rel=0.01)
    assert promised.mean == pytest.approx(seconds * PACE, rel=0.01)
    assert 0.75**seconds == pytest.approx(QUESTION.alpha / 2)
    assert seconds_held_back(QUESTION, shares(0.01)) == 0


def test_a_seldom_variant_takes_as_many_responses_as_it_comes_ten_times_in_them() -> None:
    promised = held_back(surely(10.0), QUESTION, shares(0.05))
    switches_after = 10 / (2 * 0.05 * 0.95)
    assert switches_after < promised.quantile(0.5) < 2.5 * switches_after


def test_a_clear_mismatch_of_both_waits_for_connections() -> None:
    promised = held_back(surely(10.0), QUESTION, shares(0.5))
    assert 2 * TELLING_PAIRS <= promised.quantile(0.5) <= 2 * TELLING_PAIRS + USERS


def test_a_small_deviation_is_not_held_back() -> None:
    passage = until_mismatch(QUESTION, shares(0.3))
    assert passage is not None
    promised = held_back(passage, QUESTION, shares(0.3))
    for q in (0.1, 0.5, 0.9):
        assert promised.quantile(q) == pytest.approx(passage.quantile(q), rel=0.01)
    assert promised.mean == pytest.approx(passage.mean, rel=0.02)
