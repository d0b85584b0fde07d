import math
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import scipy.stats
from numpy.typing import NDArray

from tests.support.runs import CANARY, having, made
from trafficsplit.analysis.comparison import (
    Comparison,
    Limit,
    compare,
    interval,
    least_answers,
    least_requests,
)
from trafficsplit.analysis.judge import judge
from trafficsplit.analysis.latency import buckets_of
from trafficsplit.analysis.question import Question
from trafficsplit.analysis.run import CanaryLimits, LatencyKey, Run, Stretch, VariantCourse
from trafficsplit.analysis.split import Split
from trafficsplit.analysis.tally import Tally
from trafficsplit.analysis.verdict import Verdict

Sample = NDArray[np.float64]
Latency = dict[LatencyKey, Counter[int]]
STRETCHES = 300


def buckets(milliseconds: Sample) -> Counter[int]:
    return Counter(buckets_of((milliseconds * 1000).astype(np.int64)).tolist())


def lognormal(rng: np.random.Generator, n: int, factor: float = 1.0) -> Sample:
    return factor * rng.lognormal(1.0, 0.5, n)


@pytest.mark.parametrize("q", [0.5, 0.9, 0.99])
def test_intervals_hold_the_quantile_as_often_as_they_say(q: float) -> None:
    rng = np.random.default_rng(1)
    truth = math.exp(1.0 + 0.5 * scipy.stats.norm.ppf(q))
    held = 0
    for _ in range(600):
        ends = interval(buckets(lognormal(rng, 800)), q, 0.1)
        assert ends
        held += ends[0] * 0.992 <= truth <= ends[1] * 1.008
    # at least 90 % of 600; and no interval that is always right
    assert 522 <= held <= 590
    assert interval({}, q, 0.1) is None


def test_one_latency_is_its_own_interval() -> None:
    assert interval({10: 1}, 0.99, 0.01) == (0.01, 0.01)


def run(latency: Latency, **changes: object) -> Run:
    errors = sum(sum(counts.values()) for key, counts in latency.items() if key.status != "2xx")
    matched = made({"blue": 4500, "green": 1500}, errors=errors, decided=Verdict.MATCH)
    return having(matched, latency=latency, **changes)


def answered(errors: int = 0, of: str = "green") -> Latency:
    """Return the latencies of a run of 6,000 requests, a number of them errors of one variant."""
    latency = {
        LatencyKey("blue", "2xx"): Counter({500: 4500}),
        LatencyKey("green", "2xx"): Counter({500: 1500}),
    }
    if errors:
        latency[LatencyKey(of, "5xx")] = Counter({500: errors})
    return latency


def compared(asked: Run) -> Comparison:
    (comparison,) = compare(asked)
    return comparison


# --- latency ---


def test_a_slow_canary_fails_a_split_that_matches_and_only_where_a_ratio_is_set() -> None:
    rng = np.random.default_rng(7)
    latency = {
        LatencyKey("blue", "2xx"): buckets(lognormal(rng, 4500)),
        LatencyKey("green", "2xx"): buckets(lognormal(rng, 1500, 4.0)),
    }
    found = compared(run(latency))
    assert (found.baseline, found.canary, found.p99_limit) == ("blue", "green", Limit.UNSET)
    assert (found.answers, found.baseline_answers) == (1500, 4500)
    assert found.p99_ratio == pytest.approx(4, rel=0.25)
    assert found.slower < 1e-6
    assert judge(run(latency)).verdict is Verdict.MATCH
    judged = judge(run(latency, max_p99_ratio=2.0))
    assert judged.verdict is Verdict.FAILING
    assert "green is too slow" in judged.reason
    assert judge(run(latency, max_p99_ratio=8.0)).verdict is Verdict.MATCH


def test_a_limit_that_is_about_reached_is_open() -> None:
    rng = np.random.default_rng(8)
    latency = {
        LatencyKey("blue", "2xx"): buckets(lognormal(rng, 4500)),
        LatencyKey("green", "2xx"): buckets(lognormal(rng, 1500, 1.55)),
    }
    judged = judge(run(latency, max_p99_ratio=1.5))
    assert judged.verdict is Verdict.INCONCLUSIVE
    assert "which may be chance" in judged.reason


def test_too_few_answers_for_a_p99_do_not_pass_in_silence() -> None:
    latency = {
        LatencyKey("blue", "2xx"): Counter({500: 40}),
        LatencyKey("green", "2xx"): Counter({500: 13}),
    }
    judged = judge(run(latency, max_p99_ratio=1.5))
    assert judged.verdict is Verdict.INCONCLUSIVE
    assert "The split is as configured" in judged.reason
    assert (
        "13 and 40 answers, with 1.00 times, are too few: 459 each are the least" in judged.reason
    )
    assert least_answers(0.01) == 459


def test_answers_slow_together_leave_a_limit_open() -> None:
    # Of both the slowest hundredth is equally slow, of green in one moment only.
    latency = {
        LatencyKey("blue", "2xx"): Counter({700: 4455, 1000: 45}),
        LatencyKey("green", "2xx"): Counter({700: 1470, 2000: 30}),
    }
    slow = [30, *[0] * (STRETCHES - 1)]
    spread = [1 * (stretch % 7 == 0) for stretch in range(STRETCHES)]
    nothing = [0] * STRETCHES
    blue = VariantCourse([15] * STRETCHES, nothing, [spread])
    assert compared(run(latency, max_p99_ratio=1.5)).p99_limit is Limit.EXCEEDED
    courses = {"blue": blue, "green": VariantCourse([5] * STRETCHES, nothing, [slow])}
    asked = run(latency, max_p99_ratio=1.5, courses=courses)
    assert compared(asked).p99_limit is Limit.OPEN
    assert compared(asked).dispersion > 5


# --- errors ---


def test_a_canary_that_fails_more_often_is_named() -> None:
    judged = judge(run(answered(errors=20), max_error_ratio=3.0))
    assert judged.verdict is Verdict.FAILING
    assert "green fails too often" in judged.reason
    # a mismatch stays one, and says both
    shifted = having(
        run(answered(errors=20), max_error_ratio=3.0),
        stretches=[Stretch(0, 6, Tally({"blue": 3000, "green": 3000}, errors=20))],
        decided=Verdict.MISMATCH,
    )
    assert judge(shifted).verdict is Verdict.MISMATCH
    assert "green fails too often" in judge(shifted).reason


@pytest.mark.parametrize("errors", [0, 3])
def test_a_share_of_errors_that_any_variant_may_have_is_within_any_limit(errors: int) -> None:
    asked = run(answered(errors), max_error_ratio=2.0)
    assert compared(asked).errors_limit is Limit.KEPT
    assert judge(asked).verdict is Verdict.MATCH


def test_errors_that_name_no_variant_may_be_the_canarys() -> None:
    judged = judge(run(answered(39, of=""), max_error_ratio=2.0))
    assert judged.verdict is Verdict.INCONCLUSIVE
    assert "39 errors name no variant, and they may all have been green's" in judged.reason
    # and they do not prove that it fails: the baseline may have had them
    asked = run({**answered(20), LatencyKey("", "none"): Counter({500: 39})}, max_error_ratio=2.0)
    assert compared(asked).errors_limit is Limit.OPEN
    assert compared(asked).unnamed_errors == 39


def test_few_requests_of_a_canary_leave_its_errors_open() -> None:
    latency = {
        LatencyKey("blue", "2xx"): Counter({500: 1290}),
        LatencyKey("green", "2xx"): Counter({500: 68}),
    }
    judged = judge(run(latency, max_error_ratio=2.0))
    assert judged.verdict is Verdict.INCONCLUSIVE
    assert "68 of its requests are too few" in judged.reason


def test_errors_in_one_burst_are_one_observation() -> None:
    nothing = [0] * STRETCHES
    burst = [20, *[0] * (STRETCHES - 1)]
    spread = [1 * (stretch % 15 == 0) for stretch in range(STRETCHES)]
    blue = VariantCourse([15] * STRETCHES, nothing, [])
    latency = answered(errors=20)
    for errors, limit in ((burst, Limit.OPEN), (spread, Limit.EXCEEDED)):
        courses = {"blue": blue, "green": VariantCourse([5] * STRETCHES, errors, [])}
        assert compared(run(latency, max_error_ratio=2.0, courses=courses)).errors_limit is limit


def test_a_canary_that_fails_as_often_is_shown_to_do_so_by_many_errors() -> None:
    latency = {
        LatencyKey("blue", "2xx"): Counter({500: 450_000}),
        LatencyKey("green", "2xx"): Counter({500: 150_000}),
        LatencyKey("blue", "5xx"): Counter({500: 30_000}),
        LatencyKey("green", "5xx"): Counter({500: 11_000}),
    }
    asked = run(latency, max_error_ratio=2.0)
    assert compared(asked).error_ratio == pytest.approx(1.1, rel=0.01)
    assert compared(asked).errors_limit is Limit.KEPT


# --- nothing to compare with ---


def test_a_variant_without_answers_is_not_compared_and_does_not_pass() -> None:
    assert compare(run({})) == []
    only_green = run({LatencyKey("green", "2xx"): Counter({5: 1})}, max_p99_ratio=2.0)
    assert compare(only_green) == []
    judged = judge(only_green)
    assert judged.verdict is Verdict.INCONCLUSIVE
    assert "no latencies of both are known" in judged.reason


def test_a_single_variant_that_is_to_get_traffic_has_nothing_to_compare_with() -> None:
    rollback = made({"blue": 5000}, split=Split({"blue": 1, "green": 0}), decided=Verdict.MATCH)
    asked = having(rollback, latency={}, max_p99_ratio=2.0, max_error_ratio=2.0)
    assert judge(asked).verdict is Verdict.MATCH


def test_a_canary_of_which_nothing_but_errors_came_is_compared() -> None:
    latency = {
        LatencyKey("blue", "2xx"): Counter({500: 4500}),
        LatencyKey("green", "5xx"): Counter({500: 50}),
    }
    found = compared(run(latency, max_p99_ratio=2.0, max_error_ratio=2.0))
    assert (found.p99_limit, found.errors_limit) == (Limit.OPEN, Limit.EXCEEDED)


# --- how many requests it takes ---


def test_limits_take_enough_answers_of_the_smallest_canary() -> None:
    three = Question(Split({"a": 80, "b": 15, "c": 5}), 0.02)
    assert least_requests(three, CanaryLimits()) == 0
    for_errors = least_requests(three, CanaryLimits(max_error_ratio=2))
    for_p99 = least_requests(three, CanaryLimits(max_p99_ratio=2))
    assert for_errors == math.ceil(1.5 * 459 / 0.05)
    assert for_p99 == math.ceil(5 * 459 / 0.05)
    rollback = Question(Split({"blue": 1, "green": 0}), 0.02)
    assert least_requests(rollback, CanaryLimits(2, 2)) == 0


def test_a_budget_that_ends_before_is_judged_by_what_there_is() -> None:
    answers = {
        LatencyKey("blue", "2xx"): Counter({500: 7500}),
        LatencyKey("green", "2xx"): Counter({500: 2500}),
    }
    made_run = made({"blue": 7500, "green": 2500}, requests=10_000)
    asked = having(
        made_run,
        question=replace(made_run.question, least_requests=20_000),
        latency=answers,
        max_p99_ratio=1.5,
    )
    assert judge(asked).verdict is Verdict.MATCH
    few = having(asked, latency={key: Counter({500: 100}) for key in answers})
    assert judge(few).verdict is Verdict.INCONCLUSIVE
    assert "100 and 100 answers, with 1.00 times, are too few" in judge(few).reason


def test_so_many_answers_are_enough_as_a_rule() -> None:
    rng = np.random.default_rng(9)
    question = Question(CANARY, 0.02)
    kept = Counter[str]()
    for _ in range(60):
        requests = least_requests(question, CanaryLimits(1.5, 2.0))
        green = rng.binomial(requests, 0.25)
        latency = {
            LatencyKey("blue", "2xx"): buckets(lognormal(rng, requests - green)),
            LatencyKey("green", "2xx"): buckets(lognormal(rng, green)),
        }
        found = compared(run(latency, max_p99_ratio=1.5, max_error_ratio=2.0))
        kept.update([f"p99 {found.p99_limit}", f"errors {found.errors_limit}"])
    assert kept["errors kept"] == 60
    assert kept["p99 kept"] >= 57
