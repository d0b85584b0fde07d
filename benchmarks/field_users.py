"""The share of users: simulated gateways that are sticky on purpose, through the test of a run.

    python -m benchmarks.field_users [RUNS] [--jobs 2]

Each line is a gateway: verdicts in per cent of the runs, median and 90th percentile of the users
until the verdict, what must hold, and whether it does. A frequency may be two standard errors
beyond its limit. Everything is seeded: the same figures come out again.
"""

from __future__ import annotations

import argparse
import math
import multiprocessing
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial

import numpy as np

from trafficsplit.analysis.question import Question
from trafficsplit.analysis.split import Split
from trafficsplit.analysis.user_simulation import (
    EACH,
    Dealt,
    Numbers,
    OneWay,
    Several,
    Sticky,
    UsersGateway,
    verdict_on,
)
from trafficsplit.analysis.verdict import Verdict

RUNS = 200
SEED = 14
WRONG = 0.01
PIECES = 8  # into which the runs of a situation are cut
SHOWN = (Verdict.MATCH, Verdict.MISMATCH, Verdict.INCONCLUSIVE, Verdict.FAILING)


@dataclass(frozen=True)
class Limit:
    """A verdict that comes in at most, or at least, a part of the runs."""

    verdict: Verdict
    part: float
    at_least: bool = False

    def holds(self, found: Sequence[Verdict]) -> bool:
        """Return whether it holds, with two standard errors in its favour."""
        seen = found.count(self.verdict) / len(found)
        spare = 2 * math.sqrt(self.part * (1 - self.part) / len(found))
        if self.at_least:
            return seen >= self.part - spare
        return seen <= self.part + spare

    def __str__(self) -> str:
        sign = "≥" if self.at_least else "≤"
        return f"{self.verdict} {sign} {100 * self.part:g} %"


NO_MATCH = (Limit(Verdict.MATCH, WRONG),)
NO_MISMATCH = (Limit(Verdict.MISMATCH, WRONG),)
FINE = (Limit(Verdict.MATCH, 0.98, at_least=True), *NO_MISMATCH)
FOUND = (Limit(Verdict.MISMATCH, 0.99, at_least=True), *NO_MATCH)


@dataclass(frozen=True)
class Situation:
    """A gateway and its question: green's weight and the tolerance, in points."""

    name: str
    gateway: UsersGateway
    limits: Sequence[Limit]
    weight: float = 25
    tolerance: float = 2
    most: int = 20_000  # users
    gateways: int = 1

    @property
    def question(self) -> Question:
        """The question of a run."""
        split = Split({"blue": 100 - self.weight, "green": self.weight})
        return Question(
            split,
            self.tolerance / 100,
            requests=EACH * self.most,
            user_requests=EACH,
            gateways=self.gateways,
        )


def step(numbers: Numbers, at: float, before: float, after: float) -> Numbers:
    """Return shares that change at once."""
    return np.where(numbers < at, before, after)


def ramp(numbers: Numbers, until: float, first: float, last: float) -> Numbers:
    """Return shares that drift from one to another, and stay there."""
    return first + (last - first) * np.minimum(numbers / until, 1.0)


SITUATIONS = (
    Situation("25 ± 2, as configured", Sticky(0.25), FINE),
    Situation("10 ± 2, as configured", Sticky(0.10), FINE, weight=10),
    Situation("dealt in turn (HAProxy)", Dealt(), FINE, most=12_000),
    Situation("dealt in blocks of 75 and 25", Dealt(75, 25), FINE, most=12_000),
    Situation("0.01 % of the requests are lost", Sticky(0.25, loss=1e-4), NO_MISMATCH),
    Situation("at the edge, 27 %", Sticky(0.27), (*NO_MATCH, *NO_MISMATCH), most=9_000),
    Situation("3 points off, 28 %", Sticky(0.28), NO_MATCH, most=12_000),
    Situation("3 points off, 22 %", Sticky(0.22), NO_MATCH, most=12_000),
    Situation("flips: 0.5 % of the requests", Sticky(0.25, flip=0.005), FOUND),
    Situation("flips: 0.5 % of the users", Sticky(0.25, flip=0.0025), FOUND),
    Situation("not sticky at all", Sticky(0.25, flip=0.5), FOUND),
    Situation("10 %, and the canary keeps its users only", OneWay(0.10), FOUND, weight=10),
    Situation(
        "10 % that becomes 100 %",
        Sticky(partial(ramp, until=9e3, first=0.1, last=1.0)),
        FOUND,
        weight=10,
    ),
    Situation("20 %, then 30 %", Sticky(partial(step, at=1e3, before=0.2, after=0.3)), NO_MATCH),
    Situation("25 %, then 10 %", Sticky(partial(step, at=4.5e3, before=0.25, after=0.1)), FOUND),
    Situation(
        "20 to 30 %, slowly", Sticky(partial(ramp, until=6e3, first=0.2, last=0.3)), NO_MATCH
    ),
    Situation(
        "two gateways, 29 and 21 %", Several([Sticky(0.29), Sticky(0.21)]), NO_MATCH, gateways=2
    ),
)


@dataclass(frozen=True)
class Job:
    """Some runs of a situation."""

    situation: int
    runs: range


def work(job: Job) -> list[tuple[Verdict, int]]:
    """Return the verdict of each run of a job, and its users."""
    situation = SITUATIONS[job.situation]
    found = []
    for run in job.runs:
        seed = (SEED, job.situation, run)
        found.append(verdict_on(situation.question, situation.gateway, seed, situation.most))
    return found


def jobs_of(runs: int) -> Iterator[Job]:
    """Yield the jobs of all situations, in order."""
    size = max(math.ceil(runs / PIECES), 1)
    for number in range(len(SITUATIONS)):
        for first in range(0, runs, size):
            yield Job(number, range(first, min(first + size, runs)))


def line_of(situation: Situation, found: Sequence[tuple[Verdict, int]]) -> tuple[str, bool]:
    """Return the line of a situation, and whether all of its limits hold."""
    verdicts = [verdict for verdict, _ in found]
    users = [number for verdict, number in found if verdict is not Verdict.INCONCLUSIVE]
    parts = [f"{100 * verdicts.count(verdict) / len(found):6.1f}" for verdict in SHOWN]
    middle, late = np.quantile(users, [0.5, 0.9]) if users else (math.nan, math.nan)
    holds = all(limit.holds(verdicts) for limit in situation.limits)
    must = ", ".join(map(str, situation.limits))
    numbers = f"{middle:8,.0f} {late:8,.0f}"
    return (
        f"{situation.name:42}{''.join(parts)} {numbers}  {must}: {'holds' if holds else 'FAILS'}",
        holds,
    )


def main(arguments: Sequence[str]) -> int:
    """Print a line for each situation; return 1 where something does not hold."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.field_users")
    parser.add_argument("runs", nargs="?", type=int, default=RUNS, help="of each situation")
    parser.add_argument("--jobs", type=int, default=2, help="processes")
    options = parser.parse_args(arguments)
    began = time.monotonic()
    heading = f"users, {options.runs} runs each"
    print(f"{heading:42} match mism. incon.  fail.   median     90 %")
    jobs = list(jobs_of(options.runs))
    all_hold = True
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(options.jobs, spawn) as pool:
        done: dict[int, list[tuple[Verdict, int]]] = {}
        for job, found in zip(jobs, pool.map(work, jobs), strict=True):
            runs = done.setdefault(job.situation, [])
            runs += found
            if len(runs) == options.runs:
                line, holds = line_of(SITUATIONS[job.situation], runs)
                print(line, flush=True)
                all_hold &= holds
    print(f"{time.monotonic() - began:,.0f} s")
    return 0 if all_hold else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
