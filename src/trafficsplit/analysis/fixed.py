"""The fixed-sample tests, which are right if the number of requests was chosen beforehand.

If they are looked at again and again while traffic flows, they raise false alarms (DESIGN.md 1):
the sequential test is for that. Everything here is computed with scipy.special, on whose functions
scipy.stats is built, because importing scipy.stats alone takes a second.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy.special import (
    betainc,
    betaincc,
    betaincinv,
    chdtrc,
    chdtri,
    chndtr,
    chndtrinc,
    gammaln,
    xlogy,
)

from trafficsplit.analysis.evidence import Floats
from trafficsplit.analysis.split import Split
from trafficsplit.analysis.tally import Tally
from trafficsplit.errors import InputError

# Below this expected count the chi-square distribution is a poor approximation (Cochran 1954).
SMALL_EXPECTED = 5
MOST_OUTCOMES = 200_000  # up to which p-values are exact, by enumeration of all outcomes
DRAWS = 100_000  # of the Monte Carlo method beyond
# Requests up to which a sample size is exact to the last one; the sawtooth is invisible beyond.
EXACT_SIZE_UP_TO = 200_000


@dataclass(frozen=True)
class FixedTest:
    """Pearson's chi-square and the G test of counts against a split.

    `residuals` are standardised, (x − nw) / √(nw(1 − w)): about standard normal each. `effect_size`
    is Cohen's w, √(χ²/n). `method` is how both p-values were computed: `asymptotic`, `exact` or
    `monte carlo`. A response from a variant of weight 0 makes the statistics infinite and the
    p-values 0.
    """

    statistic: float
    dof: int
    p_value: float
    g_statistic: float
    g_p_value: float
    effect_size: float
    residuals: Mapping[str, float]
    method: str


def chi_square(counts: Mapping[str, int], split: Split) -> FixedTest:
    """Return Pearson's chi-square test and the G test of counts, by variant, against a split.

    Variants that are missing from `counts` have count 0, those missing from `split` weight 0. If an
    expected count is below 5, both p-values are exact, by enumeration of all outcomes; if these are
    too many, they come from 100,000 draws with a fixed seed, the observed outcome among them.
    Raises InputError for counts that are negative or not whole.

    Sources: Pearson 1900; Agresti, Categorical Data Analysis, section 1.5.
    """
    observed = dict(Tally(counts).counts)
    n = sum(observed.values())
    residuals = standardised_residuals(observed, split)
    positive = split.positive
    dof = len(positive) - 1
    if any(count for variant, count in observed.items() if variant not in positive):
        return FixedTest(math.inf, dof, 0.0, math.inf, 0.0, math.inf, residuals, "exact")
    if n == 0 or dof == 0:
        return FixedTest(0.0, dof, 1.0, 0.0, 1.0, 0.0, residuals, "exact")

    x = np.array([observed.get(variant, 0) for variant in positive], dtype=float)
    w = np.array(list(positive.values()))
    statistic = float(_pearson(x, w))
    g = float(_g(x, w))
    if n * w.min() >= SMALL_EXPECTED:
        method = "asymptotic"
        p_value = float(chdtrc(dof, statistic))
        g_p_value = float(chdtrc(dof, g))
    else:
        method, p_value, g_p_value = _small_sample(x, w, statistic, g)
    effect = math.sqrt(statistic / n)
    return FixedTest(statistic, dof, p_value, g, g_p_value, effect, residuals, method)


def standardised_residuals(counts: Mapping[str, int], split: Split) -> dict[str, float]:
    """Return (x − nw) / √(nw(1 − w)) of each variant, configured or seen.

    Agresti, Categorical Data Analysis, section 1.5. Infinite for any deviation from weight 0 or 1.
    """
    n = sum(counts.values())
    variants = [*split, *(variant for variant in counts if variant not in split)]
    return {variant: _residual(counts.get(variant, 0), n, split[variant]) for variant in variants}


def _residual(count: int, n: int, weight: float) -> float:
    deviation = count - n * weight
    variance = n * weight * (1 - weight)
    if variance > 0:
        return deviation / math.sqrt(variance)
    if deviation == 0:
        return 0.0
    return math.copysign(math.inf, deviation)


def _pearson(x: Floats, w: Floats) -> Floats:
    """Return Σ (x − nw)² / nw over the last axis."""
    expected = x.sum(axis=-1, keepdims=True) * w
    statistic: Floats = ((x - expected) ** 2 / expected).sum(axis=-1)
    return statistic


def _g(x: Floats, w: Floats) -> Floats:
    """Return 2 Σ x log(x / nw) over the last axis, which rounding must not make negative."""
    expected = x.sum(axis=-1, keepdims=True) * w
    statistic: Floats = np.maximum(2 * xlogy(x, x / expected).sum(axis=-1), 0.0)
    return statistic


def homogeneity(table: Floats) -> tuple[float, int]:
    """Return Pearson's statistic that a table's rows do not differ, and its degrees of freedom.

    Rows and columns without counts are left out; with 0 degrees there is nothing to compare
    (Agresti, Categorical Data Analysis, section 3.2).
    """
    table = table[table.any(axis=1)][:, table.any(axis=0)]
    dof = (table.shape[0] - 1) * (table.shape[1] - 1)
    if dof < 1:
        return 0.0, 0
    expected = table.sum(axis=1, keepdims=True) * (table.sum(axis=0) / table.sum())
    return float(((table - expected) ** 2 / expected).sum()), dof


def _small_sample(x: Floats, w: Floats, statistic: float, g: float) -> tuple[str, float, float]:
    """Return the method and both p-values of a sample with a small expected count."""
    n = int(x.sum())
    if _are_few_outcomes(n, len(w)):
        method = "exact"
        tables = _compositions(n, len(w))
        log_p = gammaln(n + 1) + (xlogy(tables, w) - gammaln(tables + 1)).sum(axis=1)
        probabilities = np.exp(log_p)
        observed = 0.0
    else:
        method = "monte carlo"
        tables = np.random.default_rng(0).multinomial(n, w, size=DRAWS).astype(float)
        # The observed outcome counts as one draw: Davison & Hinkley 1997, section 4.2.
        observed = 1 / (DRAWS + 1)
        probabilities = np.full(DRAWS, observed)
    # Ties with the observed value belong to the tail, rounding or not.
    slack = 1 - 1e-9
    p_value = float(probabilities[_pearson(tables, w) >= statistic * slack].sum()) + observed
    g_p_value = float(probabilities[_g(tables, w) >= g * slack].sum()) + observed
    return method, min(p_value, 1.0), min(g_p_value, 1.0)


def _are_few_outcomes(n: int, k: int) -> bool:
    """Return whether all ways to put n responses into k variants can be enumerated."""
    return n < 10**6 and math.comb(n + k - 1, k - 1) <= MOST_OUTCOMES


def _compositions(n: int, k: int) -> Floats:
    """Return all ways to put n responses into k variants, one a row."""
    rows = np.zeros((1, 0), dtype=np.int64)
    for _ in range(k - 1):
        left = n - rows.sum(axis=1)
        counts = left + 1
        parents = np.repeat(np.arange(len(rows)), counts)
        starts = np.repeat(np.cumsum(counts) - counts, counts)
        value = np.arange(counts.sum()) - starts
        rows = np.column_stack([rows[parents], value])
    return np.column_stack([rows, n - rows.sum(axis=1)]).astype(float)


def power(split: Split, deviation: float, alpha: float, n: int) -> float:
    """Return the power of the chi-square test to see any one variant off by `deviation`.

    `deviation` is a fraction, `n` the number of responses. The power is the least over variants and
    directions: exact for two variants, by the binomial distribution; for more by the noncentral
    chi-square (Cohen 1988, chapter 7), with the others off in proportion. Raises InputError for a
    split of which only one variant gets traffic.
    """
    w = _several_weights(split)
    if len(w) == 2:
        return float(_binary_power(float(w[0]), deviation, alpha, np.array([float(n)]))[0])
    dof = len(w) - 1
    return float(1 - chndtr(chdtri(dof, alpha), dof, n * _noncentrality(w, deviation)))


def sample_size(split: Split, deviation: float, alpha: float, power: float) -> int:
    """Return the responses from which on the test's power for `deviation` is at least `power`.

    The power of a discrete test goes up and down a little from one n to the next: this is where it
    was too low for the last time. Exact up to 200,000 for two variants, by the noncentral
    chi-square otherwise. Raises InputError for a split of which only one variant gets traffic.
    """
    w = _several_weights(split)
    dof = len(w) - 1
    critical = float(chdtri(dof, alpha))
    needed = float(chndtrinc(critical, dof, 1 - power)) / _noncentrality(w, deviation)
    if len(w) > 2 or needed > EXACT_SIZE_UP_TO:
        return math.ceil(needed)
    sizes = np.arange(1, math.ceil(needed * 1.5) + 200, dtype=float)
    enough = _binary_power(float(w[0]), deviation, alpha, sizes) >= power
    if not enough[-1]:
        return int(sizes[-1])
    return int(len(sizes) - np.argmin(enough[::-1])) + 1


def _several_weights(split: Split) -> Floats:
    weights = np.array(list(split.positive.values()))
    if len(weights) < 2:
        raise InputError("a chi-square test needs two variants that are to get traffic")
    return weights


def _noncentrality(w: Floats, deviation: float) -> float:
    """Return the noncentrality by each request, for the variant that is hardest to see off."""
    return float((deviation**2 / (w * (1 - w))).min())


def _binary_power(w: float, deviation: float, alpha: float, n: Floats) -> Floats:
    """Return the power for each n, with two variants, the least over both directions."""
    critical = np.sqrt(chdtri(1, alpha) * n * w * (1 - w))
    above = np.floor(n * w + critical)
    below = np.ceil(n * w - critical) - 1
    powers: list[Floats] = []
    for q in (w - deviation, w + deviation):
        if 0 <= q <= 1:
            # P(X > k) of a binomial is betainc(k + 1, n − k, q); scipy's bdtrc wants a whole n.
            upper = np.where(above < n, betainc(above + 1, np.maximum(n - above, 1), q), 0)
            lower = np.where(below >= 0, betaincc(below + 1, n - below, q), 0)
            powers.append(upper + lower)
    least: Floats = np.minimum.reduce(powers)
    return least


def clopper_pearson(count: int, n: int, alpha: float) -> tuple[float, float]:
    """Return the exact 1 − `alpha` interval of a share, for a fixed n (Clopper & Pearson 1934)."""
    low = 0.0
    high = 1.0
    if count > 0:
        low = float(betaincinv(count, n - count + 1, alpha / 2))
    if count < n:
        high = float(betaincinv(count + 1, n - count, 1 - alpha / 2))
    return low, high
