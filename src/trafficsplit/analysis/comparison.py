"""Variants compared: is the canary slower than the baseline, or does it fail more often?

From counts in buckets of latency, so from any number of requests. The baseline is the variant of
the largest weight. Nothing here is sequential: a run ends by its split, which says nothing of
latencies or errors, so that each of these tests is looked at once.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import bdtrc, bdtrik, gammaln, logsumexp, ndtr

from trafficsplit.analysis.latency import at_rank, middle_of, quantile
from trafficsplit.analysis.run import LatencyKey, Run

Buckets = Mapping[int, int]
Numbers = NDArray[Any]
TAIL = 0.99


@dataclass(frozen=True)
class Comparison:
    """A canary against the baseline.

    `p99_ratio` and `error_ratio` are the canary's over the baseline's, None where there is none to
    be had; `slower` is the two-sided p-value of "neither tends to be slower" (Mann & Whitney 1947),
    `p99_p_value` and `errors_p_value` are one-sided, of "the ratio is at most the allowed one" (1
    where none is set). `too_slow` and `too_faulty` say that they are below alpha, where a ratio is
    set.
    """

    baseline: str
    canary: str
    p99_ratio: float | None
    p99_p_value: float
    slower: float
    error_ratio: float | None
    errors_p_value: float
    too_slow: bool = False
    too_faulty: bool = False


def interval(buckets: Buckets, q: float, alpha: float) -> tuple[float, float] | None:
    """A 1 − alpha interval of the `q` quantile, in milliseconds; None where there are no latencies.

    Between two order statistics, by the binomial distribution of how many are below the quantile
    (Conover, Practical Nonparametric Statistics, section 3.2). It ends at the least or greatest
    latency where there are too few to say more.
    """
    n = sum(buckets.values())
    if not n:
        return None
    low = math.floor(float(bdtrik(alpha / 2, n, q)))
    high = math.ceil(float(bdtrik(1 - alpha / 2, n, q))) + 1
    ends = [at_rank(buckets, rank) for rank in (max(low, 1), min(high, n))]
    return ends[0], ends[1]


def compare(run: Run) -> list[Comparison]:
    """Every canary that answered against the baseline, where that did."""
    positive = run.question.split.positive
    baseline = max(positive, key=lambda variant: positive[variant])
    good = {key.variant: b for key, b in run.counted.latency.items() if key.status == "2xx" and b}
    canaries = [v for v in positive if v != baseline and v in good]
    if baseline not in good:
        return []
    # Each canary has two chances to be wrongly called worse.
    alpha = run.question.alpha / max(2 * len(canaries), 1)
    return [_compare(run, good, baseline, canary, alpha) for canary in canaries]


def _compare(
    run: Run, good: Mapping[str, Buckets], baseline: str, canary: str, alpha: float
) -> Comparison:
    ours, theirs = good[canary], good[baseline]
    tails = quantile(ours, TAIL), quantile(theirs, TAIL)
    p99 = p_of_quantile(ours, theirs, TAIL, run.canary.max_p99_ratio or 1.0)
    errors = [_errors(run.counted.latency, variant) for variant in (canary, baseline)]
    totals = [
        bad + sum(good[v].values()) for bad, v in zip(errors, (canary, baseline), strict=True)
    ]
    faulty = p_of_ratio(
        errors[0], totals[0], errors[1], totals[1], run.canary.max_error_ratio or 1.0
    )
    return Comparison(
        baseline,
        canary,
        p99_ratio=tails[0] / tails[1] if tails[0] and tails[1] else None,
        p99_p_value=p99,
        slower=p_of_ranks(ours, theirs),
        error_ratio=errors[0] / totals[0] / (errors[1] / totals[1]) if errors[1] else None,
        errors_p_value=faulty,
        too_slow=run.canary.max_p99_ratio is not None and p99 < alpha,
        too_faulty=run.canary.max_error_ratio is not None and faulty < alpha,
    )


def _errors(latency: Mapping[LatencyKey, Buckets], variant: str) -> int:
    """Answers of a variant that were no 2xx, where it could be told whose they were."""
    return sum(
        sum(b.values()) for k, b in latency.items() if k.variant == variant and k.status != "2xx"
    )


def p_of_quantile(ours: Buckets, theirs: Buckets, q: float, ratio: float = 1.0) -> float:
    """One-sided p-value of "our `q` quantile is at most `ratio` times theirs".

    Mood's median test, for another quantile: how many are above the pooled quantile, ours and
    theirs times `ratio`, by Fisher's exact test (Conover, section 4.3).
    """
    one = {middle_of(bucket): count for bucket, count in ours.items()}
    other = {middle_of(bucket) * ratio: count for bucket, count in theirs.items()}
    n, m = sum(one.values()), sum(other.values())
    if not n or not m:
        return 1.0
    # Each group has half of the say in where the quantile is, whatever its size.
    values = sorted({*one, *other})
    seen = 0.0
    for cut in values:
        seen += one.get(cut, 0) / (2 * n) + other.get(cut, 0) / (2 * m)
        if seen >= q:
            break
    above = [sum(count for v, count in group.items() if v > cut) for group in (one, other)]
    return p_of_fisher(above[0], n, above[1], m)


def p_of_fisher(x: int, n: int, y: int, m: int) -> float:
    """One-sided p-value of x of n being no more, in truth, than y of m (Fisher 1935)."""
    total = x + y
    ks = np.arange(x, min(n, total) + 1)
    logs = _log_choose(n, ks) + _log_choose(m, total - ks) - _log_choose(n + m, np.array(total))
    return min(float(np.exp(logsumexp(logs))), 1.0)


def _log_choose(n: int, k: Numbers) -> Numbers:
    with np.errstate(divide="ignore"):
        logs: Numbers = gammaln(n + 1) - gammaln(k + 1) - gammaln(n - k + 1)
    return np.where((k < 0) | (k > n), -np.inf, logs)


def p_of_ranks(ours: Buckets, theirs: Buckets) -> float:
    """Two-sided p-value of "neither tends to be larger", with ties (Mann & Whitney 1947)."""
    n, m = sum(ours.values()), sum(theirs.values())
    if not n or not m:
        return 1.0
    wins = ties = below = 0.0
    for bucket in sorted({*ours, *theirs}):
        a, b = ours.get(bucket, 0), theirs.get(bucket, 0)
        wins += a * (below + b / 2)
        below += b
        ties += (a + b) ** 3 - (a + b)
    total = n + m
    variance = n * m / 12 * (total + 1 - ties / (total * (total - 1)))
    if variance <= 0:
        return 1.0
    z = (abs(wins - n * m / 2) - 0.5) / math.sqrt(variance)
    return min(2 * float(ndtr(-max(z, 0.0))), 1.0)


def p_of_ratio(x: int, n: int, y: int, m: int, ratio: float = 1.0) -> float:
    """One-sided p-value of "x of n is, in truth, at most `ratio` times y of m".

    Given x + y, x is binomial with ratio·n / (ratio·n + m) (Przyborowski & Wilenski 1940): exact
    for rare errors, and cautious for frequent ones.
    """
    if not x or not n or not m:
        return 1.0
    return float(bdtrc(x - 1, x + y, ratio * n / (ratio * n + m)))
