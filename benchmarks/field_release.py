"""One alpha for a release: simulated releases of ten steps, through the code that `rollout` runs.

    python -m benchmarks.field_release [RELEASES]

The walk, its state, its settings, its spending and the planner are the real ones. Most
verifications are made many at a time, by the evidence of the sequential test after every response;
it is checked first that this says what the test says. Some rows have the test itself, looked at
whenever its verdict could change, or the whole judge.

The source of weights and the gateway are simulated, with independent draws. What is off is off by
exactly one tolerance, where it is likeliest to be passed, and a release with such a step begins
there: the good steps before it only take time. Everything is seeded: the same figures come out
again.
"""

from __future__ import annotations

import math
import multiprocessing
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import chain
from multiprocessing.pool import Pool
from pathlib import Path
from unittest.mock import patch

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from benchmarks.field.simulation import Setting, simulate
from benchmarks.field.worlds import Independent
from trafficsplit.analysis.evidence import Mixture, edges
from trafficsplit.analysis.fixed import clopper_pearson
from trafficsplit.analysis.match_evidence import EdgeEvidence
from trafficsplit.analysis.mismatch_evidence import FIRST_RESTART, RESTARTS_MASS
from trafficsplit.analysis.planning import planned
from trafficsplit.analysis.question import Question
from trafficsplit.analysis.run import Run, Subject
from trafficsplit.analysis.sequential import SequentialTest
from trafficsplit.analysis.sides import mismatch_threshold
from trafficsplit.analysis.split import Split
from trafficsplit.analysis.verdict import Judgement, Verdict
from trafficsplit.report.document import document_of
from trafficsplit.rollout.spending import Spent
from trafficsplit.rollout.state import FINISHED, GOING_BACK, Plan, Release
from trafficsplit.rollout.time_to_effect import Effect, Transition
from trafficsplit.rollout.walk import Walk
from trafficsplit.settings.commands import SourceSettings
from trafficsplit.settings.question import Limits
from trafficsplit.settings.verify import VerifySettings
from trafficsplit.verification import Occasion
from trafficsplit.weights.sources import GatewayLocation

RELEASES = 10_000
BATCH = 64  # verifications at a time
PIECE = 250  # releases that one process simulates in a go, at most
STEPS = (30.0, 35.0, 40.0, 45.0, 50.0, 55.0, 60.0, 65.0, 70.0, 100.0)
BEFORE = {"blue": 100.0, "green": 0.0}
WIDE = 0.25  # the tolerance with which a release takes milliseconds
USUAL = 0.02
FAR = 2.0  # tolerances
NEVER = 2**62  # requests until something that does not happen
DOCUMENT = document_of(
    Run(Question(Split(BEFORE), USUAL), Subject("gateway", started_at="2026-01-01T00:00:00+00:00")),
    Judgement(Verdict.MATCH, ""),
)

Shares = Mapping[str, float]
Drive = Callable[[Question, Shares, float, Generator], tuple[Verdict, int]]


@dataclass(frozen=True)
class World:
    """The gateway of a release: how far its shares are off, in tolerances, and what is lost.

    `way` is about a random step and all after it, `back` about the way back. Where it `holds`, the
    release is continued after an inconclusive step, `tries` times in all; else it goes back.
    `from_the_start` walks the good steps before, too.
    """

    way: float = 0.0
    back: float = 0.0
    lost: float = 0.0
    holds: bool = False
    tries: int = 1
    from_the_start: bool = False


@dataclass
class Outcome:
    """How one release went.

    `passed` says that weights were verified that were not in force, `stopped` that a verification
    of a gateway as configured, or within its tolerance, came to a mismatch or failing, and `whole`
    that every step was verified.
    """

    passed: bool = False
    stopped: bool = False
    whole: bool = False
    requests: int = 0


class Unwritten(Release):
    """A release whose state is kept in memory only."""

    def write(self) -> None:
        """Write nothing."""


class Source:
    """Keeps the weights that were set last, in per cent."""

    def __init__(self) -> None:
        self._weights: Mapping[str, float] = BEFORE

    def split(self) -> Split:
        """Return the weights."""
        return Split(self._weights)

    def others(self) -> Mapping[str, Split]:
        """Return the weights of other routes: there are none."""
        return {}

    def set(self, weights: Mapping[str, float], *, dry_run: bool = False) -> str:
        """Set weights."""
        self._weights = weights
        return ""

    def set_at(self) -> str:
        """Return nothing."""
        return ""

    def last_change(self) -> str:
        """Return nothing."""
        return ""

    def gateway(self) -> GatewayLocation:
        """Return where the gateway is said to be."""
        return GatewayLocation(("http://gateway",))


class Simulation:
    """One release in a world."""

    def __init__(self, world: World, tolerance: float, rng: Generator, drive: Drive) -> None:
        self._world = world
        self._drive = drive
        self._rng = rng
        self._sign = 1 if rng.random() < 0.5 else -1
        self._step = int(rng.integers(len(STEPS)))  # the first that is off
        self._outcome = Outcome()
        limits = Limits(tolerance=tolerance)
        plan = Plan(
            variant="green",
            steps=STEPS,
            before=BEFORE,
            source=SourceSettings(),
            verification=VerifySettings((), Split(BEFORE), limits),
        )
        self._release = Unwritten(Path(), plan, BEFORE)
        if world.way and not world.from_the_start:
            self._release.index = self._step
            self._release.spent = Spent(self._step, 0)

    def run(self) -> Outcome:
        """Walk the release to its end, and return how it went."""
        with (
            patch("trafficsplit.rollout.walk.verify", self._verify),
            patch("trafficsplit.rollout.walk.observe", _observe),
        ):
            source = Source()
            for _ in range(self._world.tries):
                if self._release.phase == FINISHED:
                    break
                Walk(self._release, source, yes=not self._world.holds).onward()
        self._outcome.whole = self._release.index == len(STEPS)
        return self._outcome

    def _verify(self, settings: VerifySettings, _: Occasion) -> object:
        """Stand for a verification."""
        question = settings.question
        off = self._off
        shares = _off(question, off * self._sign)
        verdict, requests = self._drive(question, shares, self._world.lost, self._rng)
        outcome = self._outcome
        outcome.requests += requests
        # At exactly one tolerance either verdict is a wrong one; one answer of weight 0 is not.
        fine = abs(off) < 1 or (abs(off) == 1 and 0 < question.split["green"] < 1)
        outcome.passed |= abs(off) >= 1 and verdict is Verdict.MATCH
        outcome.stopped |= fine and verdict in (Verdict.MISMATCH, Verdict.FAILING)
        return replace(DOCUMENT, verdict=verdict, requests=requests)

    @property
    def _off(self) -> float:
        """How far the shares are off now, in tolerances."""
        if self._release.phase == GOING_BACK:
            return self._world.back
        if self._release.index < self._step:
            return 0.0
        return self._world.way


def _observe(_: VerifySettings, transition: Transition, *__: object, **___: object) -> Effect:
    """Stand for a run that sees the change."""
    transition.make()
    return Effect()


def _off(question: Question, tolerances: float) -> Shares:
    """Return the shares of a gateway that is off by some of its tolerance."""
    green = question.split["green"]
    away = tolerances * question.tolerance_of("green")
    if green in (0.0, 1.0):  # which is off in one direction only
        away = abs(away) * (1 - 2 * green)
    return {"blue": 1 - green - away, "green": green + away}


class Batches:
    """Verdicts of verifications without losses and of few requests, made many at a time."""

    def __init__(self) -> None:
        self._ready: dict[tuple[Question, tuple[float, ...]], list[tuple[Verdict, int]]] = {}

    def __call__(
        self, question: Question, shares: Shares, lost: float, rng: Generator
    ) -> tuple[Verdict, int]:
        """Return the verdict on a simulated gateway, and the requests; none is used twice."""
        of_weight_0 = 0 in question.split.weights.values()
        if lost or (question.requests >= FIRST_RESTART and not of_weight_0):
            return by_test(question, shares, lost, rng)
        names = tuple(shares[variant] for variant in question.split)
        ready = self._ready.setdefault((question, names), [])
        if not ready:
            ready += in_batch(question, names, rng)
        return ready.pop()


def in_batch(
    question: Question, shares: Sequence[float], rng: Generator
) -> list[tuple[Verdict, int]]:
    """Return the verdicts on some runs at a gateway, each with its requests."""
    if 0 in question.split.weights.values():
        return _of_weight_0(question, shares, rng)
    streams = rng.choice(len(shares), size=(BATCH, question.requests), p=shares)
    return of_streams(question, streams)


def _of_weight_0(
    question: Question, shares: Sequence[float], rng: Generator
) -> list[tuple[Verdict, int]]:
    """Return verdicts where all is to go to one variant: the first other answer is a mismatch."""
    needed = question.requests_for_zero
    share = shares[list(question.split.weights.values()).index(0)]
    if not share:
        return [(Verdict.MATCH, needed)] * BATCH
    first = rng.geometric(share, size=BATCH).tolist()
    verdicts = []
    for n in first:
        verdict = Verdict.MATCH if n > needed else Verdict.MISMATCH
        verdicts.append((verdict, min(n, needed)))
    return verdicts


def of_streams(question: Question, streams: NDArray[np.int64]) -> list[tuple[Verdict, int]]:
    """Return the verdicts on streams of variants, by evidence after every response."""
    weights = list(question.split.weights.values())
    band = edges(weights, question.tolerance)
    match = EdgeEvidence(band, weights, question.tolerance)
    mismatch = Mixture(len(weights), band)
    counts = np.zeros((len(streams), len(weights)))
    passed = np.zeros((len(streams), len(band)), bool)
    verdicts = [(Verdict.INCONCLUSIVE, question.requests)] * len(streams)
    going = np.arange(len(streams))
    for n in range(1, question.requests + 1):
        counts[going, streams[going, n - 1]] += 1
        against = mismatch.log_evidence(counts[going]) + math.log(1 - RESTARTS_MASS)
        against = np.logaddexp(against, math.log(RESTARTS_MASS))  # not begun yet, which is 1
        off = against >= mismatch_threshold(question)
        of_edges = match.log_evidence(counts[going], np.zeros(len(going)))
        passed[going] |= of_edges >= math.log(1 / question.alpha)
        fine = passed[going].all(axis=1) & ~off
        for run in going[off].tolist():
            verdicts[run] = (Verdict.MISMATCH, n)
        for run in going[fine].tolist():
            verdicts[run] = (Verdict.MATCH, n)
        going = going[~off & ~fine]
        if not len(going):
            break
    return verdicts


def check_batches() -> None:
    """Hold verdicts in batches against those of the sequential test, on the same streams."""
    rng = np.random.default_rng(3)
    split = Split({"blue": 0.6, "green": 0.4})
    limits = Limits(tolerance=WIDE, alpha=0.006, mismatch_alpha=0.003)
    question = limits.question(split)
    for share in (0.4, 0.2, 0.65, 0.8):
        streams = rng.choice(2, size=(BATCH, question.requests), p=(1 - share, share))
        for stream, found in zip(streams, of_streams(question, streams), strict=True):
            test = SequentialTest.of(question)
            sent = 0
            while test.verdict is Verdict.INCONCLUSIVE and sent < question.requests:
                green = int(stream[sent])
                test.update({"blue": 1 - green, "green": green})
                sent += 1
            assert (test.verdict, sent) == found


def by_judge(
    question: Question, shares: Shares, lost: float, rng: Generator
) -> tuple[Verdict, int]:
    """Return the verdict of the whole judge on a simulated gateway, and the requests."""
    assert not lost, "losses are for the test alone"
    world = Independent([shares[variant] for variant in question.split])
    result = simulate(Setting(question, world), int(rng.integers(2**62)))
    return result.verdict, result.requests


def by_test(question: Question, shares: Shares, lost: float, rng: Generator) -> tuple[Verdict, int]:
    """Return the verdict of the sequential test on a simulated gateway, and the requests.

    `least_more` leaves out what ends a run at once: lost requests, and answers of weight 0. The
    number of requests until the next of these is drawn apart.
    """
    draws = _Draws(question.split, shares, lost, rng)
    test = SequentialTest.of(question)
    sent = 0
    while test.verdict is Verdict.INCONCLUSIVE and sent < question.requests:
        counts, errors = draws.next(min(test.least_more, question.requests - sent))
        sent += sum(counts.values()) + errors
        test.update(counts, errors=errors)
    return test.verdict, sent


class _Draws:
    """Independent draws: so many responses, or fewer if a special one comes before."""

    def __init__(self, split: Split, shares: Shares, lost: float, rng: Generator) -> None:
        self._rng = rng
        self._names = list(split)
        drawn = np.array([shares[name] for name in split]) * (1 - lost)
        at_once = np.array([split[name] == 0 for name in split])
        special = np.append(np.where(at_once, drawn, 0.0), lost)
        self._often = float(special.sum())
        self._special = special / max(self._often, 1e-300)
        self._plain = np.where(at_once, 0.0, drawn) / (1 - self._often)
        self._until = self._next()

    def _next(self) -> int:
        return int(self._rng.geometric(self._often)) if self._often else NEVER

    def next(self, most: int) -> tuple[dict[str, int], int]:
        """Return the counts of the next responses, `most` of them at most, and the errors."""
        plain = min(most, self._until - 1)
        counts = self._rng.multinomial(plain, self._plain)
        errors = 0
        self._until -= plain
        if plain < most:
            which = self._rng.multinomial(1, self._special)
            counts = counts + which[:-1]
            errors = int(which[-1])
            self._until = self._next()
        return dict(zip(self._names, counts.tolist(), strict=True)), errors


@contextmanager
def quickly() -> Iterator[None]:
    """Plan each question once, and say and write nothing."""
    with (
        patch("trafficsplit.settings.question.planned", lru_cache(4096)(planned)),
        patch("trafficsplit.rollout.walk.say"),
        patch("trafficsplit.rollout.walk._write_timeline"),
    ):
        yield


@contextmanager
def full_alpha() -> Iterator[None]:
    """Give every verification the full alpha, as in version 0.1."""
    with patch("trafficsplit.rollout.state.limits_of_next", lambda limits, *_, **__: limits):
        yield


@dataclass(frozen=True)
class Row:
    """A world, the event that is to be rare in it, and how many releases are worth their time."""

    name: str
    world: World
    event: Callable[[Outcome], bool]
    part: int = 1  # of the releases
    tolerance: float = WIDE
    drive: Drive | None = None


def passed(outcome: Outcome) -> bool:
    """Return whether weights were verified that were not in force."""
    return outcome.passed


def stopped(outcome: Outcome) -> bool:
    """Return whether a gateway within its tolerance was a mismatch or failing."""
    return outcome.stopped


def not_whole(outcome: Outcome) -> bool:
    """Return whether a release did not come to its end, for whatever reason."""
    return not outcome.whole


ROWS = (
    Row("as configured: not every step verified", World(), not_whole),
    Row("… by the test itself", World(), not_whole, 20, drive=by_test),
    Row("… by the whole judge", World(), not_whole, 100, drive=by_judge),
    Row("… at a tolerance of 2 points", World(), not_whole, 400, USUAL),
    Row("a step and all after it off: passed", World(1), passed),
    Row("… by the test itself", World(1), passed, 10, drive=by_test),
    Row("… by the whole judge", World(1), passed, 40, drive=by_judge),
    Row("… at a tolerance of 2 points", World(1), passed, 40, USUAL),
    Row("… and continued three times", World(1, holds=True, tries=4), passed, 4),
    Row("a step far off, and the way back off: passed", World(FAR, 1), passed),
    Row("at the edge, eleven tries: stopped", World(1, holds=True, tries=11), stopped, 5),
    Row(
        "… and as many lost as may be: stopped",
        World(lost=0.01, holds=True, tries=11),
        stopped,
        200,
    ),
)
COSTS = (
    ("as configured", World(), WIDE, 10),
    ("as configured, at a tolerance of 2 points", World(), USUAL, 400),
    ("a step off by two tolerances", World(FAR, from_the_start=True), WIDE, 10),
    ("… at a tolerance of 2 points", World(FAR, from_the_start=True), USUAL, 400),
)


@dataclass(frozen=True)
class Job:
    """Releases that one process simulates in a go."""

    world: World
    tolerance: float
    drive: Drive | None
    full: bool
    seeds: range


def simulated(job: Job) -> list[Outcome]:
    """Return how the releases of a job went."""
    drive = job.drive or Batches()
    with quickly(), full_alpha() if job.full else nullcontext():
        return [
            Simulation(job.world, job.tolerance, np.random.default_rng(seed), drive).run()
            for seed in job.seeds
        ]


def releases(
    pool: Pool,
    world: World,
    tolerance: float,
    number: int,
    drive: Drive | None = None,
    *,
    full: bool = False,
) -> list[Outcome]:
    """Return how a number of releases went, with the `full` alpha a step where that is asked."""
    size = min(PIECE, math.ceil(number / 2))
    jobs = [
        Job(world, tolerance, drive, full, range(start, min(start + size, number)))
        for start in range(0, number, size)
    ]
    return list(chain.from_iterable(pool.imap(simulated, jobs)))


def errors(pool: Pool, number: int) -> None:
    """Print how often each event was."""
    print(f"{'alpha 1 % for a release of ten steps':50}{'releases':>9}{'events':>8}   per cent")
    for row in ROWS:
        some = number // row.part
        found = releases(pool, row.world, row.tolerance, some, row.drive)
        seen = sum(map(row.event, found))
        low, high = clopper_pearson(seen, some, 0.05)
        print(
            f"{row.name:50}{some:>9,}{seen:>8,}   {100 * seen / some:.2f} "
            f"[{100 * low:.2f}, {100 * high:.2f}]",
            flush=True,
        )


def costs(pool: Pool, number: int) -> None:
    """Print the requests of a release beside those of one whose steps have the full alpha each."""
    print(f"{'requests of a release (mean)':50}{'one alpha':>10}{'alpha a step':>13}")
    for name, world, tolerance, part in COSTS:
        some = number // part
        own = _mean_requests(releases(pool, world, tolerance, some))
        full = _mean_requests(releases(pool, world, tolerance, some, full=True))
        print(f"{name:50}{own:>10,.0f}{full:>13,.0f}{own / full:8.2f} ×", flush=True)


def _mean_requests(outcomes: Sequence[Outcome]) -> float:
    return float(np.mean([outcome.requests for outcome in outcomes]))


def main(number: int = RELEASES) -> None:
    """Print both tables."""
    began = time.monotonic()
    check_batches()
    with multiprocessing.get_context("spawn").Pool() as pool:
        errors(pool, number)
        print()
        costs(pool, number)
    print(f"\n{time.monotonic() - began:.0f} s", file=sys.stderr)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
