"""The simulator of benchmarks/field_canary.py: what it simulates, and what is made of it."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.field_canary import (
    JUST_AS_GOOD,
    LIMITS,
    MUCH_WORSE,
    TWICE_THE_LIMIT,
    Bursts,
    Scenario,
    Shapes,
    Stalls,
    made,
    piece,
    run_of,
)
from trafficsplit.analysis.verdict import Verdict

SCENARIOS = [*JUST_AS_GOOD, *TWICE_THE_LIMIT, *MUCH_WORSE, *LIMITS]
EXPECTED = [
    Verdict.MATCH,
    Verdict.MATCH,
    Verdict.INCONCLUSIVE,
    Verdict.INCONCLUSIVE,
    Verdict.INCONCLUSIVE,
    Verdict.MATCH,
    Verdict.MATCH,
]


def named(name: str) -> Scenario:
    (scenario,) = [one for one in SCENARIOS if one.name == name]
    return scenario


@pytest.mark.parametrize("varied", [False, True])
@pytest.mark.parametrize("size", [1, 20])
def test_bursts_have_the_share_of_errors_that_they_say(size: int, varied: bool) -> None:
    rng = np.random.default_rng(1)
    canary = rng.random(400_000) < 0.25
    failed = Bursts(0.01, size, times=3, varied=varied)(rng, canary)
    assert failed[canary].mean() == pytest.approx(0.03, rel=0.15)
    assert failed[~canary].mean() == pytest.approx(0.01, rel=0.15)


def test_latencies_have_the_p99_that_they_say() -> None:
    rng = np.random.default_rng(2)
    canary = rng.random(400_000) < 0.5
    latencies = Shapes(1.0, 0.1, 1.5)(rng, canary)
    assert np.quantile(latencies[canary], 0.99) == pytest.approx(15, rel=0.05)
    assert np.quantile(latencies[~canary], 0.99) == pytest.approx(10, rel=0.05)
    stalled = Stalls(30, common=True)(rng, canary) >= 20
    assert stalled[canary].mean() == pytest.approx(stalled[~canary].mean(), rel=0.1)


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda one: one.name)
def test_a_run_has_all_requests(scenario: Scenario) -> None:
    requests = made(scenario, np.random.default_rng(3))
    run = run_of(scenario, requests)
    assert run.tally.requests == scenario.requests
    assert run.tally.errors == requests.failed.sum()


@pytest.mark.parametrize(("scenario", "verdict"), list(zip(LIMITS, EXPECTED, strict=True)))
def test_what_becomes_of_a_limit(scenario: Scenario, verdict: Verdict) -> None:
    found = [judgement.verdict for judgement in piece((scenario, 10, 1))]
    assert found.count(verdict) >= 9


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [
        "errors 1 % in bursts of 20",
        "equal p99, canary wide",
        "equal p99, canary narrow",
        "stalls of 30 requests, each its own",
    ],
)
def test_a_canary_that_is_just_as_good_is_seldom_called_worse(name: str) -> None:
    found = piece((named(name), 250, 1))
    # 0.5 % of 250 are 1.25; the former tests called 30 and more of them worse
    assert sum(one.verdict is Verdict.FAILING for one in found) <= 6
