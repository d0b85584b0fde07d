"""The fixed-sample tests, which are right if the number of requests was chosen beforehand.

If they are looked at again and again while traffic flows, they raise false alarms (DESIGN.md 1):
the sequential test is for that. Everything here is computed with scipy.special, on whose functions
scipy.stats is built, because importing scipy.stats alone takes a second.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trafficsplit.analysis.evidence import Floats
from trafficsplit.analysis.special import betaincc, betaincinv, chdtrc, gammaln, xlogy
from trafficsplit.analysis.split import Split
from trafficsplit.analysis.tally import Tally

# Below this expected count the chi-square distribution is a poor approximation (Cochran 1954).
SMALL_EXPECTED = 5
MOST_OUTCOMES = 200_000  # up to which p-values are exact, by enumeration of all outcomes
DRAWS = 100_000  # of the Monte Carlo method beyond
SLACK = 1 - 1e-9  # ties with the observed value belong to the tail, rounding or not


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

    Variants that are missing from `counts` have count 0, those missing from `split` weight 0. Both
    p-values are exact for two variants. For more they are exact if an expected count is below 5, by
    enumeration of all outcomes; if these are too many, they come from 100,000 draws with a fixed
    seed, the observed outcome among them.
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
    statistic = float(pearson(x, w))
    g = float(_g(x, w))
    if len(w) == 2:
        method = "exact"
        p_value = _binary_p_value(pearson, x, w)
        g_p_value = _binary_p_value(_g, x, w)
    elif n * w.min() >= SMALL_EXPECTED:
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


def pearson(x: Floats, w: Floats) -> Floats:
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
    p_value = float(probabilities[pearson(tables, w) >= statistic * SLACK].sum()) + observed
    g_p_value = float(probabilities[_g(tables, w) >= g * SLACK].sum()) + observed
    return method, min(p_value, 1.0), min(g_p_value, 1.0)


def _binary_p_value(statistic: Callable[[Floats, Floats], Floats], x: Floats, w: Floats) -> float:
    """Return the exact p-value of a statistic of two variants' counts, at any expected count.

    Outcomes that are at least as odd are two tails of the binomial distribution, since the
    statistic grows with the distance from the expected counts on either side.
    """
    n = int(x.sum())
    least = float(statistic(x, w)) * SLACK
    if least <= 0:
        return 1.0

    def is_odd(first: int) -> bool:
        return float(statistic(np.array([first, n - first], float), w)) >= least

    few = _last(is_odd, math.floor(n * w[0]))
    few_others = _last(lambda other: is_odd(n - other), math.floor(n * w[1]))
    tails = at_most(np.array([few]), n, w[0]) + at_most(np.array([few_others]), n, w[1])
    return min(float(tails[0]), 1.0)


def _last(holds: Callable[[int], bool], most: int) -> int:
    """Return the last number from 0 to `most` at which a condition holds, −1 if at none.

    It holds for no number beyond one for which it does not.
    """
    low = -1
    high = most + 1
    while high - low > 1:
        middle = (low + high) // 2
        if holds(middle):
            low = middle
        else:
            high = middle
    return low


def at_most(k: Floats | NDArray[np.int64], n: Floats | int, share: float) -> Floats:
    """Return P(X ≤ k) of binomials with n draws, for k from −1 to n.

    It takes fractions for n, which scipy's bdtr does not.
    """
    tail = betaincc(np.maximum(k, 0) + 1, np.maximum(n - k, 1), share)
    chance: Floats = np.where(k < 0, 0.0, np.where(k >= n, 1.0, tail))
    return chance


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


def clopper_pearson(count: int, n: int, alpha: float) -> tuple[float, float]:
    """Return the exact 1 − `alpha` interval of a share, for a fixed n (Clopper & Pearson 1934)."""
    low = 0.0
    high = 1.0
    if count > 0:
        low = float(betaincinv(count, n - count + 1, alpha / 2))
    if count < n:
        high = float(betaincinv(count + 1, n - count, 1 - alpha / 2))
    return low, high
