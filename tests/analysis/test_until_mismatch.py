"""What is promised for a mismatch, held against simulations of its evidence."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
import pytest

from tests.support import passages
from tests.support.runs import CANARY
from trafficsplit.analysis.question import Question
from trafficsplit.analysis.split import Split
from trafficsplit.analysis.until_mismatch import until_mismatch

THREE = (0.5, 0.3, 0.2)


def named(shares: Sequence[float]) -> dict[str, float]:
    return {f"v{index}": share for index, share in enumerate(shares)}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("weights", "shares"),
    [
        *(((0.75, 0.25), (1 - green, green)) for green in (0.29, 0.35, 0.5, 0.8, 0.05, 0.15, 0, 1)),
        *(((0.95, 0.05), (1 - green, green)) for green in (0.1, 0.01, 0.5)),
        (THREE, (0.45, 0.35, 0.2)),
        (THREE, (1 / 3, 1 / 3, 1 / 3)),
        (THREE, (0.75, 0.15, 0.1)),
        (THREE, (0.6, 0.4, 0.0)),
        (THREE, (1.0, 0.0, 0.0)),
        ((0.9, 0.05, 0.05), (0.5, 0.25, 0.25)),
        ((0.34, 0.33, 0.33), (0.4, 0.3, 0.3)),
    ],
)
def test_promises_are_within_ten_per_cent(
    weights: Sequence[float], shares: Sequence[float]
) -> None:
    question = Question(Split(named(weights)), 0.02)
    found = passages.requests_to_mismatch(question, named(shares), runs=1200, seed=12)
    promised = until_mismatch(question, named(shares))
    assert promised is not None
    half = 0.5  # of a request, where there are few
    for q in (0.5, 0.9):
        seen = np.quantile(found, q)
        assert promised.quantile(q) == pytest.approx(seen, rel=0.1, abs=half)
    assert promised.mean == pytest.approx(found.mean(), rel=0.1, abs=half)


@pytest.mark.parametrize("green", [0.23, 0.25, 0.27, 0.27 + 1e-12, 0.2701])
def test_within_the_tolerance_or_too_near_there_is_no_end(green: float) -> None:
    assert until_mismatch(Question(CANARY, 0.02), {"blue": 1 - green, "green": green}) is None


def test_it_takes_longer_the_nearer_it_is() -> None:
    question = Question(CANARY, 0.02)
    before = 0.0
    for green in (0.9, 0.6, 0.4, 0.35, 0.3, 0.29, 0.28, 0.276):
        promised = until_mismatch(question, {"blue": 1 - green, "green": green})
        assert promised is not None
        assert promised.quantile(0.5) > before
        before = promised.quantile(0.5)


@pytest.mark.parametrize(("part", "requests"), [(1.0, 1), (0.5, 1), (0.25, 3), (0.0001, 6932)])
def test_what_is_not_configured_shows_with_its_first_response(part: float, requests: int) -> None:
    rollback = Question(Split({"blue": 1, "green": 0}), 0.02)
    promised = until_mismatch(rollback, {"blue": 1 - part, "green": part})
    assert promised is not None
    assert promised.quantile(0.5) == pytest.approx(requests, abs=1)
    assert promised.mean == pytest.approx(1 / part, rel=0.01)


def test_whichever_shows_first_counts() -> None:
    question = Question(Split({"blue": 70, "green": 30, "red": 0}), 0.02)
    off = {"blue": 0.6, "green": 0.4, "red": 0.0}
    seldom = {"blue": 0.6, "green": 0.395, "red": 0.005}
    alone = until_mismatch(question, off)
    both = until_mismatch(question, seldom)
    assert alone is not None
    assert both is not None
    assert both.quantile(0.5) < min(alone.quantile(0.5), 139)


def test_a_mismatch_with_less_alpha_takes_longer() -> None:
    shares = {"blue": 0.7, "green": 0.3}
    one = until_mismatch(Question(CANARY, 0.02), shares)
    less = until_mismatch(Question(CANARY, 0.02, mismatch_alpha=0.0004), shares)
    assert one is not None
    assert less is not None
    assert 1.3 < less.quantile(0.5) / one.quantile(0.5) < 1.8


def test_old_weights_that_are_known_show_sooner() -> None:
    old = {"blue": 0.9, "green": 0.1}
    asked = Question(CANARY, 0.02)
    one = until_mismatch(asked, old)
    known = until_mismatch(dataclasses.replace(asked, previous=Split(old)), old)
    assert one is not None
    assert known is not None
    assert 0.7 < known.quantile(0.5) / one.quantile(0.5) < 0.92
