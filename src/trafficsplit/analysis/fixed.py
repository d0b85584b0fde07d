"""The fixed-sample tests: right when the number of requests was chosen before the first was sent.

Looked at again and again while traffic flows they raise false alarms (DESIGN.md 1): for that
there is a sequential test. Everything here is computed with scipy.special, whose functions
scipy.stats is built on, because importing scipy.stats alone takes a second.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
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

from trafficsplit.analysis.split import Split
from trafficsplit.analysis.tally import Tally

# Below this expected count the chi-square distribution is a poor guide (Cochran 1954).
SMALL_EXPECTED = 5
# Exact enumeration up to this many outcomes, Monte Carlo with this many draws beyond.
MOST_OUTCOMES = 200_000
DRAWS = 100_000
# Up to here a sample size is exact to the last request; the sawtooth is invisible beyond.
EXACT_SIZE_UP_TO = 200_000


@dataclass(frozen=True)
class FixedTest:
    """Pearson's chi-square and the G test of counts against a split.

    `residuals` are standardised, (x − nw) / √(nw(1 − w)): about standard normal each. `effect_size`
    is Cohen's w, √(χ²/n). `method` is `asymptotic`, `exact` or `monte carlo`, and holds for both
    p-values. A response from a variant of weight 0 makes statistic infinite and p-value 0.
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
    """Pearson's chi-square test and the G test of `counts` (per variant) against `split`.

    Variants that are missing from `counts` have count 0; those missing from `split`, weight 0.
    Sources: Pearson 1900; Agresti, Categorical Data Analysis, section 1.5. Where an expected count
    is below 5, both p-values are exact, by enumeration of all outcomes where these are few enough,
    else by 100,000 draws with a fixed seed, the observed outcome among them.
    Raises InputError for counts that are negative or not whole.
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
    statistic, g = float(_pearson(x, w)), float(_g(x, w))
    if n * w.min() >= SMALL_EXPECTED:
        method = "asymptotic"
        p_value, g_p_value = float(chdtrc(dof, statistic)), float(chdtrc(dof, g))
    else:
        method, p_value, g_p_value = _small(x, w, statistic, g)
    effect = math.sqrt(statistic / n)
    return FixedTest(statistic, dof, p_value, g, g_p_value, effect, residuals, method)


def standardised_residuals(counts: Mapping[str, int], split: Split) -> dict[str, float]:
    """(x − nw) / √(nw(1 − w)) of each variant, configured or seen (Agresti, section 1.5)."""
    n = sum(counts.values())
    variants = [*split, *(variant for variant in counts if variant not in split)]
    return {variant: _residual(counts.get(variant, 0), n, split[variant]) for variant in variants}


def _residual(count: int, n: int, weight: float) -> float:
    variance = n * weight * (1 - weight)
    if variance > 0:
        return (count - n * weight) / math.sqrt(variance)
    return 0.0 if count == n * weight else math.copysign(math.inf, count - n * weight)


def _pearson(x: NDArray[np.float64], w: NDArray[np.float64]) -> NDArray[np.float64]:
    """Σ (x − nw)² / nw over the last axis."""
    expected = x.sum(axis=-1, keepdims=True) * w
    result: NDArray[np.float64] = ((x - expected) ** 2 / expected).sum(axis=-1)
    return result


def _g(x: NDArray[np.float64], w: NDArray[np.float64]) -> NDArray[np.float64]:
    """2 Σ x log(x / nw) over the last axis; rounding must not make it negative."""
    expected = x.sum(axis=-1, keepdims=True) * w
    result: NDArray[np.float64] = np.maximum(2 * xlogy(x, x / expected).sum(axis=-1), 0.0)
    return result


def homogeneity(table: NDArray[np.float64]) -> tuple[float, int]:
    """Pearson's statistic that the rows of a table do not differ, and its degrees of freedom.

    Rows and columns without counts are left out; 0 degrees: there is nothing to compare (Agresti,
    Categorical Data Analysis, section 3.2).
    """
    table = table[table.any(axis=1)][:, table.any(axis=0)]
    dof = (table.shape[0] - 1) * (table.shape[1] - 1)
    if dof < 1:
        return 0.0, 0
    expected = table.sum(axis=1, keepdims=True) * (table.sum(axis=0) / table.sum())
    return float(((table - expected) ** 2 / expected).sum()), dof


def _small(
    x: NDArray[np.float64], w: NDArray[np.float64], statistic: float, g: float
) -> tuple[str, float, float]:
    """Method and p-values of both tests where an expected count is small."""
    n, k = int(x.sum()), len(w)
    outcomes = math.comb(n + k - 1, k - 1) if n < 10**6 else MOST_OUTCOMES + 1
    if outcomes <= MOST_OUTCOMES:
        tables = _compositions(n, k)
        log_p = gammaln(n + 1) + (xlogy(tables, w) - gammaln(tables + 1)).sum(axis=1)
        probabilities = np.exp(log_p)
        method, extra = "exact", 0.0
    else:
        rng = np.random.default_rng(0)
        tables = rng.multinomial(n, w, size=DRAWS).astype(float)
        probabilities = np.full(DRAWS, 1 / (DRAWS + 1))
        # The observed outcome counts as one draw: Davison & Hinkley 1997, section 4.2.
        method, extra = "monte carlo", 1 / (DRAWS + 1)
    # Ties with the observed value belong to the tail, rounding or not.
    slack = 1 - 1e-9
    p_value = float(probabilities[_pearson(tables, w) >= statistic * slack].sum()) + extra
    g_p_value = float(probabilities[_g(tables, w) >= g * slack].sum()) + extra
    return method, min(p_value, 1.0), min(g_p_value, 1.0)


def _compositions(n: int, k: int) -> NDArray[np.float64]:
    """All ways to put n responses into k variants: one a row."""
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
    """The power of the chi-square test to see any one variant off by `deviation` (a fraction).

    Exact for two variants, by the binomial distribution; for more, by the noncentral chi-square
    (Cohen 1988, chapter 7) with the others off in proportion. The least over variants and
    directions.
    """
    w = np.array(list(split.positive.values()))
    if len(w) == 2:
        return float(_binary_power(float(w[0]), deviation, alpha, np.array([float(n)]))[0])
    return float(
        1 - chndtr(chdtri(len(w) - 1, alpha), len(w) - 1, n * _noncentrality(w, deviation))
    )


def sample_size(split: Split, deviation: float, alpha: float, power: float) -> int:
    """The requests from which on the test's power for `deviation` stays at `power` or above.

    Power of a discrete test goes up and down by a little from one n to the next: this is where it
    goes below for the last time. Exact up to 200,000 for two variants, by the noncentral
    chi-square otherwise.
    """
    w = np.array(list(split.positive.values()))
    dof = len(w) - 1
    critical = float(chdtri(dof, alpha))
    needed = float(chndtrinc(critical, dof, 1 - power)) / _noncentrality(w, deviation)
    if len(w) > 2 or needed > EXACT_SIZE_UP_TO:
        return math.ceil(needed)
    sizes = np.arange(1, math.ceil(needed * 1.5) + 200, dtype=float)
    enough = _binary_power(float(w[0]), deviation, alpha, sizes) >= power
    return int(sizes[-1]) if not enough[-1] else int(len(sizes) - np.argmin(enough[::-1])) + 1


def _noncentrality(w: NDArray[np.float64], deviation: float) -> float:
    """Per request, of the variant whose deviation is hardest to see."""
    return float((deviation**2 / (w * (1 - w))).min())


def _binary_power(
    w: float, deviation: float, alpha: float, n: NDArray[np.float64]
) -> NDArray[np.float64]:
    critical = np.sqrt(chdtri(1, alpha) * n * w * (1 - w))
    above, below = np.floor(n * w + critical), np.ceil(n * w - critical) - 1
    # P(X > k) of a binomial is betainc(k + 1, n − k, q); scipy's bdtrc wants whole numbers for n.
    powers = [
        np.where(above < n, betainc(above + 1, np.maximum(n - above, 1), q), 0)
        + np.where(below >= 0, betaincc(below + 1, n - below, q), 0)
        for q in (w - deviation, w + deviation)
        if 0 <= q <= 1
    ]
    result: NDArray[np.float64] = np.minimum.reduce(powers)
    return result


def clopper_pearson(count: int, n: int, alpha: float) -> tuple[float, float]:
    """The exact 1 − `alpha` interval of a share, for a fixed n (Clopper & Pearson 1934)."""
    if n == 0:
        return 0.0, 1.0
    low = float(betaincinv(count, n - count + 1, alpha / 2)) if count > 0 else 0.0
    high = float(betaincinv(count + 1, n - count, 1 - alpha / 2)) if count < n else 1.0
    return low, high
