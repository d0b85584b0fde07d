"""Evidence that may be looked at at any time: likelihood ratios, in logarithms.

Each is an e-process: a non-negative supermartingale under its null hypothesis that starts at 1, so
that by Ville's inequality (Ville 1939; Ramdas et al. 2023, "Game-theoretic statistics and safe
anytime-valid inference") it ever reaches 1/α with probability at most α, however often it is
looked at. Counts may be anything up to 10^12.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaln, kl_div, xlogy

Floats = NDArray[np.float64]

# The points of the mixture against an edge, evenly spaced in the logarithm of KL(point‖edge) from
# `NEAREST` to the end, 0 or 1. Tuned by requests to decision (benchmarks/simulate.py): fewer or
# nearer points cost more where deviations are large, farther ones where they are small.
POINTS = 20
NEAREST = 1.5e-4
# A rollout that never took effect is the commonest deviation of all, so "never shown" counts more.
NEVER_SHOWN = 5.0
# How far to try to look ahead (`Mixture.least_more`).
MULTIPLES = np.array([1.0, 2.0, 3.0, 5.0, 8.0, 12.0, 20.0, 40.0])
# Concentrations κ of the mixture against the exact weights; each is best at about κ responses.
CONCENTRATIONS = (10.0, 100.0, 1000.0, 10_000.0)


@dataclass(frozen=True)
class Edge:
    """One end of the band of shares that are fine: `share` of the variant at index `variant`."""

    variant: int
    share: float
    above: bool  # whether the shares that are not fine are above it


def edges(weights: Sequence[float], tolerance: float) -> list[Edge]:
    """The edges w − τ and w + τ of each variant with 0 < w < 1, where there are shares beyond.

    Two variants mirror each other: of them the one with the smaller weight stands for both.
    """
    variants = [index for index, weight in enumerate(weights) if 0 < weight < 1]
    if len(variants) == 2:
        variants = [min(variants, key=lambda index: weights[index])]
    found = []
    for index in variants:
        low, high = weights[index] - tolerance, weights[index] + tolerance
        if low > 0:
            found.append(Edge(index, low, above=False))
        if high < 1:
            found.append(Edge(index, high, above=True))
    return found


def log_ratios(point: float, edge: float) -> tuple[float, float]:
    """What a response of the variant, and one of another, add to the evidence for p against e.

    The logarithms of p/e and (1−p)/(1−e): the likelihood ratio of share p to share e is
    (p/e)^x ((1−p)/(1−e))^(n−x) (DESIGN.md 4; Wald 1945). Both must be inside (0, 1).
    """
    return math.log(point / edge), math.log((1 - point) / (1 - edge))


class Mixture:
    """Evidence against "every share is within its edges": the mean over edges and points beyond.

    For an edge e and a point p beyond it, the likelihood ratio of p to e is an e-process against
    "the share is on this side of e" (it is a supermartingale there, being monotone in the share);
    means of e-processes are e-processes (Ramdas et al. 2023, section 3.2; the mixture after
    Robbins 1970).
    """

    def __init__(self, size: int, band: Sequence[Edge]) -> None:
        rows, weights = [], []
        for edge in band:
            points = _points(edge)
            row = np.empty((len(points), size))
            # What every other variant's response says, then what its own does.
            row[:] = _log(1 - points, 1 - edge.share)[:, None]
            row[:, edge.variant] = _log(points, edge.share)
            rows.append(row)
            share = np.where(points == 0, NEVER_SHOWN, 1.0)
            weights.append(share / share.sum())
        self._empty = not rows
        if rows:
            self._ratios = np.vstack(rows)
            self._log_weights = np.log(np.concatenate(weights) / len(rows))
            # The most that one response can add to each term.
            self._steps = self._ratios.max(axis=1)

    def _terms(self, counts: Floats) -> Floats:
        terms: Floats = self._ratios @ counts
        terms += self._log_weights
        return terms

    def log_evidence(self, counts: Floats) -> float:
        """The logarithm of the evidence in `counts`, one for each variant."""
        if self._empty:
            return 0.0
        terms = self._terms(counts)
        largest = terms.max()
        terms -= largest
        np.exp(terms, out=terms)
        return float(largest) + math.log(float(terms.sum()))

    def least_more(self, counts: Floats, threshold: float, most: float) -> float:
        """No fewer further responses than this can bring the evidence to its threshold.

        More than `most` need not be shown.

        For that, at least one of the N terms must reach the threshold less log N, which gives a
        first number. Multiples of it are tried: the logarithm of the evidence is convex in the
        counts, so it is largest where all further responses are one variant's, and where it is
        below the threshold after so many of these, it is after any fewer of any.
        """
        if self._empty:
            return math.inf
        terms = self._terms(counts) - threshold
        first = max(math.floor(float((-(terms + math.log(len(terms))) / self._steps).min())), 1)
        if first >= most:
            return float(first)
        tried = first * MULTIPLES
        after = terms[:, None, None] + self._ratios[:, :, None] * tried
        below = (np.exp(np.minimum(after, 1.0)).sum(axis=0) < 1).all(axis=0)
        return float(tried[below].max() + 1) if below.any() else float(first)


def _log(point: Floats, edge: float) -> Floats:
    # Impossible is very unlikely: −∞ times a count of 0 would be no number.
    with np.errstate(divide="ignore"):
        result: Floats = np.asarray(np.maximum(np.log(point / edge), -1e6), dtype=np.float64)
    return result


@lru_cache(maxsize=64)
def _points(edge: Edge) -> Floats:
    end = 1.0 if edge.above else 0.0
    farthest = float(_divergence(np.array([end]), edge.share)[0])
    wanted = np.geomspace(min(NEAREST, farthest / 2), farthest, POINTS)
    near, far = np.full(POINTS, edge.share), np.full(POINTS, end)
    for _ in range(60):  # bisection: the divergence grows from the edge to the end
        middle = (near + far) / 2
        beyond = _divergence(middle, edge.share) >= wanted
        near, far = np.where(beyond, near, middle), np.where(beyond, middle, far)
    points: Floats = (near + far) / 2
    points[-1] = end
    return points


def _divergence(p: Floats, e: float) -> Floats:
    """KL(p‖e) between Bernoulli distributions."""
    return np.asarray(kl_div(p, e) + kl_div(1 - p, 1 - e), dtype=np.float64)


def divergence(p: float, e: float) -> float:
    """KL(p‖e) between Bernoulli distributions, in nats; Wald's limit is log(1/α) divided by it."""
    return float(_divergence(np.array([p]), e)[0])


def log_marginal(
    counts: Floats, weights: Floats, concentrations: Sequence[float] = CONCENTRATIONS
) -> float:
    """log of the mean over κ of the Dirichlet(κ·w)-multinomial probability of a sequence.

    Lindon & Malek 2022, "Anytime-valid inference for multinomial count data", equation 7, with
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
    """log evidence against "the shares are exactly the weights" (Lindon & Malek 2022, theorem 2).

    Infinite where a variant of weight 0 has answered.
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
    """The shares of one variant that the evidence does not rule out: its confidence sequence.

    All shares vectors with evidence below 1/α, projected on the variant (Lindon & Malek 2022,
    section 3.3): together for all variants and all times they hold with probability 1 − α.
    """
    n, x = float(counts.sum()), float(counts[variant])
    if n == 0:
        return 0.0, 1.0
    others = np.delete(counts, variant)
    # Of the vectors with this share, the likeliest gives the others theirs in proportion.
    rest = float(xlogy(others, others / (n - x)).sum()) if n > x else 0.0
    level = log_marginal(counts, weights, concentrations) - rest - math.log(1 / alpha)

    def ruled_out(share: float) -> bool:
        return level - float(xlogy(x, share) + xlogy(n - x, 1 - share)) >= 0

    return _bisect(ruled_out, 0.0, x / n), _bisect(ruled_out, 1.0, x / n)


def _bisect(ruled_out: Callable[[float], bool], outside: float, inside: float) -> float:
    if not ruled_out(outside):
        return outside
    for _ in range(60):
        middle = (outside + inside) / 2
        if ruled_out(middle):
            outside = middle
        else:
            inside = middle
    return outside
