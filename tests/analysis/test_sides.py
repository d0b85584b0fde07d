"""What both sides' evidence for a mismatch has to reach together."""

from __future__ import annotations

import math

import numpy as np
import pytest

from trafficsplit.analysis.evidence import Floats, Mixture, edges
from trafficsplit.analysis.question import Question
from trafficsplit.analysis.sides import mismatch_threshold
from trafficsplit.analysis.split import Split

RUNS = 4000
RESPONSES = 8000


def question_of(weight: float, tolerance: float, alpha: float = 0.01) -> Question:
    return Question(Split({"blue": 100 - weight, "green": weight}), tolerance, alpha=alpha)


@pytest.mark.parametrize("alpha", [0.05, 0.01, 0.001])
@pytest.mark.parametrize(("weight", "tolerance"), [(25, 0.02), (5, 0.02), (50, 0.1), (1, 0.005)])
def test_it_is_between_half_and_all_of_what_both_sides_apart_would_need(
    weight: float, tolerance: float, alpha: float
) -> None:
    needed = math.exp(mismatch_threshold(question_of(weight, tolerance, alpha))) * alpha
    assert 0.5 < needed < 0.8


def test_a_wide_band_needs_half_since_no_share_is_beyond_both_ends() -> None:
    needed = math.exp(mismatch_threshold(question_of(25, 0.1))) * 0.01
    assert needed == pytest.approx(0.5, abs=0.005)


def test_one_edge_or_three_variants_need_all() -> None:
    assert mismatch_threshold(question_of(100, 0.02)) == pytest.approx(math.log(100))
    three = Question(Split({"a": 50, "b": 30, "c": 20}), 0.02)
    assert mismatch_threshold(three) == pytest.approx(math.log(100))


def test_old_weights_are_no_way_around_the_bound() -> None:
    split = Split({"blue": 75, "green": 25})
    previous = Question(split, 0.02, previous=Split({"blue": 90, "green": 10}))
    needed = math.exp(mismatch_threshold(previous)) * 0.01
    assert 0.5 < needed < 0.8


@pytest.mark.slow
@pytest.mark.parametrize(("weight", "tolerance"), [(25, 0.02), (10, 0.05)])
def test_a_share_in_the_band_reaches_it_once_in_a_hundred_runs(
    weight: float, tolerance: float
) -> None:
    question = question_of(weight, tolerance)
    low, high = weight / 100 - tolerance, weight / 100 + tolerance
    rng = np.random.default_rng(14)
    courses = {
        "low": (low, low),
        "high": (high, high),
        "from high to low": (high, low),
        "from low to high": (low, high),
    }
    for name, shares in courses.items():
        wrong = part_that_reaches_it(question, shares, rng)
        # a standard error is 0.16 %
        assert wrong <= 0.013, f"{name}: {wrong:.2%}"


def part_that_reaches_it(
    question: Question, shares: tuple[float, float], rng: np.random.Generator
) -> float:
    """Return the part of runs whose evidence ever reaches the threshold.

    The share is the first at the beginning, and the second after a fifth of the responses.
    """
    weights = list(question.split.weights.values())
    mixture = Mixture(2, edges(weights, question.tolerance))
    threshold = mismatch_threshold(question)
    green: Floats = np.zeros(RUNS)
    reached = np.zeros(RUNS, bool)
    n = 0
    while n < RESPONSES:
        step = max(1, n // 100)
        share = shares[0] if n < RESPONSES / 5 else shares[1]
        green += rng.binomial(step, share, size=RUNS)
        n += step
        reached |= mixture.log_evidence(np.stack([n - green, green], axis=1)) >= threshold
    return float(reached.mean())
