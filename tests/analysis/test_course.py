"""Has the split changed in the course of a run? Asked before it is called a match."""

import numpy as np
import pytest

from trafficsplit.analysis.course import Suspicion, suspicion_of
from trafficsplit.analysis.order import Course
from trafficsplit.analysis.question import Question
from trafficsplit.analysis.split import Split

QUESTION = Question(Split({"blue": 75, "green": 25}), 0.02)


def course_of(*parts: tuple[float, int], seed: int = 1) -> Course:
    """Return the course of responses: shares of green, each for a number of steps of ten."""
    rng = np.random.default_rng(seed)
    green = np.concatenate([rng.binomial(10, share, steps) for share, steps in parts])
    return Course(10, {"blue": (10 - green).tolist(), "green": green.tolist()})


@pytest.mark.parametrize(
    ("before", "after"), [(0.20, 0.30), (0.25, 0.10), (0.30, 0.20), (0.25, 0.0)]
)
def test_a_change_is_found_with_what_came_since(before: float, after: float) -> None:
    suspicion, since = suspicion_of(course_of((before, 300), (after, 100)), QUESTION)
    assert suspicion is Suspicion.CHANGED
    number = sum(since.values())
    assert 900 <= number <= 1200
    assert since.get("green", 0) / number == pytest.approx(after, abs=0.05)


def test_a_share_that_may_be_leaving_its_band_is_waited_for() -> None:
    suspicions = [
        suspicion_of(course_of((0.25, 500), (0.10, 4), seed=seed), QUESTION)[0]
        for seed in range(60)
    ]
    assert suspicions.count(Suspicion.LEAVING) + suspicions.count(Suspicion.CHANGED) >= 10


def test_a_constant_share_is_hardly_ever_suspected() -> None:
    suspicions = [
        suspicion_of(course_of((0.25, 570), seed=seed), QUESTION)[0] for seed in range(200)
    ]
    assert suspicions.count(Suspicion.CHANGED) <= 6
    assert suspicions.count(Suspicion.LEAVING) <= 36


@pytest.mark.parametrize(
    "course", [Course(), Course(10, {"blue": [10] * 500}), course_of((0.5, 2))]
)
def test_too_little_to_tell_is_no_suspicion(course: Course) -> None:
    assert suspicion_of(course, QUESTION) == (Suspicion.NONE, {})
