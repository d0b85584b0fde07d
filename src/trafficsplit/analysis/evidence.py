"""Evidence that may be looked at at any time: likelihood ratios, in logarithms.

Each is an e-process: a supermartingale under its null hypothesis that is never negative and starts
at 1. By Ville's inequality the probability that it ever reaches 1/α is at most α, however often it
is looked at (Ville 1939; Ramdas et al. 2023, "Game-theoretic statistics and safe anytime-valid
inference"). Counts may be anything up to 10^12.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from trafficsplit.analysis.special import gammaln, kl_div, xlogy

Floats = NDArray[np.float64]

# The points of the mixture against an edge. They are evenly spaced in the logarithm of
# KL(point‖edge), from `NEAREST` nats to the end, 0 or 1. Tuned by requests to decision
# (benchmarks/simulate.py): fewer or nearer points cost more requests if deviations are large,
# farther ones if they are small.
POINTS = 20
NEAREST = 1.5e-4
# How much more the point 0 counts than any other: a rollout that never took effect is the commonest
# deviation of all.
NEVER_SHOWN = 5.0
# How far ahead `Mixture.least_more` tries, in multiples of a first number.
MULTIPLES = np.array([1.0, 2.0, 3.0, 5.0, 8.0, 12.0, 20.0, 40.0])
# Concentrations κ of the mixture against the exact weights; each is best at about κ responses.
CONCENTRATIONS = (10.0, 100.0, 1000.0, 10_000.0)
BISECTIONS = 60  # to the last bit of a share


@dataclass(frozen=True)
class Edge:
    """One end of the band of tolerated shares: `share`, of the variant at index `variant`.

    `above` says that the shares beyond the edge, which are not tolerated, are above it.
    """

    variant: int
    share: float
    above: bool

    def is_beyond(self, share: float) -> bool:
        """Return whether a share of the variant is beyond the edge."""
        if self.above:
            return share > self.share
        return share < self.share


def edges(weights: Sequence[float], tolerance: float) -> list[Edge]:
    """Return the edges w − τ and w + τ of each variant with 0 < w < 1, if there are shares beyond.

    Two variants mirror each other, so the one with the smaller weight stands for both.
    """
    variants = [index for index, weight in enumerate(weights) if 0 < weight < 1]
    if len(variants) == 2:
        variants = [min(variants, key=lambda index: weights[index])]
    band = []
    for index in variants:
        low = weights[index] - tolerance
        high = weights[index] + tolerance
        if low > 0:
            band.append(Edge(index, low, above=False))
        if high < 1:
            band.append(Edge(index, high, above=True))
    return band


def log_ratios(point: float, edge: float) -> tuple[float, float]:
    """Return what a response of the variant, and one of another, add to the evidence.

    For a point p against an edge e these are the logarithms of p/e and of (1−p)/(1−e): the
    likelihood ratio of share p to share e is (p/e)^x ((1−p)/(1−e))^(n−x) (DESIGN.md 4; Wald 1945).
    Both must be inside (0, 1).
    """
    return math.log(point / edge), math.log((1 - point) / (1 - edge))


class Mixture:
    """The evidence against "every share is within its edges": a mean over edges and points beyond.

    For an edge e and a point p beyond it, the likelihood ratio of p to e is an e-process against
    "the share is on this side of e": it is monotone in the share, and so a supermartingale for all
    of these. Means of e-processes are e-processes (Ramdas et al. 2023, section 3.2; the mixture
    after Robbins 1970).

    `size` is the number of variants. `likely` are shares that are the likeliest deviation, one for
    each variant: half of the mass is on them, where they are beyond an edge. Without edges there is
    no evidence: its logarithm is 0.

    Counts are rows of an element for each variant. `unknown` are requests of each row that may have
    been any variant's: each term counts them as the variant's that makes it least.
    """

    def __init__(self, size: int, band: Sequence[Edge], likely: Sequence[float] = ()) -> None:
        self._empty = not band
        if self._empty:
            return
        # A row for each point beyond each edge: what a response of each variant adds.
        ratios = [_log_ratios_beyond(edge, _points(edge), size) for edge in band]
        weights = list(map(_weights, band))
        deviant = [edge for edge in band if likely and edge.is_beyond(likely[edge.variant])]
        mass = len(band)
        for edge in deviant:
            point = np.array([likely[edge.variant]])
            ratios.append(_log_ratios_beyond(edge, point, size))
            weights.append(np.array([mass / len(deviant)]))
        self._ratios = np.vstack(ratios)
        all_weights = np.concatenate(weights)
        self._log_weights = np.log(all_weights / all_weights.sum())
        self._steps = self._ratios.max(axis=1)  # the most that one response can add
        self._least = self._ratios.min(axis=1)  # what one of unknown variant adds at least

    def _terms(self, counts: Floats, unknown: Floats | float) -> Floats:
        terms: Floats = counts @ self._ratios.T
        terms += self._log_weights
        terms += np.multiply.outer(unknown, self._least)
        return terms

    def log_evidence(self, counts: Floats, unknown: Floats | float = 0.0) -> Floats:
        """Return the logarithm of the evidence in each row of `counts`."""
        if self._empty:
            return np.zeros(counts.shape[:-1])
        return log_sum(self._terms(counts, unknown))

    def of_one_count(self, variant: int) -> Callable[[Floats, Floats], Floats]:
        """Return the evidence by one of two variants' counts and the numbers of responses."""

        def evidence(own: Floats, n: Floats) -> Floats:
            counts = np.empty((len(n), 2))
            counts[:, variant] = own
            counts[:, 1 - variant] = n - own
            return self.log_evidence(counts)

        return evidence

    def least_more(
        self, counts: Floats, threshold: float, most: float, unknown: Floats | float = 0.0
    ) -> float:
        """Return a number of further responses before which no row can reach the threshold.

        A first such number comes from the N terms of the mean: at least one of them has to reach
        the threshold less log N. It is returned if it is `most` or more.

        Else multiples of it are tried. The logarithm of the evidence is convex in the counts, so of
        all ways to add a number of responses, one that gives them all to a single variant brings it
        highest. If it stays below the threshold for each variant, it does for any fewer responses.
        """
        if self._empty:
            return math.inf
        terms = np.atleast_2d(self._terms(counts, unknown)) - threshold
        room = -(terms + math.log(terms.shape[1])) / self._steps
        first = max(math.floor(float(room.min())), 1)
        if first >= most:
            return float(first)
        tried = first * MULTIPLES
        after = terms[:, :, None, None] + self._ratios[:, :, None] * tried
        below = (np.exp(np.minimum(after, 1.0)).sum(axis=1) < 1).all(axis=(0, 1))
        if not below.any():
            return float(first)
        return float(tried[below].max() + 1)


def log_sum(terms: Floats) -> Floats:
    """Return the logarithm of the sum of exponentials along the last axis."""
    largest = terms.max(axis=-1, keepdims=True)
    sums: Floats = np.log(np.exp(terms - largest).sum(axis=-1))
    sums += largest[..., 0]
    return sums


def _log_ratios_beyond(edge: Edge, points: Floats, size: int) -> Floats:
    """Return points × variants: what a response of each adds to the evidence for a point."""
    ratios = np.empty((len(points), size))
    ratios[:] = _log_ratio(1 - points, 1 - edge.share)[:, None]
    ratios[:, edge.variant] = _log_ratio(points, edge.share)
    return ratios


def _weights(edge: Edge) -> Floats:
    """Return how much each point beyond an edge counts, with a sum of 1."""
    weights = np.where(_points(edge) == 0, NEVER_SHOWN, 1.0)
    normalised: Floats = weights / weights.sum()
    return normalised


def _log_ratio(point: Floats, edge: float) -> Floats:
    # Impossible is taken to be very unlikely: −∞ times a count of 0 would be no number.
    with np.errstate(divide="ignore"):
        result: Floats = np.asarray(np.maximum(np.log(point / edge), -1e6), dtype=np.float64)
    return result


@lru_cache(maxsize=64)
def _points(edge: Edge) -> Floats:
    """Return the points of the mixture beyond an edge."""
    end = 1.0 if edge.above else 0.0
    farthest = divergence(end, edge.share)
    wanted = np.geomspace(min(NEAREST, farthest / 2), farthest, POINTS)
    near = np.full(POINTS, edge.share)
    far = np.full(POINTS, end)
    for _ in range(BISECTIONS):  # the divergence grows from the edge to the end
        middle = (near + far) / 2
        beyond = _divergence(middle, edge.share) >= wanted
        near = np.where(beyond, near, middle)
        far = np.where(beyond, middle, far)
    points: Floats = (near + far) / 2
    points[-1] = end
    return points


def _divergence(p: Floats, e: float) -> Floats:
    return np.asarray(kl_div(p, e) + kl_div(1 - p, 1 - e), dtype=np.float64)


def divergence(p: float, e: float) -> float:
    """Return KL(p‖e) between Bernoulli distributions, in nats.

    The fewest responses that a test needs on average are log(1/α) divided by it (Wald 1945).
    """
    return float(_divergence(np.array([p]), e)[0])


def log_marginal(
    counts: Floats, weights: Floats, concentrations: Sequence[float] = CONCENTRATIONS
) -> float:
    """Return log of the mean over κ of the Dirichlet(κ·w)-multinomial probability of a sequence.

    Lindon & Malek 2022, "Anytime-valid inference for multinomial count data", equation 7, which has
    one κ. Variants of weight 0 get half a pseudo-count.
    """
    n = counts.sum()
    logs = []
    for concentration in concentrations:
        prior = np.where(weights > 0, concentration * weights, 0.5)
        total = prior.sum()
        each = gammaln(prior + counts) - gammaln(prior)
        logs.append(float(gammaln(total) - gammaln(total + n) + each.sum()))
    largest = max(logs)
    return largest + math.log(math.fsum(math.exp(value - largest) for value in logs) / len(logs))


def log_evidence_against_exact(
    counts: Floats, weights: Floats, concentrations: Sequence[float] = CONCENTRATIONS
) -> float:
    """Return log evidence against "the shares are exactly the weights".

    Infinite if a variant of weight 0 has answered. (Lindon & Malek 2022, theorem 2.)
    """
    null = float(xlogy(counts, weights).sum())
    return log_marginal(counts, weights, concentrations) - null


def confidence_interval(
    counts: Floats,
    weights: Floats,
    variant: int,
    alpha: float,
    concentrations: Sequence[float] = CONCENTRATIONS,
) -> tuple[float, float]:
    """Return the shares of one variant that the evidence does not rule out: low and high end.

    They are those of all vectors of shares with evidence below 1/α (Lindon & Malek 2022, section
    3.3). Such intervals hold for all variants at all times together, with probability 1 − α: they
    are a confidence sequence.
    """
    n = float(counts.sum())
    x = float(counts[variant])
    if n == 0:
        return 0.0, 1.0
    others = np.delete(counts, variant)
    # Of the vectors with a given share, the likeliest gives the others theirs in proportion.
    rest = float(xlogy(others, others / (n - x)).sum()) if n > x else 0.0
    level = log_marginal(counts, weights, concentrations) - rest - math.log(1 / alpha)

    def ruled_out(share: float) -> bool:
        return level - float(xlogy(x, share) + xlogy(n - x, 1 - share)) >= 0

    return _bisect(ruled_out, 0.0, x / n), _bisect(ruled_out, 1.0, x / n)


def _bisect(ruled_out: Callable[[float], bool], outside: float, inside: float) -> float:
    """Return the share between two at which shares begin to be ruled out."""
    if not ruled_out(outside):
        return outside
    for _ in range(BISECTIONS):
        middle = (outside + inside) / 2
        if ruled_out(middle):
            outside = middle
        else:
            inside = middle
    return outside
