"""Canary against baseline, where errors and slow answers are not as in a textbook.

    python -m benchmarks.field_canary [RUNS]     less than 3 minutes with 2,000

Each run is made of requests that are counted as a live run's are, and judged by the whole judge.
First how often a canary that is just as good as is allowed is called worse (alpha 1 %, so that each
of two limits may be wrong in 0.5 %), then how often one at twice the limit is a match (1 %), how
often one that is much worse is found, and what becomes of a limit for which there is no power or no
data. Everything is seeded.
"""

from __future__ import annotations

import multiprocessing
import sys
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from multiprocessing.pool import Pool

import numpy as np
from numpy.typing import NDArray

from trafficsplit.analysis.accumulator import Accumulator
from trafficsplit.analysis.fixed import clopper_pearson
from trafficsplit.analysis.judge import judge
from trafficsplit.analysis.kinds import Codes, Kind, Kinds, Outcome
from trafficsplit.analysis.question import Question
from trafficsplit.analysis.run import CanaryLimits, Counted, Ending, Run, Stretch, Subject
from trafficsplit.analysis.split import Split
from trafficsplit.analysis.verdict import Judgement, Verdict

RUNS = 2000
PIECE = 100  # runs that one process does in a go
RATE = 2000  # requests a second
MAX_FAILING = 0.05  # so that some bursts of errors are not yet too many
Z99 = 2.3263478740408408  # standard deviations above the mean that 1 % of a normal sample exceed
Flags = NDArray[np.bool_]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Requests:
    """Requests in order of sending: which are the canary's, which fail, and milliseconds.

    `named` says which errors name their variant.
    """

    canary: Flags
    failed: Flags
    latencies: Floats
    named: Flags


Rng = np.random.Generator
Fail = Callable[[Rng, Flags], Flags]  # which requests fail, of those that are the canary's
Take = Callable[[Rng, Flags], Floats]  # how long they take


@dataclass(frozen=True)
class Scenario:
    """A gateway, what it is asked, and what is to come of it."""

    name: str
    requests: int
    fail: Fail
    take: Take
    weight: float = 0.25
    max_error_ratio: float | None = None
    max_p99_ratio: float | None = None
    max_failing: float = MAX_FAILING
    named: bool = True


# --- errors ---


def never(rng: Rng, canary: Flags) -> Flags:
    """No request fails."""
    return np.zeros(len(canary), bool)


@dataclass(frozen=True)
class Bursts:
    """Each variant fails in bursts of its own, or of both: so many of its requests in a row.

    `rate` is the baseline's share of errors, and the canary's `times` that. `varied` bursts have
    sizes of a geometric distribution, of which every other request fails.
    """

    rate: float
    size: int = 1
    times: float = 1.0
    varied: bool = False
    common: bool = False

    def __call__(self, rng: Rng, canary: Flags) -> Flags:
        """Return which requests fail."""
        failed = np.zeros(len(canary), bool)
        if self.common:
            self._burst(rng, np.arange(len(canary)), failed, self.rate)
            return failed
        self._burst(rng, np.flatnonzero(canary), failed, self.rate * self.times)
        self._burst(rng, np.flatnonzero(~canary), failed, self.rate)
        return failed

    def _burst(self, rng: Rng, own: Codes, failed: Flags, rate: float) -> None:
        for _ in range(rng.poisson(rate * len(own) / self.size)):
            size = self.size
            if self.varied:
                size = int(rng.geometric(1 / self.size)) * 2
            first = int(rng.integers(1 - size, len(own)))
            hit = own[max(first, 0) : first + size]
            if self.varied:
                hit = hit[rng.random(len(hit)) < 0.5]
            failed[hit] = True


# --- latencies ---


def usual(rng: Rng, canary: Flags) -> Floats:
    """Both take 10 ms at the 99th percentile."""
    return _lognormal(rng, canary, 0.5, 0.5)


def _lognormal(
    rng: Rng, canary: Flags, width: float, baseline_width: float, times: float = 1.0
) -> Floats:
    normal = rng.normal(size=len(canary)) - Z99
    latencies: Floats = 10 * np.exp(np.where(canary, width, baseline_width) * normal)
    return latencies * np.where(canary, times, 1.0)


@dataclass(frozen=True)
class Shapes:
    """Log-normal latencies with a p99 of 10 ms, of other widths; the canary's times a factor."""

    width: float
    baseline_width: float
    times: float = 1.0

    def __call__(self, rng: Rng, canary: Flags) -> Floats:
        """Return milliseconds."""
        return _lognormal(rng, canary, self.width, self.baseline_width, self.times)


@dataclass(frozen=True)
class Stalls:
    """About 1 % of the requests are slow, in stalls of so many requests in a row.

    Each variant stalls by itself, or both at once.
    """

    size: int
    common: bool

    def __call__(self, rng: Rng, canary: Flags) -> Floats:
        """Return milliseconds."""
        stalled = Bursts(0.012, self.size, common=self.common)(rng, canary)
        latencies = _lognormal(rng, canary, 0.1, 0.1)
        return np.where(stalled, 20 + 80 * rng.random(len(canary)), latencies)


JUST_AS_GOOD = [
    Scenario("errors 0.5 %, independent", 6000, Bursts(0.005), usual, max_error_ratio=1),
    Scenario("errors 1 % in bursts of 20", 6000, Bursts(0.01, 20), usual, max_error_ratio=1),
    Scenario("the same, 20,000 requests", 20_000, Bursts(0.01, 20), usual, max_error_ratio=1),
    Scenario(
        "the same at weight 5 %", 20_000, Bursts(0.01, 20), usual, weight=0.05, max_error_ratio=1
    ),
    Scenario(
        "bursts of 20 on average, half dense",
        6000,
        Bursts(0.01, 20, varied=True),
        usual,
        max_error_ratio=1,
    ),
    Scenario(
        "bursts of 50 that hit both", 6000, Bursts(0.01, 50, common=True), usual, max_error_ratio=1
    ),
    Scenario(
        "twice the errors, twice allowed, bursts of 10",
        20_000,
        Bursts(0.005, 10, times=2),
        usual,
        max_error_ratio=2,
    ),
    Scenario("equal p99, equal shapes", 6000, never, usual, max_p99_ratio=1),
    Scenario("equal p99, canary wide", 6000, never, Shapes(1.0, 0.1), max_p99_ratio=1),
    Scenario("equal p99, canary narrow", 6000, never, Shapes(0.1, 1.0), max_p99_ratio=1),
    Scenario(
        "equal p99, canary wide, weight 50 %",
        6000,
        never,
        Shapes(1.0, 0.1),
        weight=0.5,
        max_p99_ratio=1,
    ),
    Scenario(
        "1.5 times slower, 1.5 allowed", 6000, never, Shapes(0.8, 0.2, 1.5), max_p99_ratio=1.5
    ),
    Scenario(
        "stalls of 30 requests, each its own", 6000, never, Stalls(30, False), max_p99_ratio=1
    ),
    Scenario(
        "stalls of 100 requests, each its own, weight 50 %",
        30_000,
        never,
        Stalls(100, False),
        weight=0.5,
        max_p99_ratio=1,
    ),
    Scenario("stalls of 100 requests of both", 6000, never, Stalls(100, True), max_p99_ratio=1),
]
MUCH_WORSE = [
    Scenario(
        "errors 2.5 % against 0.25 %", 6000, Bursts(0.0025, times=10), usual, max_error_ratio=2
    ),
    Scenario(
        "the same in bursts of 5, 20,000 requests",
        20_000,
        Bursts(0.0025, 5, times=10),
        usual,
        max_error_ratio=2,
    ),
    Scenario("p99 three times, 1.5 allowed", 6000, never, Shapes(0.5, 0.5, 3.0), max_p99_ratio=1.5),
]
TWICE_THE_LIMIT = [
    Scenario(
        "errors 1.6 % against 0.4 %, 2 allowed",
        20_000,
        Bursts(0.004, times=4),
        usual,
        max_error_ratio=2,
        max_failing=0.01,
    ),
    Scenario(
        "the same in bursts of 10",
        20_000,
        Bursts(0.004, 10, times=4),
        usual,
        max_error_ratio=2,
        max_failing=0.01,
    ),
    Scenario("p99 three times, canary wide", 6000, never, Shapes(1.0, 0.1, 3.0), max_p99_ratio=1.5),
    Scenario(
        "p99 three times, canary narrow", 6000, never, Shapes(0.1, 1.0, 3.0), max_p99_ratio=1.5
    ),
    Scenario("p99 three times, 600 requests", 600, never, Shapes(0.5, 0.5, 3.0), max_p99_ratio=1.5),
]
LIMITS = [
    Scenario(
        "no errors, --max-error-ratio 2", 6000, never, usual, max_error_ratio=2, max_failing=0.01
    ),
    Scenario(
        "0.1 % errors of both, --max-error-ratio 2",
        6000,
        Bursts(0.001),
        usual,
        max_error_ratio=2,
        max_failing=0.01,
    ),
    Scenario(
        "39 errors that name no variant",
        6000,
        Bursts(0.0065),
        usual,
        max_error_ratio=2,
        max_failing=0.01,
        named=False,
    ),
    Scenario(
        "weight 5 %, 1,358 requests, --max-error-ratio 2",
        1358,
        never,
        usual,
        weight=0.05,
        max_error_ratio=2,
        max_failing=0.01,
    ),
    Scenario("13 against 40 answers, --max-p99-ratio 1.5", 53, never, usual, max_p99_ratio=1.5),
    Scenario("equal p99, --max-p99-ratio 1.5", 6000, never, usual, max_p99_ratio=1.5),
    Scenario("canary wide, --max-p99-ratio 1.5", 6000, never, Shapes(1.0, 0.2), max_p99_ratio=1.5),
]


def made(scenario: Scenario, rng: Rng) -> Requests:
    """Return the requests of one run."""
    canary = rng.random(scenario.requests) < scenario.weight
    failed = scenario.fail(rng, canary)
    named = np.full(scenario.requests, scenario.named)
    return Requests(canary, failed, scenario.take(rng, canary), named)


def run_of(scenario: Scenario, requests: Requests) -> Run:
    """Return the run that a load makes of requests."""
    split = Split({"blue": 1 - scenario.weight, "green": scenario.weight})
    kinds = Kinds(split)
    code_of = np.array(
        [
            kinds.code_of(Kind(Outcome.IDENTIFIED, "blue")),
            kinds.code_of(Kind(Outcome.IDENTIFIED, "green")),
            kinds.code_of(Kind(Outcome.ERROR, "blue", "5xx", answer=503)),
            kinds.code_of(Kind(Outcome.ERROR, "green", "5xx", answer=503)),
            kinds.code_of(Kind(Outcome.ERROR, "", "5xx", answer=503)),
        ]
    )
    ends = requests.canary + 2 * requests.failed
    ends[requests.failed & ~requests.named] = 4
    codes = code_of[ends]
    sent = np.arange(len(codes)) * (1_000_000 // RATE)
    sums = Accumulator(kinds, origin=0)
    sums.add(codes, sent, (requests.latencies * 1000).astype(np.int64))
    sums.add_in_order(codes, np.zeros(len(codes), np.int64))
    tolerance = min(0.02, scenario.weight / 2)
    question = Question(
        split, tolerance, max_failing=scenario.max_failing, requests=scenario.requests
    )
    return Run(
        question,
        Subject("http://gateway", elapsed=sums.elapsed),
        _counted(sums),
        Ending(decided=Verdict.MATCH),
        canary=CanaryLimits(scenario.max_p99_ratio, scenario.max_error_ratio),
    )


def _counted(sums: Accumulator) -> Counted:
    """Return what was counted, with the tally in one piece: the verdict is there already."""
    tally = sums.kinds.tally(sums.totals)
    return Counted(
        [Stretch(0, sums.elapsed, tally)],
        latency=sums.latency,
        order=sums.order(0),
        courses=sums.courses.courses,
    )


def piece(job: tuple[Scenario, int, int]) -> list[Judgement]:
    """Judge some of a scenario's runs, with a seed of their own."""
    scenario, runs, number = job
    rng = np.random.default_rng([zlib.crc32(scenario.name.encode()), number])
    return [judge(run_of(scenario, made(scenario, rng))) for _ in range(runs)]


def judgements(
    pool: Pool, scenarios: list[Scenario], runs: int
) -> Iterator[tuple[Scenario, list[Judgement]]]:
    """Yield each scenario with the judgements on its runs."""
    sizes = [min(PIECE, runs - start) for start in range(0, runs, PIECE)]
    jobs = []
    for scenario in scenarios:
        jobs += [(scenario, size, number) for number, size in enumerate(sizes)]
    results = pool.imap(piece, jobs)
    for scenario in scenarios:
        found: list[Judgement] = []
        for part in islice(results, len(sizes)):
            found += part
        yield scenario, found


def table(pool: Pool, title: str, scenarios: list[Scenario], runs: int) -> None:
    """Print how often a canary of each scenario is called worse, and each verdict."""
    print(f"{title}, {runs:,} runs")
    print(f"{'':48}{'called worse':24}{'match':>8}{'inconclusive':>14}{'failing':>9}")
    for scenario, found in judgements(pool, scenarios, runs):
        worse = sum("too slow:" in one.reason or "too often:" in one.reason for one in found)
        low, high = clopper_pearson(worse, runs, 0.05)
        verdicts = Counter(one.verdict for one in found)
        shares = {verdict: 100 * count / runs for verdict, count in verdicts.items()}
        interval = f"[{100 * low:.2f}, {100 * high:.2f}]"
        print(
            f"{scenario.name:48}{100 * worse / runs:6.2f} % {interval:15}"
            f"{shares.get(Verdict.MATCH, 0):8.1f}{shares.get(Verdict.INCONCLUSIVE, 0):14.1f}"
            f"{shares.get(Verdict.FAILING, 0):9.1f}",
            flush=True,
        )
    print()


def main(runs: int = RUNS) -> None:
    """Print all tables."""
    with multiprocessing.get_context("spawn").Pool() as pool:
        table(pool, "Just as good as is allowed", JUST_AS_GOOD, runs)
        table(pool, "At twice the limit, where a match is wrong", TWICE_THE_LIMIT, runs)
        table(pool, "Much worse than is allowed", MUCH_WORSE, max(runs // 10, 1))
        table(pool, "What becomes of a limit", LIMITS, max(runs // 10, 1))


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
