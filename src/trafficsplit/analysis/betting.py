"""Bets on the mean of values in [0, 1], one value a user, in logarithms.

Against "the mean is e or beyond" a bet on a point p within multiplies its stake by
x·p/e + (1 − x)·(1 − p)/(1 − e) for each value x: by 1 + λ·(x − e), where λ = (p − e)/(e·(1 − e)).
The stake does not grow on average wherever the mean is at e or beyond, whatever the values'
distribution: it is an e-process (Waudby-Smith & Ramdas 2024, "Estimating means of bounded random
variables by betting"). For values that are 0 or 1 it is the likelihood ratio of p to e. A mixture
over points, fixed beforehand, is an e-process too.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from trafficsplit.analysis.evidence import Edge, Floats, log_sum
from trafficsplit.analysis.visits import UserKind

IMPOSSIBLE = 1e-300  # instead of 0, of which there is no logarithm
# Where the points of a match are, in tolerances from the weight, and how much they count together.
INSIDE = (-0.85, -0.6, -0.3, 0.3, 0.6, 0.85)
INSIDE_WEIGHT = 0.2
# Where the points below a small edge are, as fractions of it, and how much they count together.
BELOW = (0.1, 0.3, 0.6)
BELOW_WEIGHT = 0.1
POINTS_BEYOND = 20
NEAREST = 1.5e-4  # nats from the edge to the first of them, about


@dataclass(frozen=True)
class Bet:
    """A mixture of bets that a mean is not at `edge` or beyond, but at `points`.

    `weights` of the points sum up to 1. `value` is the value of a user, in [0, 1].
    """

    edge: float
    points: Sequence[float]
    weights: Sequence[float]
    value: Callable[[UserKind], float]

    def log_steps(self, kind: UserKind) -> Floats:
        """Return what a user of a kind adds to the logarithm of each point's stake."""
        x = self.value(kind)
        points = np.array(self.points, dtype=float)
        stake = x * points / self.edge + (1 - x) * (1 - points) / (1 - self.edge)
        steps: Floats = np.log(np.maximum(stake, IMPOSSIBLE))
        return steps


def bet_inside(
    edge: Edge, weight: float, tolerance: float, value: Callable[[UserKind], float]
) -> Bet:
    """Return the bet that a share is on this side of an edge, within the tolerance of its weight.

    Most of its mass is on the weight itself (DESIGN.md 4).
    """
    points = [weight]
    for distance in INSIDE:
        point = weight + distance * tolerance
        if 0 < point < 1:
            points.append(point)
    others = INSIDE_WEIGHT / (len(points) - 1)
    weights = [1 - INSIDE_WEIGHT, *[others] * (len(points) - 1)]
    return Bet(edge.share, points, weights, value)


def bet_below(edge: float, value: Callable[[UserKind], float]) -> Bet:
    """Return the bet that a mean is below a small edge, as a rule 0."""
    points = [0.0, *(fraction * edge for fraction in BELOW)]
    weights = [1 - BELOW_WEIGHT, *[BELOW_WEIGHT / len(BELOW)] * len(BELOW)]
    return Bet(edge, points, weights, value)


def bet_beyond(edge: Edge, value: Callable[[UserKind], float]) -> Bet:
    """Return the bet that a mean is beyond an edge: at points from near it to the end."""
    end = 1.0 if edge.above else 0.0
    room = abs(end - edge.share)
    first = min(math.sqrt(2 * NEAREST * edge.share * (1 - edge.share)), room / 2)
    distances = np.geomspace(first, room, POINTS_BEYOND)
    points = edge.share + np.copysign(distances, end - edge.share)
    points[-1] = end
    return Bet(edge.share, points.tolist(), [1 / POINTS_BEYOND] * POINTS_BEYOND, value)


class Bets:
    """Several bets, each with a stake of its own."""

    def __init__(self, bets: Sequence[Bet]) -> None:
        self._bets = bets
        self._starts = np.cumsum([0, *(len(bet.points) for bet in bets)])[:-1]
        self._log_weights = np.log(np.concatenate([[], *(bet.weights for bet in bets)]))
        self._kinds: Sequence[UserKind] = []  # of the columns of the matrix
        self._matrix = np.zeros((len(self._log_weights), 0))

    def __len__(self) -> int:
        return len(self._bets)

    def log_evidence(self, kinds: Sequence[UserKind], counts: Floats) -> Floats:
        """Return the logarithm of each bet's stake: bets × columns.

        `counts` are users: kinds × columns, of which each is a case of its own.
        """
        terms = self._steps(kinds) @ counts + self._log_weights[:, None]
        ends = [*self._starts[1:], len(terms)]
        rows = [log_sum(terms[a:b].T) for a, b in zip(self._starts, ends, strict=True)]
        return np.array(rows, dtype=float).reshape(len(self._bets), counts.shape[1])

    def _steps(self, kinds: Sequence[UserKind]) -> Floats:
        """Return what a user of each kind adds to the logarithm of each point's stake."""
        if self._kinds != kinds:
            rows = [np.concatenate([[], *self._steps_of(kind)]) for kind in kinds]
            self._matrix = np.reshape(rows, (len(kinds), len(self._log_weights))).T
            self._kinds = list(kinds)
        return self._matrix

    def _steps_of(self, kind: UserKind) -> list[Floats]:
        return [bet.log_steps(kind) for bet in self._bets]
