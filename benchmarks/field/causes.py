"""Causes of a split that is not as configured, and the names that the diagnosis gives them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field

from benchmarks.field.clocked import Clock, Latency, Timed, simulate_clocked
from benchmarks.field.requests import Load
from benchmarks.field.rows import asked, three
from benchmarks.field.simulation import Result, Setting, simulate
from benchmarks.field.situations import SIGMAS
from benchmarks.field.worlds import (
    Balancer,
    Cache,
    Changing,
    EachGateway,
    Failing,
    Independent,
    Sticky,
    World,
    green,
)
from trafficsplit.analysis.question import Question
from trafficsplit.analysis.split import Split

RUNS = 1000  # of each cause
FIRST_SEED = 5000
PIECES = 20  # into which the runs of a cause are cut at most
MOST_WRONG = 0.01
LEAST_RIGHT = 0.95
RATE = 1000.0  # requests a second: a cluster somewhere else, 16 ms away for 16 users
LOAD = Load(rate=RATE)
MOST_NAMES = 4  # of a cause that are printed

TUTORIAL = Split({"blue": 75, "green": 25})
FULL_POOLS = "HTTP 503 x-envoy-overloaded"
NO_PODS = "HTTP 503 no healthy upstream"


@dataclass(frozen=True)
class Cause:
    """A true cause, and the names that are right for it: any that contains one of `names`.

    Without names, none is certain: the right thing is to name no cause, and where `hints` are
    given, to say one of them in the summary. `tells` says that the counts can tell this cause from
    the others, so that it is to be named in most runs.
    """

    name: str
    setting: Setting
    names: Sequence[str] = ()
    hints: Sequence[str] = ()
    tells: bool = True
    clock: Clock | None = None

    def is_right(self, result: Result) -> bool:
        """Return whether what was said of a run is right, and says all that can be known."""
        if self.names:
            return any(name in result.cause for name in self.names)
        if result.cause:
            return False
        return not self.hints or any(hint in result.summary for hint in self.hints)

    def is_wrong(self, result: Result) -> bool:
        """Return whether a wrong cause was named."""
        return bool(result.cause) and not any(name in result.cause for name in self.names)


@dataclass(frozen=True)
class _Given:
    """What is known, and which question was asked."""

    question: Question = field(default_factory=asked)
    load: Load = LOAD
    previous: Split | None = None
    others: dict[str, Split] = field(default_factory=dict)
    variants: Sequence[str] = ()
    reason: str = "HTTP 503"
    status: int = 503

    def setting(self, world: World) -> Setting:
        """Return a setting with an inquiry."""
        return Setting(
            self.question,
            world,
            self.load,
            variants=self.variants,
            reason=self.reason,
            status=self.status,
            previous=self.previous,
            others=self.others,
            inquiry=True,
        )


def _losing(name: str, reason: str, status: int, world: World, *names: str) -> Cause:
    return Cause(name, _Given(reason=reason, status=status).setting(world), names)


def _of_shares() -> Iterator[Cause]:
    """Yield causes that show in the shares."""
    known = _Given(previous=Split({"blue": 100, "green": 0}))
    yield Cause("old weights 100/0 in force", known.setting(green(0)), ("the old weights",))
    known = _Given(previous=Split({"blue": 50, "green": 50}))
    half = known.setting(green(0.5))  # which replicas would give too
    yield Cause("old weights 50/50 in force", half, ("the old weights",), tells=False)
    known = _Given(previous=Split({"blue": 90, "green": 10}))
    yield Cause("old weights 90/10 in force", known.setting(green(0.1)), ("the old weights",))
    plain = _Given()
    yield Cause("everything to blue", plain.setting(green(0)), ("everything goes to blue",))
    yield Cause("everything to green", plain.setting(green(1)), ("everything goes to green",))
    yield Cause("swapped", plain.setting(green(0.75)), ("swapped",))
    yield Cause("equal shares", plain.setting(green(0.5)), ("by replica count",))
    route = _Given(others={"/color/v2": Split({"blue": 40, "green": 60})})
    yield Cause("another route's weights", route.setting(green(0.6)), ("another route",))
    small = _Given(asked(5))
    yield Cause("wrong total: 0.5 for 5 %", small.setting(green(0.005)), ("wrong total",))
    yield Cause(
        "a weight per pod, 2 pods", plain.setting(green(0.4)), hints=("per pod", "every pod")
    )
    yield Cause("an unknown split of 55/45", plain.setting(green(0.45)), hints=("55/45",))
    zero = _Given(asked(0))
    yield Cause("rollback, still 75/25", zero.setting(green(0.25)), hints=("75/25",))
    zero = _Given(asked(0), previous=TUTORIAL)
    yield Cause("rollback, still as before", zero.setting(green(0.25)), ("the old weights",))
    for share in (0.127, 0.317, 0.43):
        yield Cause(f"something else: {100 * share:g} %", plain.setting(green(share)))
    colors = _Given(three())
    yield Cause("three, red gets nothing", colors.setting(Independent((0.625, 0.375, 0))), ("red",))
    swapped = Independent((0.5, 0.2, 0.3))
    yield Cause("three, two swapped", colors.setting(swapped), ("green and red are swapped",))
    renamed = _Given(variants=("blue", "teal"))
    yield Cause("green answers as teal", renamed.setting(green(0.25)), ("green answers as teal",))


def _of_losses() -> Iterator[Cause]:
    """Yield causes of lost requests."""
    down = Failing(green(0.25), 1, 1)
    yield _losing("green has no pods", NO_PODS, 503, down, "no pods are ready")
    yield _losing("green is down", "HTTP 503", 503, down, "green is down")
    half = Failing(green(0.25), 1, 0.3)
    yield _losing("green fails 30 %", "HTTP 500", 500, half, "green is failing")
    every = Failing(Failing(green(0.25), 1, 0.4), 0, 0.4)
    yield _losing("all variants fail 40 %", "HTTP 500", 500, every, "all variants fail")
    fault = "HTTP 503 fault filter abort"
    yield _losing("fault injection, 40 %", fault, 503, every, "a fault is injected")
    yield _losing("green's pools are full", FULL_POOLS, 503, half, "the connection pools are full")
    yield _losing("green times out", "HTTP 504", 504, half, "green is too slow")
    yield _losing("a rate limit", "HTTP 429", 429, every, "a rate limit")


def _of_time_and_place() -> Iterator[Cause]:
    """Yield causes that show in order, in time, by gateway or by connection."""
    plain = _Given()
    yield Cause(
        "the weights are changed at 3,000",
        plain.setting(Changing(((0, green(0.25)), (3000, green(0.6))))),
        ("the shares changed during the run",),
    )
    yield Cause(
        "not in force until 100",
        plain.setting(Changing(((0, green(0)), (100, green(0.25))))),
        ("came into force",),
    )
    old = _Given(asked(gateways=4), Load(rate=RATE, gateways=4), Split({"blue": 100, "green": 0}))
    stale = EachGateway([green(0), *[green(0.25)] * 3])
    yield Cause("1 of 4 addresses is stale", old.setting(stale), ("gateway-1 still has",))
    two = _Given(asked(gateways=2), Load(rate=RATE, gateways=2))
    unlike = EachGateway([green(0.4), green(0.1)])
    yield Cause("2 addresses, both off", two.setting(unlike), ("the gateways differ",))
    old = _Given(previous=Split({"blue": 100, "green": 0}))
    replicas = Balancer([green(0), green(0), *[green(0.25)] * 6])
    yield Cause(
        "2 of 8 replicas are stale",
        old.setting(replicas),
        ("the gateways differ", "some gateway replicas"),
        tells=False,
    )
    yield Cause("connections stick", plain.setting(Sticky((0.75, 0.25))), ("sticky",))
    yield Cause(
        "a cache of 0.5 s",
        plain.setting(Cache(green(0.25), 0.5)),
        ("draws in clusters", "a cache"),
    )
    slow = Timed([green(0.4)], Latency((0.014, 0.021)))
    yield Cause(
        "least connections: green is slower",
        plain.setting(slow),
        hints=("the faster variant", "60/40"),
        clock=Clock(),
    )


def causes() -> list[Cause]:
    """Return all causes, each of another name."""
    return [*_of_shares(), *_of_losses(), *_of_time_and_place()]


# --- the table ---


def work(job: tuple[int, range]) -> list[Result]:
    """Return how some runs of a cause ended: its number, and their seeds."""
    cause = causes()[job[0]]
    if cause.clock:
        return [simulate_clocked(cause.setting, cause.clock, seed) for seed in job[1]]
    return [simulate(cause.setting, seed) for seed in job[1]]


def _pieces(runs: int) -> list[range]:
    step = max(runs // PIECES, 1)
    last = FIRST_SEED + runs
    return [range(first, min(first + step, last)) for first in range(FIRST_SEED, last, step)]


def line_of(cause: Cause, results: Sequence[Result]) -> tuple[str, bool]:
    """Return what is printed of a cause, and whether it is named as it must be."""
    runs = len(results)
    right = sum(map(cause.is_right, results)) / runs
    wrong = sum(map(cause.is_wrong, results)) / runs
    slack = SIGMAS / runs**0.5
    holds = wrong <= MOST_WRONG + slack * (MOST_WRONG * (1 - MOST_WRONG)) ** 0.5
    if cause.tells:
        holds &= right >= LEAST_RIGHT - slack * (LEAST_RIGHT * (1 - LEAST_RIGHT)) ** 0.5
    given = Counter(result.cause or f"({result.summary[:60]})" for result in results)
    said = "; ".join(f"{100 * n / runs:.1f} {name}" for name, n in given.most_common(MOST_NAMES))
    word = "yes" if holds else "NO"
    return f"{cause.name:38}{100 * right:>7.1f}{100 * wrong:>7.1f}  {word:5}{said}", holds


def print_causes(pool: Executor, runs: int) -> bool:
    """Print how each cause is named, in per cent of the runs; return whether all is as it must."""
    runs = runs or RUNS
    print(f"causes and the names that they are given, {runs:,} runs each, in per cent")
    print(f"{'the true cause':38}{'right':>7}{'wrong':>7}  holds")
    every = causes()
    pieces = _pieces(runs)
    jobs = [(number, seeds) for number in range(len(every)) for seeds in pieces]
    results = pool.map(work, jobs)
    all_hold = True
    for cause in every:
        of_cause: list[Result] = []
        for _ in pieces:
            of_cause += next(results)
        line, holds = line_of(cause, of_cause)
        all_hold &= holds
        print(line, flush=True)
    return all_hold
