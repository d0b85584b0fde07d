"""Variants compared: is the canary slower than the baseline, or does it fail more often?

Latencies are counts in buckets, so that any number of requests can be compared. The baseline is
the variant of the largest weight. Nothing here is sequential: when a run ends depends on its split
alone and not on latencies or errors, so that each of these tests is looked at once.

A limit that is set is exceeded, or kept, or left open (docs/statistics.md, "Canary against
baseline").
"""

from __future__ import annotations

import enum
import math
from collections.abc import Mapping
from dataclasses import dataclass

from trafficsplit.analysis.bursts import (
    Errors,
    dispersion_of_slow,
    errors_of,
    independent_errors,
    with_errors,
)
from trafficsplit.analysis.latency import at_rank, quantile
from trafficsplit.analysis.question import MOST_REQUESTS, Question
from trafficsplit.analysis.run import CanaryLimits, LatencyKey, Run, VariantCourse
from trafficsplit.analysis.special import bdtrik
from trafficsplit.analysis.two_samples import (
    Buckets,
    most_errors,
    p_of_errors,
    p_of_quantile,
    p_of_ranks,
)

TAIL = 0.99  # the quantile that is compared
# Answers of a canary that are enough as a rule, in multiples of the fewest that say something: for
# errors, so that one may be among them, and for the p99, so that slow answers may come in threes.
ENOUGH_FOR_ERRORS = 1.5
ENOUGH_FOR_P99 = 5.0
CLEARLY = 2.0  # a limit is kept only if this many times the limit is shown not to be reached


class Limit(enum.StrEnum):
    """How a canary stands to a limit: `unset` if there is none."""

    UNSET = "unset"
    KEPT = "kept"
    EXCEEDED = "exceeded"
    OPEN = "open"


@dataclass(frozen=True)
class Comparison:
    """A canary against the baseline.

    `p99_ratio` and `error_ratio` are the canary's over the baseline's, None if there is none.
    `slower` is the two-sided p-value of "neither tends to be slower" (Mann & Whitney 1947);
    `p99_p_value` and `errors_p_value` are the one-sided ones of "the ratio is at most the allowed
    one", which is 1 if none is set. `p99_limit` and `errors_limit` say how the canary stands to
    these. `dispersion` is how many slow answers say as much as one independent one.
    `answers` and `baseline_answers` are the numbers of 2xx answers. `unnamed_errors` name no
    variant: each limit has to hold whichever they were of.
    """

    baseline: str
    canary: str
    p99_ratio: float | None
    p99_p_value: float
    slower: float
    error_ratio: float | None
    errors_p_value: float
    p99_limit: Limit = Limit.UNSET
    errors_limit: Limit = Limit.UNSET
    dispersion: float = 1.0
    answers: int = 0
    baseline_answers: int = 0
    canary_errors: int = 0
    unnamed_errors: int = 0


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


def least_answers(alpha: float) -> int:
    """Return the answers of a variant below which its p99 has no upper confidence bound."""
    return math.ceil(math.log(alpha) / math.log(TAIL))


def least_requests(question: Question, limits: CanaryLimits) -> int:
    """Return the requests after which limits of all canaries can be judged as a rule.

    0 if none is set, if there is no canary, or if draws are users.
    """
    weights = sorted(question.split.positive.values())[:-1]
    if limits.are_unset or not weights or question.user_requests:
        return 0
    times = ENOUGH_FOR_ERRORS if limits.max_p99_ratio is None else ENOUGH_FOR_P99
    needed = math.ceil(times * least_answers(question.alpha) / weights[0])
    return min(needed, MOST_REQUESTS)


def baseline_of(question: Question) -> str:
    """Return the variant that the others are compared with: that of the largest weight."""
    positive = question.split.positive
    return max(positive, key=lambda variant: positive[variant])


def compare(run: Run) -> list[Comparison]:
    """Compare every canary that answered or failed with the baseline; none if that did not answer.

    A canary is any other variant that is to get traffic.
    """
    unnamed = unnamed_errors(run)
    samples = {name: _sample(run, name, unnamed) for name in run.question.split.positive}
    baseline = samples.pop(baseline_of(run.question))
    canaries = [sample for sample in samples.values() if sample.errors.requests]
    if not baseline.good:
        return []
    # Each canary has two chances to be wrongly called worse.
    alpha = run.question.alpha_of_mismatch / max(2 * len(canaries), 1)
    pairs = [_Pair(run, canary, baseline, alpha) for canary in canaries]
    return [pair.comparison(unnamed) for pair in pairs]


@dataclass(frozen=True)
class _Sample:
    """What is known of one variant: latencies of its 2xx answers, and its errors.

    `with_unnamed` are its errors if those that name no variant were its own.
    """

    variant: str
    good: Buckets
    errors: Errors
    with_unnamed: Errors
    course: VariantCourse | None

    @property
    def answers(self) -> int:
        """The number of its 2xx answers."""
        return sum(self.good.values())


def _sample(run: Run, variant: str, unnamed: int) -> _Sample:
    latency = run.counted.latency
    good = latency.get(LatencyKey(variant, "2xx"), {})
    count = _named_errors(latency, variant)
    total = count + sum(good.values())
    errors = independent_errors(count, total)
    with_unnamed = independent_errors(count + unnamed, total + unnamed)
    course = run.counted.courses.get(variant)
    if course is not None:
        errors = errors_of(course)
        with_unnamed = errors
        others = run.counted.courses.get("")
        if others is not None:
            with_unnamed = errors_of(with_errors(course, others))
    return _Sample(variant, good, errors, with_unnamed, course)


def _named_errors(latency: Mapping[LatencyKey, Buckets], variant: str) -> int:
    return sum(
        sum(buckets.values())
        for key, buckets in latency.items()
        if key.variant == variant and key.status != "2xx"
    )


def unnamed_errors(run: Run) -> int:
    """Return how many errors name no variant, as a gateway's own 503 and a lost connection do."""
    counted = run.counted
    if counted.courses:
        return sum(counted.courses[""].errors) if "" in counted.courses else 0
    errors = sum(stretch.tally.errors for stretch in counted.stretches)
    named = {key.variant for key in counted.latency if key.variant}
    return max(errors - sum(_named_errors(counted.latency, name) for name in named), 0)


class _Pair:
    """A canary and the baseline, compared; `alpha` is that of each "exceeded"."""

    def __init__(self, run: Run, canary: _Sample, baseline: _Sample, alpha: float) -> None:
        self._question = run.question
        self._limits: CanaryLimits = run.canary
        self._canary = canary
        self._baseline = baseline
        self._alpha = alpha
        self._dispersion = 1.0
        if canary.course is not None and baseline.course is not None:
            self._dispersion = dispersion_of_slow(canary.course, baseline.course)

    def comparison(self, unnamed: int) -> Comparison:
        """Return what was found; `unnamed` errors name no variant."""
        canary = self._canary
        baseline = self._baseline
        return Comparison(
            baseline.variant,
            canary.variant,
            p99_ratio=self._p99_ratio,
            p99_p_value=self._p_of_p99(self._limits.max_p99_ratio or 1.0),
            slower=p_of_ranks(canary.good, baseline.good),
            error_ratio=_error_ratio(canary.errors, baseline.errors),
            errors_p_value=self._p_of_errors(self._limits.max_error_ratio or 1.0),
            p99_limit=self._p99_limit(),
            errors_limit=self._errors_limit(),
            dispersion=self._dispersion,
            answers=canary.answers,
            baseline_answers=baseline.answers,
            canary_errors=canary.errors.count,
            unnamed_errors=unnamed,
        )

    # --- latency ---

    @property
    def _p99_ratio(self) -> float | None:
        canary = quantile(self._canary.good, TAIL)
        baseline = quantile(self._baseline.good, TAIL)
        if not canary or not baseline:
            return None
        return canary / baseline

    def _p_of_p99(self, ratio: float) -> float:
        """Return the p-value of "the canary's p99 is at most `ratio` times the baseline's"."""
        return p_of_quantile(self._canary.good, self._baseline.good, TAIL, ratio, self._dispersion)

    def _p_of_slower(self, ratio: float) -> float:
        """Return the p-value of "the canary's p99 is at least `ratio` times the baseline's"."""
        return p_of_quantile(
            self._baseline.good, self._canary.good, TAIL, 1 / ratio, self._dispersion
        )

    def _p99_limit(self) -> Limit:
        limit = self._limits.max_p99_ratio
        if limit is None:
            return Limit.UNSET
        if self._p_of_p99(limit) < self._alpha:
            return Limit.EXCEEDED
        measured = self._p99_ratio
        if measured is None or measured > limit:
            return Limit.OPEN
        if self._p_of_slower(CLEARLY * limit) < self._question.alpha:
            return Limit.KEPT
        return Limit.OPEN

    # --- errors ---

    def _p_of_errors(self, ratio: float) -> float:
        """Return the p-value of "the canary's share of errors is at most `ratio` times".

        Errors that name no variant count as the baseline's, so that they never speak for it.
        """
        return p_of_errors(self._canary.errors, self._baseline.with_unnamed, ratio)

    def _errors_limit(self) -> Limit:
        limit = self._limits.max_error_ratio
        if limit is None:
            return Limit.UNSET
        if self._p_of_errors(limit) < self._alpha:
            return Limit.EXCEEDED
        if self._are_few_errors() or self._is_surely_within(limit):
            return Limit.KEPT
        return Limit.OPEN

    def _are_few_errors(self) -> bool:
        """Return whether the canary's share of errors is shown to be what any variant may have."""
        question = self._question
        borne = max(question.max_failing, question.zero_tolerance)
        return most_errors(self._canary.with_unnamed, question.alpha) <= borne

    def _is_surely_within(self, limit: float) -> bool:
        """Return whether the ratio is measured within a limit, and shown to be below twice that."""
        canary = self._canary.with_unnamed
        measured = _error_ratio(canary, self._baseline.errors)
        if measured is None or measured > limit:
            return False
        p_value = p_of_errors(self._baseline.errors, canary, 1 / (CLEARLY * limit))
        return p_value < self._question.alpha


def _error_ratio(canary: Errors, baseline: Errors) -> float | None:
    """Return the canary's share of errors over the baseline's; None if that has none."""
    if not baseline.count or not canary.requests:
        return None
    return canary.count / canary.requests / (baseline.count / baseline.requests)
