"""Variants compared: is the canary slower than the baseline, or does it fail more often?

Latencies are counts in buckets, so that any number of requests can be compared. The baseline is
the variant of the largest weight. Nothing here is sequential: when a run ends depends on its split
alone and not on latencies or errors, so that each of these tests is looked at once.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import bdtrc, bdtrik, gammaln, logsumexp, ndtr

from trafficsplit.analysis.latency import at_rank, middle_of, quantile
from trafficsplit.analysis.run import CanaryLimits, LatencyKey, Run

Buckets = Mapping[int, int]
Numbers = NDArray[np.integer] | NDArray[np.floating]
TAIL = 0.99  # the quantile that is compared


@dataclass(frozen=True)
class Comparison:
    """A canary against the baseline.

    `p99_ratio` and `error_ratio` are the canary's over the baseline's, None if there is none.
    `slower` is the two-sided p-value of "neither tends to be slower" (Mann & Whitney 1947);
    `p99_p_value` and `errors_p_value` are the one-sided ones of "the ratio is at most the allowed
    one", which is 1 if none is set. `too_slow` and `too_faulty` say that a ratio is set, and that
    its p-value is below alpha.
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
    """Return a 1 − alpha interval of the `q` quantile, in milliseconds; None without latencies.

    It is between two order statistics, by the binomial distribution of how many are below the
    quantile (Conover, Practical Nonparametric Statistics, section 3.2). If there are too few
    latencies to say more, it ends at the least or greatest.
    """
    n = sum(buckets.values())
    if not n:
        return None
    low = math.floor(float(bdtrik(alpha / 2, n, q)))
    high = math.ceil(float(bdtrik(1 - alpha / 2, n, q))) + 1
    return at_rank(buckets, max(low, 1)), at_rank(buckets, min(high, n))


def compare(run: Run) -> list[Comparison]:
    """Compare every canary that answered with the baseline; none if that did not answer."""
    positive = run.question.split.positive
    baseline = max(positive, key=lambda variant: positive[variant])
    answers = {variant: _answers(run.counted.latency, variant) for variant in positive}
    canaries = [name for name in positive if name != baseline and answers[name].good]
    if not answers[baseline].good:
        return []
    # Each canary has two chances to be wrongly called worse.
    alpha = run.question.alpha / max(2 * len(canaries), 1)
    return [_compare(answers[name], answers[baseline], run.canary, alpha) for name in canaries]


@dataclass(frozen=True)
class _Answers:
    """The answers of one variant: latencies of 2xx ones, and the number of others."""

    variant: str
    good: Buckets
    errors: int

    @property
    def total(self) -> int:
        return self.errors + sum(self.good.values())


def _answers(latency: Mapping[LatencyKey, Buckets], variant: str) -> _Answers:
    """Return the answers of a variant; errors that name no variant are no one's."""
    good: Buckets = {}
    errors = 0
    for key, buckets in latency.items():
        if key.variant == variant and key.status == "2xx":
            good = buckets
        elif key.variant == variant:
            errors += sum(buckets.values())
    return _Answers(variant, good, errors)


def _compare(
    canary: _Answers, baseline: _Answers, limits: CanaryLimits, alpha: float
) -> Comparison:
    slow = p_of_quantile(canary.good, baseline.good, TAIL, limits.max_p99_ratio or 1.0)
    faulty = p_of_ratio(
        canary.errors,
        canary.total,
        baseline.errors,
        baseline.total,
        limits.max_error_ratio or 1.0,
    )
    return Comparison(
        baseline.variant,
        canary.variant,
        p99_ratio=_ratio(quantile(canary.good, TAIL), quantile(baseline.good, TAIL)),
        p99_p_value=slow,
        slower=p_of_ranks(canary.good, baseline.good),
        error_ratio=_error_ratio(canary, baseline),
        errors_p_value=faulty,
        too_slow=limits.max_p99_ratio is not None and slow < alpha,
        too_faulty=limits.max_error_ratio is not None and faulty < alpha,
    )


def _ratio(canary: float | None, baseline: float | None) -> float | None:
    if not canary or not baseline:
        return None
    return canary / baseline


def _error_ratio(canary: _Answers, baseline: _Answers) -> float | None:
    """Return the canary's share of errors over the baseline's; None if that has none."""
    if not baseline.errors:
        return None
    return canary.errors / canary.total / (baseline.errors / baseline.total)


def p_of_quantile(ours: Buckets, theirs: Buckets, q: float, ratio: float = 1.0) -> float:
    """Return the one-sided p-value of "our `q` quantile is at most `ratio` times theirs".

    This is Mood's median test, for another quantile: how many of ours, and of theirs times `ratio`,
    are above the pooled quantile, by Fisher's exact test (Conover, section 4.3).
    """
    our_counts = {middle_of(bucket): count for bucket, count in ours.items()}
    their_counts = {middle_of(bucket) * ratio: count for bucket, count in theirs.items()}
    n = sum(our_counts.values())
    m = sum(their_counts.values())
    if not n or not m:
        return 1.0
    # Each group has half of the say in where the quantile is, whatever its size.
    seen = 0.0
    for cut in sorted({*our_counts, *their_counts}):
        seen += our_counts.get(cut, 0) / (2 * n) + their_counts.get(cut, 0) / (2 * m)
        if seen >= q:
            break
    return p_of_fisher(_above(our_counts, cut), n, _above(their_counts, cut), m)


def _above(counts: Mapping[float, int], cut: float) -> int:
    return sum(count for value, count in counts.items() if value > cut)


def p_of_fisher(x: int, n: int, y: int, m: int) -> float:
    """Return the one-sided p-value of "x of n is, in truth, no more than y of m" (Fisher 1935)."""
    total = x + y
    ks = np.arange(x, min(n, total) + 1)
    logs = _log_choose(n, ks) + _log_choose(m, total - ks) - _log_choose(n + m, np.array(total))
    return min(float(np.exp(logsumexp(logs))), 1.0)


def _log_choose(n: int, k: Numbers) -> Numbers:
    with np.errstate(divide="ignore"):
        logs: Numbers = gammaln(n + 1) - gammaln(k + 1) - gammaln(n - k + 1)
    return np.where((k < 0) | (k > n), -np.inf, logs)


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


def p_of_ratio(x: int, n: int, y: int, m: int, ratio: float = 1.0) -> float:
    """Return the one-sided p-value of "x of n is, in truth, at most `ratio` times y of m".

    Given x + y, x is binomial with ratio·n / (ratio·n + m) (Przyborowski & Wilenski 1940). That is
    exact for rare errors, and conservative for frequent ones.
    """
    if not x or not n or not m:
        return 1.0
    return float(bdtrc(x - 1, x + y, ratio * n / (ratio * n + m)))
