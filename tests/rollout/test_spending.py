"""One alpha for a release: its parts add up, however the release goes."""

from __future__ import annotations

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.runs import CANARY
from trafficsplit.analysis.question import SMALLEST
from trafficsplit.rollout.spending import (
    Spent,
    bounds_of_next,
    limits_of_next,
    part_of_match,
    part_of_stop,
)
from trafficsplit.settings.question import Limits

TEN = 10  # steps
RELEASES = 20_000


def test_a_verification_is_missed_from_its_beginning_until_it_matches() -> None:
    begun = Spent().after_beginning()
    assert begun == Spent(1, 1)
    assert begun.after_match() == Spent(1, 0)
    assert begun.after_match().after_beginning().after_beginning() == Spent(3, 2)


@pytest.mark.parametrize(("begun", "missed"), [(1, 2), (0, -1), (-1, -1), (math.nan, 0)])
def test_what_cannot_have_been_spent_is_refused(begun: int, missed: int) -> None:
    with pytest.raises(ValueError, match="cannot be missed"):
        Spent(begun, missed)


def test_every_step_of_a_walk_has_the_same_part_for_a_match_and_the_way_back_another() -> None:
    assert {part_of_match(Spent(step, 0)) for step in range(TEN)} == {0.6}
    assert part_of_match(Spent(5, 1)) == pytest.approx(0.3)
    assert part_of_match(Spent(6, 2)) == pytest.approx(0.075)


@given(st.lists(st.booleans(), max_size=60), st.integers(1, 20))
def test_the_parts_never_add_up_to_more_than_one(matched: list[bool], planned: int) -> None:
    spent = Spent()
    stops = 0.0
    matches = {0: part_of_match(spent)}  # by sequence: each ends with a verification that misses
    for match in matched:
        matches[spent.missed] = part_of_match(spent)
        stops += part_of_stop(spent, planned)
        spent = spent.after_beginning()
        if match:
            spent = spent.after_match()
    assert sum(matches.values()) <= 1 + 1e-12
    assert stops <= 1 + 1e-12


def test_the_limits_have_the_parts_of_the_releases_own() -> None:
    own = Limits(tolerance=0.03, alpha=0.02, power=0.9)
    limits = limits_of_next(own, Spent(3, 0), TEN)
    assert limits.alpha == pytest.approx(0.012)
    assert limits.mismatch_alpha == pytest.approx(0.02 * 0.9 / 11 / 3)
    assert limits.power == pytest.approx(0.94)
    assert limits.tolerance == 0.03
    late = limits_of_next(own, Spent(3, 0), TEN, more_kinds=1)
    assert late.mismatch_alpha == pytest.approx(0.02 * 0.9 / 11 / 4)


def test_without_limits_it_is_the_default_alpha_that_is_spent() -> None:
    question = limits_of_next(Limits(), Spent(), 1).question(CANARY)
    assert question.alpha == pytest.approx(0.006)
    assert question.alpha_of_mismatch == pytest.approx(0.01 * 0.45 / 3)
    assert question.power == pytest.approx(0.994)


def test_the_bounds_are_said() -> None:
    said = "wrongly passed at most 1.2 %, wrongly stopped 0.16 %"
    assert bounds_of_next(Limits(alpha=0.02), Spent(), TEN) == said
    # Chi-square passes what it has not the power to see.
    fixed = Limits(alpha=0.02, power=0.9, test="fixed")
    assert bounds_of_next(fixed, Spent(), TEN) == said.replace("1.2", "6")


@pytest.mark.parametrize("missed", [30, 5000])
def test_however_much_is_spent_there_is_a_question(missed: int) -> None:
    limits = limits_of_next(Limits(), Spent(missed, missed), 1, more_kinds=1)
    assert limits.question(CANARY).alpha == SMALLEST


class World:
    """Verifications that are wrong as often as their alpha allows.

    Every gateway is bad with probability `bad`; a bad one matches by mistake with the alpha of a
    match, or is held as inconclusive or called a mismatch, as likely. A good one is stopped by
    mistake with the alpha of a mismatch.
    """

    def __init__(self, seed: int, bad: float, alpha: float) -> None:
        self._random = random.Random(seed)
        self._bad = bad
        self._limits = Limits(alpha=alpha)
        self.wrong_match = False
        self.wrong_stop = False

    def release(self, steps: int, tries: int = 4) -> None:
        """Walk the steps, try each that holds again, and go back after a mismatch."""
        spent = Spent()
        step = 0
        while step < steps and tries:
            spent, verdict = self._verify(spent, steps)
            if verdict == "match":
                step += 1
            elif verdict == "mismatch":
                self._verify(spent, steps)
                return
            else:
                tries -= 1

    def _verify(self, spent: Spent, steps: int) -> tuple[Spent, str]:
        limits = limits_of_next(self._limits, spent, steps)
        assert limits.alpha is not None
        assert limits.mismatch_alpha is not None
        spent = spent.after_beginning()
        if self._random.random() < self._bad:
            if self._random.random() < limits.alpha:
                self.wrong_match = True
                return spent.after_match(), "match"
            return spent, self._random.choice(["mismatch", "inconclusive"])
        if self._random.random() < 3 * limits.mismatch_alpha:  # of three kinds
            self.wrong_stop = True
            return spent, "mismatch"
        return spent.after_match(), "match"


def frequencies(bad: float, alpha: float) -> tuple[float, float]:
    """Return how many releases had a wrong match, and a wrong stop."""
    matches = 0
    stops = 0
    for seed in range(RELEASES):
        world = World(seed, bad, alpha)
        world.release(TEN)
        matches += world.wrong_match
        stops += world.wrong_stop
    return matches / RELEASES, stops / RELEASES


@pytest.mark.slow
@pytest.mark.parametrize("bad", [0.0, 0.1, 0.5, 1.0])
def test_a_release_is_wrong_no_more_often_than_alpha(bad: float) -> None:
    alpha = 0.1  # so that it shows in so many
    matches, stops = frequencies(bad, alpha)
    noise = 3 * math.sqrt(alpha / RELEASES)
    assert matches <= alpha + noise
    assert stops <= alpha + noise
    if bad == 0:
        assert stops > 0.7 * alpha  # what may be spent is spent
    if bad == 1:
        assert matches > 0.7 * alpha
