"""Bets on a bounded mean: fair wherever they have to be, and what they win."""

from __future__ import annotations

import math

import numpy as np
import pytest

from trafficsplit.analysis.betting import (
    Bet,
    Bets,
    bet_below,
    bet_beyond,
    bet_inside,
)
from trafficsplit.analysis.evidence import Edge
from trafficsplit.analysis.visits import UserKind

LOW = Edge(1, 0.23, above=False)
HIGH = Edge(1, 0.27, above=True)
KINDS = [UserKind.of(["green"] * green + ["blue"] * (3 - green)) for green in range(4)]


def green(kind: UserKind) -> float:
    return kind.share(["green"])


BETS = {
    "inside, low": (bet_inside(LOW, 0.25, 0.02, green), 0.23, False),
    "inside, high": (bet_inside(HIGH, 0.25, 0.02, green), 0.27, True),
    "beyond, low": (bet_beyond(LOW, green), 0.23, True),
    "beyond, high": (bet_beyond(HIGH, green), 0.27, False),
    "below": (bet_below(0.001, green), 0.001, True),
}


def chances(mean: float, *, at_the_ends: bool) -> list[float]:
    """Return probabilities of 0, ⅓, ⅔ and 1 with a mean: only of 0 and 1, or of neighbours."""
    if at_the_ends:
        return [1 - mean, 0.0, 0.0, mean]
    lower = min(int(3 * mean), 2)
    upper_share = 3 * mean - lower
    probabilities = [0.0] * 4
    probabilities[lower] = 1 - upper_share
    probabilities[lower + 1] = upper_share
    return probabilities


@pytest.mark.parametrize("name", BETS)
@pytest.mark.parametrize("at_the_ends", [True, False])
@pytest.mark.parametrize("off", [0.0, 0.05, 0.3])
def test_no_bet_wins_on_average_where_it_is_wrong(name: str, at_the_ends: bool, off: float) -> None:
    bet, edge, above = BETS[name]
    mean = min(edge + off, 1.0) if above else max(edge - off, 0.0)
    probabilities = np.array(chances(mean, at_the_ends=at_the_ends))
    assert probabilities.min() >= 0
    assert probabilities.sum() == pytest.approx(1)
    assert probabilities @ [0, 1 / 3, 2 / 3, 1] == pytest.approx(mean)
    stakes = np.exp([bet.log_steps(kind) for kind in KINDS])
    averages = probabilities @ stakes
    assert (averages <= 1 + 1e-9).all()
    if not off:
        assert averages == pytest.approx(1)


@pytest.mark.parametrize("name", BETS)
def test_a_mixture_has_a_mass_of_one(name: str) -> None:
    bet = BETS[name][0]
    assert math.fsum(bet.weights) == pytest.approx(1)
    assert all(0 <= point <= 1 for point in bet.points)
    assert Bets([bet]).log_evidence([], np.zeros((0, 1)))[0, 0] == pytest.approx(0)


@pytest.mark.parametrize(
    ("edge", "n", "x", "expected"),
    [
        (LOW, 6000, 1500, 6.644526),
        (HIGH, 6000, 1500, 6.187464),
        (LOW, 6000, 1560, 13.226461),
        (HIGH, 6000, 1560, -0.051919),
    ],
)
def test_for_users_that_stay_it_is_the_likelihood_ratio(
    edge: Edge, n: int, x: int, expected: float
) -> None:
    # The same check values as of requests (DESIGN.md 4).
    bet = Bet(edge.share, [0.25], [1.0], green)
    counts = np.array([n - x, 0.0, 0.0, x])[:, None]
    assert Bets([bet]).log_evidence(KINDS, counts)[0, 0] == pytest.approx(expected, abs=1e-6)


def test_several_bets_on_several_cases() -> None:
    bets = Bets([BETS["inside, low"][0], BETS["beyond, low"][0]])
    counts = np.array([[6000.0, 6000.0], [0, 0], [0, 0], [2000.0, 1000.0]])
    evidence = bets.log_evidence(KINDS, counts)
    assert evidence.shape == (2, 2)
    assert evidence[0, 0] > 5 > evidence[0, 1]
    assert evidence[1, 1] > 5 > evidence[1, 0]
    # Another number of kinds later on: nothing is remembered of the former ones.
    assert bets.log_evidence(KINDS[:1], np.array([[100.0]]))[1, 0] > 5
