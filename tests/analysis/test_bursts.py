import numpy as np
import pytest
from numpy.typing import NDArray

from trafficsplit.analysis.bursts import (
    FEWEST,
    Errors,
    dispersion_of_slow,
    errors_of,
    independent_errors,
    with_errors,
)
from trafficsplit.analysis.evidence import Floats
from trafficsplit.analysis.run import VariantCourse

Numbers = NDArray[np.integer] | Floats
STRETCHES = 300


def course(errors: Numbers, answers: int = 5, slow: Numbers | None = None) -> VariantCourse:
    slow = np.zeros(len(errors)) if slow is None else slow
    counts = errors.astype(int).tolist()
    return VariantCourse([answers] * len(errors), counts, [slow.astype(int).tolist()])


def bursts(rng: np.random.Generator, number: int, size: int, length: int = 1) -> Floats:
    """Return the errors of each stretch, in bursts that each last for some stretches."""
    errors = np.zeros(STRETCHES)
    for start in rng.integers(0, STRETCHES - length, number):
        errors[start : start + length] += size / length
    return errors


def test_independent_errors_have_about_the_spread_of_chance() -> None:
    rng = np.random.default_rng(1)
    spread = [errors_of(course(rng.poisson(0.2, STRETCHES))) for _ in range(200)]
    ratios = [one.variance / one.count for one in spread]
    assert min(ratios) >= 1
    assert 1 < np.mean(ratios) < 1.8


@pytest.mark.parametrize("length", [1, 4, 20])
def test_bursts_are_seen_at_any_length(length: int) -> None:
    rng = np.random.default_rng(2)
    spread = [errors_of(course(bursts(rng, 6, 20, length))) for _ in range(200)]
    # Six bursts of 20: the variance of their sum is 6 · 20².
    assert 1600 < np.mean([one.variance for one in spread]) < 4800
    assert min(one.largest for one in spread) > 8


def test_no_errors_and_few_stretches() -> None:
    assert errors_of(course(np.zeros(STRETCHES))) == independent_errors(0, 5 * STRETCHES)
    few = np.array([0.0, 7.0, 2.0])
    assert len(few) < FEWEST
    assert errors_of(course(few)) == Errors(9, 24, 53.0, 7.0)


def test_errors_are_added_by_stretch() -> None:
    together = with_errors(course(np.array([0.0, 2.0])), course(np.array([3.0, 1.0])))
    assert together == VariantCourse([5, 5], [3, 3], [[0, 0]])


def test_slow_answers_by_chance_have_no_dispersion_to_speak_of() -> None:
    rng = np.random.default_rng(3)
    none = np.zeros(STRETCHES)
    found: list[float] = []
    for _ in range(100):
        ours = course(none, 5, rng.binomial(5, 0.01, STRETCHES))
        theirs = course(none, 15, rng.binomial(15, 0.01, STRETCHES))
        found.append(dispersion_of_slow(ours, theirs))
    assert 1 < np.mean(found) < 1.9


def test_a_stall_of_one_variant_disperses_and_one_of_both_does_not() -> None:
    none = np.zeros(STRETCHES)
    own = none.copy()
    own[[40, 41, 200, 201]] = 4
    both_of_theirs = own * 3
    alone = dispersion_of_slow(course(none, 5, own), course(none, 15, none))
    both = dispersion_of_slow(course(none, 5, own), course(none, 15, both_of_theirs))
    assert alone > 4
    assert both < 1.01


def test_variants_without_answers_have_no_dispersion() -> None:
    empty = VariantCourse([0, 0], [0, 0], [[0, 0]])
    assert dispersion_of_slow(empty, course(np.zeros(2))) == 1
    assert dispersion_of_slow(course(np.zeros(2)), course(np.zeros(2))) == 1
