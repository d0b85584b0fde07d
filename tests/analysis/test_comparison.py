import math
from collections import Counter

import numpy as np
import pytest
import scipy.stats
from numpy.typing import NDArray

from tests.support.runs import having, made
from trafficsplit.analysis.comparison import (
    compare,
    interval,
    p_of_fisher,
    p_of_quantile,
    p_of_ranks,
    p_of_ratio,
)
from trafficsplit.analysis.judge import judge
from trafficsplit.analysis.latency import buckets_of
from trafficsplit.analysis.run import LatencyKey, Run, Stretch
from trafficsplit.analysis.tally import Tally
from trafficsplit.analysis.verdict import Verdict

Sample = NDArray[np.float64]


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


def test_fishers_test_is_scipys() -> None:
    rng = np.random.default_rng(2)
    for _ in range(50):
        n, m = rng.integers(1, 60, 2).tolist()
        x = int(rng.integers(0, n + 1))
        y = int(rng.integers(0, m + 1))
        table = np.array([[x, n - x], [y, m - y]])
        theirs = scipy.stats.fisher_exact(table, alternative="greater").pvalue
        assert p_of_fisher(x, n, y, m) == pytest.approx(theirs, rel=1e-9)


def test_the_rank_test_is_scipys() -> None:
    rng = np.random.default_rng(3)
    for factor in (1.0, 1.05, 2.0):
        one = buckets(lognormal(rng, 500, factor))
        other = buckets(lognormal(rng, 900))
        theirs = scipy.stats.mannwhitneyu(
            list(one.elements()), list(other.elements()), method="asymptotic"
        ).pvalue
        assert p_of_ranks(one, other) == pytest.approx(theirs, rel=1e-6)


def test_the_test_of_errors_is_scipys_binomial() -> None:
    theirs = scipy.stats.binomtest(9, 13, 2 * 500 / (2 * 500 + 1500), alternative="greater").pvalue
    assert p_of_ratio(9, 500, 4, 1500, 2.0) == pytest.approx(theirs, rel=1e-9)
    assert p_of_ratio(0, 500, 4, 1500) == 1


@pytest.mark.parametrize("ratio", [1.0, 2.0])
def test_a_canary_at_the_allowed_ratio_is_seldom_called_slower(ratio: float) -> None:
    rng = np.random.default_rng(4)
    wrong = sum(
        p_of_quantile(
            buckets(lognormal(rng, 1400, ratio)), buckets(lognormal(rng, 4200)), 0.99, ratio
        )
        < 0.05
        for _ in range(400)
    )
    assert wrong <= 32  # 5 % of 400, and three deviations of that


def test_a_canary_with_another_body_but_the_same_tail_is_not_called_slower() -> None:
    rng = np.random.default_rng(5)
    wrong = 0
    for _ in range(200):
        # Its median is double; of both, 1 % exceed 20 ms.
        ours = np.where(rng.random(1400) < 0.01, 20 + rng.random(1400), 8 + 8 * rng.random(1400))
        theirs = np.where(rng.random(4200) < 0.01, 20 + rng.random(4200), 4 + 4 * rng.random(4200))
        wrong += p_of_quantile(buckets(ours), buckets(theirs), 0.99) < 0.05
    assert wrong <= 20


def test_a_slow_tail_is_found() -> None:
    rng = np.random.default_rng(6)
    found = sum(
        p_of_quantile(buckets(lognormal(rng, 1400, 3.0)), buckets(lognormal(rng, 4200)), 0.99, 2.0)
        < 0.005
        for _ in range(50)
    )
    assert found == 50


def run(latency: dict[LatencyKey, Counter[int]], **limits: float) -> Run:
    matched = made({"blue": 4500, "green": 1500}, decided=Verdict.MATCH)
    return having(matched, latency=latency, **limits)


def test_a_slow_canary_fails_a_split_that_matches_and_only_where_a_ratio_is_set() -> None:
    rng = np.random.default_rng(7)
    latency = {
        LatencyKey("blue", "2xx"): buckets(lognormal(rng, 4500)),
        LatencyKey("green", "2xx"): buckets(lognormal(rng, 1500, 4.0)),
    }
    (found,) = compare(run(latency))
    assert (found.baseline, found.canary, found.too_slow) == ("blue", "green", False)
    assert found.p99_ratio == pytest.approx(4, rel=0.25)
    assert found.slower < 1e-6
    assert judge(run(latency)).verdict is Verdict.MATCH
    judged = judge(run(latency, max_p99_ratio=2.0))
    assert judged.verdict is Verdict.FAILING
    assert "green is too slow" in judged.reason
    assert judge(run(latency, max_p99_ratio=8.0)).verdict is Verdict.MATCH


def test_a_canary_that_fails_more_often_is_named() -> None:
    latency = {
        LatencyKey("blue", "2xx"): Counter({500: 4490}),
        LatencyKey("blue", "5xx"): Counter({500: 2}),
        LatencyKey("green", "2xx"): Counter({500: 1480}),
        LatencyKey("green", "5xx"): Counter({500: 20}),
    }
    judged = judge(run(latency, max_error_ratio=3.0))
    assert judged.verdict is Verdict.FAILING
    assert "green fails too often" in judged.reason
    few = {**latency, LatencyKey("green", "5xx"): Counter({500: 2})}
    assert judge(run(few, max_error_ratio=3.0)).verdict is Verdict.MATCH
    # a mismatch stays one, and says both
    shifted = having(
        run(latency, max_error_ratio=3.0),
        stretches=[Stretch(0, 6, Tally({"blue": 3000, "green": 3000}))],
        decided=Verdict.MISMATCH,
    )
    assert judge(shifted).verdict is Verdict.MISMATCH
    assert "green fails too often" in judge(shifted).reason


def test_nobody_to_compare_with() -> None:
    assert compare(run({})) == []
    assert compare(run({LatencyKey("green", "2xx"): Counter({5: 1})})) == []
