"""The power of the fixed-sample chi-square test, and the sample size that it takes.

For two variants both are exact, by the binomial distribution and the test's exact p-value. For more
they are simulated with a fixed seed, since the usual approximation by the noncentral chi-square
(Cohen 1988, chapter 7) is off for unequal weights: it says .175 for a power of .136.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np

from trafficsplit.analysis.evidence import Floats
from trafficsplit.analysis.fixed import SMALL_EXPECTED, at_most, pearson
from trafficsplit.analysis.special import chdtri, chndtrinc
from trafficsplit.analysis.split import Split
from trafficsplit.errors import InputError

# Requests up to which a sample size is exact to the last one; the sawtooth is invisible beyond.
EXACT_SIZE_UP_TO = 200_000
# Counts that are drawn for each deviation. With three variants, a power of .99 is known to .001 and
# one of .5 to .005.
COUNTS = 30_000
NULL_DRAWS = 20_000  # samples of the split itself, if the critical value is not chi-square's
HARDEST = 3  # variants whose deviations are simulated, those that are hardest to see
FINE = 0.003  # by how much of a simulated sample size it may be off
MOST_DRAWN = 1e15  # requests of a simulated sample: numpy draws 64-bit integers
ROUNDING = 1e-12  # relative to which a whole number is whole

Weights = tuple[float, ...]


def power(split: Split, deviation: float, alpha: float, n: int) -> float:
    """Return the power of the chi-square test to see any one variant off by `deviation`.

    `deviation` is a fraction, `n` the number of responses. The power is the least over variants and
    directions, with the other variants off in proportion. Raises InputError for a split of which
    only one variant gets traffic.
    """
    w = _several_weights(split)
    if len(w) == 2:
        return float(_binary_power(w[0], deviation, alpha, np.array([float(n)]))[0])
    return _simulated_power(w, deviation, alpha, n)


def sample_size(split: Split, deviation: float, alpha: float, power: float) -> int:
    """Return the responses from which on the test's power for `deviation` is at least `power`.

    The power of a discrete test goes up and down a little from one n to the next: this is where it
    was too low for the last time. Exact up to 200,000 for two variants, by the noncentral
    chi-square beyond, and simulated for more than two up to 10^15. Raises InputError for a split
    of which only one variant gets traffic.
    """
    w = _several_weights(split)
    dof = len(w) - 1
    critical = float(chdtri(dof, alpha))
    needed = float(chndtrinc(critical, dof, 1 - power)) / min(_noncentralities(w, deviation))
    if len(w) > 2 and needed < MOST_DRAWN:
        return _simulated_size(w, deviation, alpha, power, needed)
    if len(w) > 2 or needed > EXACT_SIZE_UP_TO:
        return math.ceil(needed)
    return _binary_size(w[0], deviation, alpha, power, needed)


def _several_weights(split: Split) -> Weights:
    weights = tuple(split.positive.values())
    if len(weights) < 2:
        raise InputError("a chi-square test needs two variants that are to get traffic")
    return weights


def _noncentralities(w: Weights, deviation: float) -> list[float]:
    """Return the noncentrality by each request, for each variant that may be off."""
    return [deviation**2 / (weight * (1 - weight)) for weight in w]


# --- two variants ---


def _binary_size(w: float, deviation: float, alpha: float, power: float, needed: float) -> int:
    """Return the exact sample size, which is near `needed` requests."""
    first = max(math.floor(needed * 0.9) - 300, 1)
    sizes = np.arange(first, math.ceil(needed * 1.1) + 300, dtype=float)
    enough = _binary_power(w, deviation, alpha, sizes) >= power
    if not enough[-1]:
        return int(sizes[-1])
    if enough.all():
        return int(sizes[0])
    return int(sizes[len(sizes) - np.argmin(enough[::-1])])


def _binary_power(w: float, deviation: float, alpha: float, n: Floats) -> Floats:
    """Return the power for each n, with two variants, the least over both directions."""
    most, least = _accepted(w, alpha, n)
    powers: list[Floats] = []
    for q in (w - deviation, w + deviation):
        if 0 <= q <= 1:
            powers.append(at_most(least - 1, n, q) + at_most(n - most - 1, n, 1 - q))
    lowest: Floats = np.minimum.reduce(powers)
    return lowest


def _accepted(w: float, alpha: float, n: Floats) -> tuple[Floats, Floats]:
    """Return the most and the fewest responses of a variant with a p-value of alpha or more."""
    near = np.sqrt(chdtri(1, alpha) * n * w * (1 - w))  # where chi-square's are
    most = _outermost(w, alpha, n, np.minimum(np.floor(n * w + near), n))
    # The fewest of one variant are the most of the other.
    others = _outermost(1 - w, alpha, n, np.minimum(np.floor(n * (1 - w) + near), n))
    return most, n - others


def _outermost(w: float, alpha: float, n: Floats, first: Floats) -> Floats:
    """Return the largest count with a p-value of alpha or more, looked for from `first` on."""
    count = first
    while True:
        rejected = (_p_value_above(w, n, count) < alpha) & (count > n * w)
        if not rejected.any():
            break
        count = count - rejected
    while True:
        accepted = (count < n) & (_p_value_above(w, n, count + 1) >= alpha)
        if not accepted.any():
            return count
        count = count + accepted


def _p_value_above(w: float, n: Floats, count: Floats) -> Floats:
    """Return the exact p-value of a count that is not below the expected one."""
    mirrored = np.floor(2 * n * w - count + n * ROUNDING + ROUNDING)
    chance: Floats = at_most(n - count, n, 1 - w) + at_most(mirrored, n, w)
    return chance


# --- more variants ---


@lru_cache(maxsize=64)
def _simulated_power(w: Weights, deviation: float, alpha: float, n: int) -> float:
    """Return the share of simulated samples that the test rejects, the least over deviations."""
    critical = _critical(w, alpha, n)
    powers = []
    for shares in _deviations(w, deviation):
        # The same seed for each: the least of equal powers is no smaller than the others.
        rng = np.random.default_rng(0)
        draws = rng.multinomial(n, shares, size=COUNTS // len(w)).astype(float)
        powers.append(float(np.mean(pearson(draws, np.array(w)) > critical)))
    return min(powers)


def _critical(w: Weights, alpha: float, n: int) -> float:
    """Return the statistic beyond which the p-value is below alpha."""
    if n * min(w) >= SMALL_EXPECTED:
        return float(chdtri(len(w) - 1, alpha))
    draws = np.random.default_rng(1).multinomial(n, w, size=NULL_DRAWS).astype(float)
    return float(np.quantile(pearson(draws, np.array(w)), 1 - alpha, method="higher"))


def _deviations(w: Weights, deviation: float) -> list[Floats]:
    """Return the shares of the deviations that are hardest to see, the others in proportion."""
    each = _noncentralities(w, deviation)
    hardest = sorted(range(len(w)), key=lambda index: each[index])[:HARDEST]
    found = []
    for index in hardest:
        for share in (w[index] - deviation, w[index] + deviation):
            if 0 <= share <= 1:
                shares = np.array(w) * (1 - share) / (1 - w[index])
                shares[index] = share
                found.append(shares / shares.sum())
    return found


def _simulated_size(w: Weights, deviation: float, alpha: float, power: float, needed: float) -> int:
    """Return the sample size by simulation, which is near `needed` requests."""

    def is_enough(n: int) -> bool:
        return _simulated_power(w, deviation, alpha, n) >= power

    low = max(math.floor(needed * 0.8), 0)
    high = math.ceil(needed * 1.1)
    while not is_enough(high):
        low = high
        high = math.ceil(high * 1.3)
    while high - low > max(high * FINE, 1):
        middle = (low + high) // 2
        if is_enough(middle):
            high = middle
        else:
            low = middle
    return high
