"""Tests of two variants' errors and latencies, one against the other.

Two one-sample confidence procedures are melded to a test of two samples: the p-value is the chance
that a draw from the lower confidence distribution of ours is at most one from the upper confidence
distribution of theirs (Fay, Proschan & Brittain 2015, "Combining one-sample confidence procedures
for inference in the two-sample case"). Nothing but each sample's own procedure is assumed: neither
equal shapes of latencies, nor equal sizes of bursts.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from trafficsplit.analysis.bursts import Errors
from trafficsplit.analysis.evidence import Floats
from trafficsplit.analysis.latency import bounds_of
from trafficsplit.analysis.special import bdtr, betainc, gammaincinv, ndtr

Buckets = Mapping[int, int]
ROUNDING = 1e-9  # of an order, relative to which whole numbers are whole


def p_of_errors(ours: Errors, theirs: Errors, ratio: float = 1.0) -> float:
    """Return the one-sided p-value of "our share of errors is at most `ratio` times theirs".

    The confidence distribution of a share is a gamma distribution with the mean and the variance of
    the count, for the upper one with one more burst (Fay & Feuer 1997, "Confidence intervals for
    directly standardized rates"). Independent errors give the exact test of two Poisson rates
    (Przyborowski & Wilenski 1940), which is conservative for frequent errors.
    """
    if not ours.count or not ours.requests or not theirs.requests:
        return 1.0
    lower = ours.count**2 / ours.variance
    lower_scale = ours.variance / ours.count / ours.requests
    upper, upper_scale = _upper_gamma(theirs, max(ours.largest, theirs.largest))
    odds = ratio * upper_scale / lower_scale
    return float(betainc(lower, upper, odds / (1 + odds)))


def most_errors(errors: Errors, alpha: float) -> float:
    """Return the upper 1 − `alpha` confidence bound of a share of errors, from 0 to 1."""
    if not errors.requests:
        return 1.0
    shape, scale = _upper_gamma(errors, errors.largest)
    return min(float(gammaincinv(shape, 1 - alpha)) * scale, 1.0)


def _upper_gamma(errors: Errors, burst: float) -> tuple[float, float]:
    """Return shape and scale of the upper confidence distribution, with one more burst."""
    mean = errors.count + burst
    variance = errors.variance + burst**2
    return mean**2 / variance, variance / mean / errors.requests


def p_of_quantile(
    ours: Buckets, theirs: Buckets, q: float, ratio: float = 1.0, dispersion: float = 1.0
) -> float:
    """Return the one-sided p-value of "our `q` quantile is at most `ratio` times theirs".

    The confidence distributions of a quantile are order statistics, whose numbers are binomial
    (Conover, Practical Nonparametric Statistics, section 3.2). `dispersion` is how many answers
    say as much as one independent answer. 1 without answers.
    """
    if not ours or not theirs:
        return 1.0
    our_ends = np.array([bounds_of(bucket)[0] for bucket in sorted(ours)], float)
    their_ends = np.array([bounds_of(bucket)[1] - 1 for bucket in sorted(theirs)], float)
    lower = _lower_reaches(_ranks(ours), q, dispersion)
    upper = _upper_reaches(_ranks(theirs), q, dispersion)
    # The chance that theirs, `ratio` times, is still below each of our buckets.
    beaten = upper[np.searchsorted(ratio * their_ends, our_ends, side="left")]
    # Our quantile may be anywhere below the least of ours, too.
    p_value = float(lower[0] + (np.diff(lower) * (1 - beaten)).sum())
    return min(max(p_value, 0.0), 1.0)


def _ranks(buckets: Buckets) -> Floats:
    """Return how many latencies are at most in each bucket, after a 0."""
    counts = [buckets[bucket] for bucket in sorted(buckets)]
    ranks: Floats = np.cumsum([0, *counts]).astype(float)
    return ranks


def _lower_reaches(ranks: Floats, q: float, dispersion: float) -> Floats:
    """Return the chance that a quantile's lower confidence distribution is within the first ranks.

    It is order statistic B of n, B binomial with n and q.
    """
    n = ranks[-1]
    effective = max(math.floor(n / dispersion), 1)
    number = np.ceil((ranks + 1) * (effective / n) - ROUNDING) - 1
    reaches: Floats = bdtr(np.minimum(number, effective), effective, q)
    return reaches


def _upper_reaches(ranks: Floats, q: float, dispersion: float) -> Floats:
    """Return the chance that a quantile's upper confidence distribution is within the first ranks.

    It is order statistic B + 1 of n, B binomial with n and q, of which there is none for B = n.
    """
    n = ranks[-1]
    effective = max(math.floor(n / dispersion), 1)
    number = np.floor(ranks * (effective / n) + ROUNDING) - 1
    reaches: Floats = np.where(number >= 0, bdtr(np.maximum(number, 0), effective, q), 0.0)
    return reaches


def p_of_ranks(ours: Buckets, theirs: Buckets) -> float:
    """Return the two-sided p-value of "neither tends to be larger", with ties.

    Mann & Whitney 1947, by the normal approximation.
    """
    n = sum(ours.values())
    m = sum(theirs.values())
    if not n or not m:
        return 1.0
    wins = 0.0
    ties = 0.0
    below = 0.0
    for bucket in sorted({*ours, *theirs}):
        a = ours.get(bucket, 0)
        b = theirs.get(bucket, 0)
        wins += a * (below + b / 2)
        below += b
        ties += (a + b) ** 3 - (a + b)
    total = n + m
    variance = n * m / 12 * (total + 1 - ties / (total * (total - 1)))
    if variance <= 0:
        return 1.0
    z = (abs(wins - n * m / 2) - 0.5) / math.sqrt(variance)
    return min(2 * float(ndtr(-max(z, 0.0))), 1.0)
