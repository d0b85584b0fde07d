"""The requests until a mismatch at a gateway with given shares, before any is sent."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from trafficsplit.analysis.evidence import Edge, Floats, Mixture, divergence, edges
from trafficsplit.analysis.first_passage import (
    Passage,
    by_tangents,
    chance_beyond,
    crossings,
    exactly,
    surely,
)
from trafficsplit.analysis.mismatch_evidence import RESTARTS_MASS
from trafficsplit.analysis.question import Question
from trafficsplit.analysis.sides import mismatch_threshold
from trafficsplit.analysis.special import ndtr, ndtri
from trafficsplit.analysis.user_evidence import FROM_START, RESTARTED

# What part of the evidence about users starts anew so early that it is worth as much as what is
# there from the start on (fitted to simulated users).
SOON_RESTARTED = 0.75 * RESTARTED
TINY = 1e-9  # a share this near an edge is on it
NEVER = 1e15  # requests: a share too near an edge for the mixture's points shows after more
SMALL = 200.0  # requests: up to so many as a rule, two variants are followed draw by draw
LONG = 10.0  # times what is the rule that they are followed, and
FEW = 60  # requests at least
GRID = 80  # numbers of requests else
# The first and the last of them, in multiples of what is the rule.
FIRST = 0.03
LAST = 15.0
FARTHEST = 8  # standard deviations from the mean within which a boundary is looked for
HALVINGS = 8  # of one of them
# Points across the likeliest direction: with three variants by Gauss and Hermite, else a lattice.
NODES = 9
LATTICE = 32
PLASTIC = 1.32471795724474602596  # its powers spread points evenly (Roberts 2018, "R sequences")


def until_mismatch(question: Question, shares: Mapping[str, float]) -> Passage | None:
    """Return when a gateway with these true shares is a mismatch, None if it never is.

    It is counted in draws: responses, or users who stay. It never is if every share is within its
    tolerance, or too near it ever to show. The first response of a variant of weight 0 shows at
    once.
    """
    unexpected = sum(share for name, share in shares.items() if not question.split[name])
    deviation = _deviation(question, shares)
    passage = None if deviation is None else deviation.until_shown()
    if unexpected <= 0:
        return passage
    if unexpected >= 1:
        return surely(1.0)
    if passage is None:
        return _until_unexpected(unexpected)
    return Passage(passage.n, passage.late * (1 - unexpected) ** passage.n, passage.whole)


def _until_unexpected(share: float) -> Passage:
    """Return when something of a small share is there (geometric)."""
    most = math.ceil(40 / share)
    whole = most <= GRID**2
    n = np.arange(1.0, most + 1) if whole else np.geomspace(1.0, most, GRID**2)
    return Passage(n, (1 - share) ** n, whole)


def _deviation(question: Question, shares: Mapping[str, float]) -> _Deviation | None:
    """Return how shares are off, None if they are not."""
    weights = list(question.split.weights.values())
    band = edges(weights, question.tolerance)
    q = np.array([shares.get(variant, 0.0) for variant in question.split])
    beyond = [edge for edge in band if _is_beyond(float(q[edge.variant]), edge)]
    if not beyond:
        return None
    # Evidence from the start on has only so much of the mass; with several gateways, that of their
    # sum has half of it.
    mass = 1 - RESTARTS_MASS
    threshold = mismatch_threshold(question)
    if question.user_requests:
        mass = FROM_START + SOON_RESTARTED
        threshold = math.log(1 / question.alpha_of_mismatch)
    if question.gateways > 1:
        mass /= 2
    return _Deviation(
        mixture=Mixture(len(weights), band, question.likely_shares),
        threshold=threshold - math.log(mass),
        shares=q,
        first=max(beyond, key=lambda edge: divergence(float(q[edge.variant]), edge.share)),
    )


def _is_beyond(share: float, edge: Edge) -> bool:
    if edge.above:
        return share > edge.share + TINY
    return share < edge.share - TINY


@dataclass(frozen=True)
class _Deviation:
    """True shares, the evidence that shows them to be off, and the edge that shows first."""

    mixture: Mixture
    threshold: float
    shares: Floats
    first: Edge

    def until_shown(self) -> Passage | None:
        """Return when the evidence reaches its threshold, None if it never does."""
        typical = self._typical()
        if math.isinf(typical):
            return None
        if self.shares.max() >= 1:  # the only path
            return surely(math.ceil(typical - TINY))
        if len(self.shares) == 2:
            return self._of_one_count(typical)
        n = np.geomspace(max(FIRST * typical, 1.0), LAST * typical, GRID)
        return by_tangents(n, self._chance_of_threshold(n))

    def _typical(self) -> float:
        """Return after how many responses counts as they are on average are enough."""

        def is_enough(n: float) -> bool:
            return float(self.mixture.log_evidence(n * self.shares)) >= self.threshold

        high = 1.0
        while not is_enough(high):
            high *= 2
            if high > NEVER:
                return math.inf
        low = high / 2
        while high - low > 1e-3 * low:
            middle = (low + high) / 2
            if is_enough(middle):
                high = middle
            else:
                low = middle
        return high

    def _of_one_count(self, typical: float) -> Passage:
        """Return when it is shown by the count of one of two variants."""
        variant = self.first.variant
        share = float(self.shares[variant])
        evidence = self.mixture.of_one_count(variant)
        few = typical <= SMALL
        if few:
            n = np.arange(1.0, math.ceil(LONG * typical) + FEW)
        else:
            n = np.geomspace(FIRST * typical, LAST * typical, GRID)
        end = n if self.first.above else np.zeros(len(n))
        boundary = crossings(evidence, n, n * self.first.share, end, self.threshold)
        if few:
            return exactly(share, boundary, above=self.first.above)
        return by_tangents(n, chance_beyond(n, share, boundary, above=self.first.above))

    def _chance_of_threshold(self, n: Floats) -> Floats:
        """Return the probabilities that the evidence is at its threshold after n responses.

        Counts are taken to be normal. From points across the direction in which the evidence grows
        fastest, the boundary is looked for along it: counts within it are a convex set, since the
        logarithm of the evidence is convex in the counts.
        """
        covariance = np.diag(self.shares) - np.outer(self.shares, self.shares)
        values, vectors = np.linalg.eigh(covariance)
        kept = values > 1e-12
        root = (vectors[:, kept] * np.sqrt(values[kept])).T  # dimensions × variants
        uphill = self._uphill(n) @ root.T
        uphill /= np.linalg.norm(uphill, axis=1, keepdims=True)
        chance = np.zeros(len(n))
        for across, weight in _across(uphill):
            base = n[:, None] * self.shares + np.sqrt(n)[:, None] * (across @ root)
            step = np.sqrt(n)[:, None] * (uphill @ root)
            chance += weight * ndtr(-self._boundary(base, step))
        return chance

    def _uphill(self, n: Floats) -> Floats:
        """Return the gradient of the evidence at the mean counts: numbers × variants."""
        mean = n[:, None] * self.shares
        near = np.sqrt(n) * 1e-3
        here = self.mixture.log_evidence(mean)
        columns = []
        for variant in range(len(self.shares)):
            moved = mean.copy()
            moved[:, variant] += near
            columns.append((self.mixture.log_evidence(moved) - here) / near)
        return np.stack(columns, axis=1)

    def _boundary(self, base: Floats, step: Floats) -> Floats:
        """Return how many steps from the base the threshold is reached, infinite if it is not."""

        def reached(steps: Floats) -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]]:
            counts = np.maximum(base + steps[:, None] * step, 0)
            return np.asarray(self.mixture.log_evidence(counts) >= self.threshold)

        low = np.full(len(base), -FARTHEST - 1.0)
        for steps in range(-FARTHEST, FARTHEST + 1):
            tried = np.full(len(base), float(steps))
            low = np.where(reached(tried), low, tried)
        never = low >= FARTHEST
        width = 1.0
        for _ in range(HALVINGS):
            width /= 2
            low = np.where(reached(low + width), low, low + width)
        return np.where(never, np.inf, low + width)


def _across(directions: Floats) -> Iterator[tuple[Floats, float]]:
    """Yield normal points across unit vectors, numbers × dimensions, and the weight of each."""
    dimensions = directions.shape[1]
    points, weights = _normal_points(dimensions - 1)
    # A reflection that takes the first axis to each direction takes the others across it.
    first = np.zeros(dimensions)
    first[0] = 1.0
    mirror = directions - first
    length = np.linalg.norm(mirror, axis=1, keepdims=True)
    mirror = np.where(length > 1e-9, mirror / np.maximum(length, 1e-9), 0.0)
    for point, weight in zip(points, weights, strict=True):
        flat = np.concatenate([[0.0], point])
        yield flat - 2 * mirror * (mirror @ flat)[:, None], float(weight)


def _normal_points(dimensions: int) -> tuple[Floats, Floats]:
    """Return points that stand for a standard normal vector, and their weights."""
    if dimensions == 0:
        return np.zeros((1, 0)), np.ones(1)
    if dimensions == 1:
        nodes, weights = np.polynomial.hermite_e.hermegauss(NODES)
        return nodes[:, None], weights / weights.sum()
    powers = PLASTIC ** -np.arange(1.0, dimensions + 1)
    lattice = (0.5 + np.arange(1, LATTICE + 1)[:, None] * powers) % 1
    return ndtri(lattice), np.full(LATTICE, 1 / LATTICE)
