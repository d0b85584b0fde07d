"""A run: all that was counted, as the load hands it on and every later stage takes it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from trafficsplit.analysis.fixed import clopper_pearson
from trafficsplit.analysis.order import Order
from trafficsplit.analysis.question import Question
from trafficsplit.analysis.sequential import SequentialTest
from trafficsplit.analysis.split import Split
from trafficsplit.analysis.tally import Tally
from trafficsplit.analysis.verdict import Verdict


@dataclass(frozen=True)
class Stretch:
    """What was sent between two points in time, in seconds since the start, and how it ended."""

    start: float
    end: float
    tally: Tally


@dataclass(frozen=True)
class Gateway:
    """One of several gateways: by time, what was sent to it, and what its order says."""

    name: str
    stretches: Sequence[Stretch]
    order: Order = field(default_factory=Order)

    @property
    def tally(self) -> Tally:
        """The sum of its stretches."""
        return sum((stretch.tally for stretch in self.stretches), Tally())


@dataclass(frozen=True)
class LatencyKey:
    """Whose latencies, and how answered: `status` is `2xx` … `5xx`, or `none` without an answer.

    `variant` is empty for requests that name none.
    """

    variant: str
    status: str


@dataclass(frozen=True)
class Sender:
    """How well the sending side kept up.

    `client` is what sent, in `processes`, of which `lost` were lost with what they had not yet
    told. `cpu` is the busiest process's share of one core, `lag` the 99th percentile of how late
    its event loop was, in seconds. On a schedule, `rate` was asked for, in requests a second, and
    `achieved`; `late` requests had to wait for a free connection.
    """

    client: str = "engine"
    processes: int = 1
    lost: int = 0
    cpu: float = 0.0
    lag: float = 0.0
    rate: float = 0.0
    achieved: float = 0.0
    late: int = 0

    @classmethod
    def of_workers(cls, workers: Iterable[Sender], lost: int) -> Sender:
        """Return several processes as one."""
        every = list(workers)
        return cls(
            client=every[0].client if every else "engine",
            processes=len(every),
            lost=lost,
            cpu=max((one.cpu for one in every), default=0.0),
            lag=max((one.lag for one in every), default=0.0),
            rate=math.fsum(one.rate for one in every),
            achieved=math.fsum(one.achieved for one in every),
            late=sum(one.late for one in every),
        )


@dataclass(frozen=True)
class CanaryLimits:
    """How many times worse than the baseline a canary may be; None where that is not asked."""

    max_p99_ratio: float | None = None
    max_error_ratio: float | None = None


@dataclass(frozen=True)
class Subject:
    """What was asked, when, and by what command.

    `started_at` is ISO 8601 in UTC, `elapsed` and `settle` are seconds: what was sent in the first
    `settle` seconds is left out. `unit` is what a draw is: a `request`, or a `session` (a new
    connection without cookies). `run_id` tells runs apart.
    """

    host: str
    path: str = ""
    unit: str = "request"
    users: int = 0
    started_at: str = ""
    elapsed: float = 0.0
    settle: float = 0.0
    command: str = ""
    run_id: str = ""


@dataclass(frozen=True)
class Counted:
    """What came back, by time and by latency, and what the order of sending says.

    `latency` has buckets of `analysis.latency`, `losses` the reasons of errors and unidentified
    responses; `gateways` is empty where there is one; `cached` counts the responses that came out
    of a cache.
    """

    stretches: Sequence[Stretch] = ()
    latency: Mapping[LatencyKey, Mapping[int, int]] = field(default_factory=dict)
    losses: Mapping[str, int] = field(default_factory=dict)
    order: Order = field(default_factory=Order)
    gateways: Sequence[Gateway] = ()
    cached: int = 0


@dataclass(frozen=True)
class Ending:
    """How a run ended. Each text is empty where it does not apply.

    `decided` is the verdict that the sequential test reached while the run went on. `interrupted`
    says what ended the run before its time, `unreachable` why the gateway could not be asked at
    all, `unrecorded` why not every request was recorded that was to be, and `broken` how we failed
    ourselves, in which case there is no verdict.
    """

    decided: Verdict | None = None
    interrupted: str = ""
    unreachable: str = ""
    unrecorded: str = ""
    broken: str = ""


@dataclass(frozen=True)
class SourceReading:
    """Where the weights are configured, and what that said after the run.

    `reread` is None where it was not asked, or where it could not be read, as `unread` says.
    """

    name: str
    reread: Split | None = None
    unread: str = ""


@dataclass(frozen=True)
class Run:
    """One run against a gateway, or several.

    `previous` are the weights before the change that is verified, where they are known; `source`
    is None where the weights came from the command line.
    """

    question: Question
    subject: Subject
    counted: Counted = field(default_factory=Counted)
    ending: Ending = Ending()
    sender: Sender = Sender()
    canary: CanaryLimits = CanaryLimits()
    previous: Split | None = None
    source: SourceReading | None = None

    @property
    def tally(self) -> Tally:
        """The sum of all stretches; every variant of the split is in it."""
        total = Tally(dict.fromkeys(self.question.split, 0))
        for stretch in self.counted.stretches:
            total += stretch.tally
        return total

    @property
    def gateways(self) -> Sequence[Gateway]:
        """All gateways, also where there is only one."""
        counted = self.counted
        return counted.gateways or [Gateway(self.subject.host, counted.stretches, counted.order)]

    def interval(self, variant: str) -> tuple[float, float]:
        """Return the 1 − alpha interval of a variant's share, of the kind that goes with the test.

        A confidence sequence for the sequential test, Clopper and Pearson's for the fixed one.
        """
        question = self.question
        tally = self.tally
        if question.test == "fixed":
            return clopper_pearson(tally.counts.get(variant, 0), tally.identified, question.alpha)
        test = SequentialTest.of(question)
        test.update(tally.counts)
        return test.confidence(variant)

    @property
    def requests_per_second(self) -> float:
        """Requests that ended, a second; 0 for a run of no time."""
        elapsed = self.subject.elapsed
        return self.tally.requests / elapsed if elapsed > 0 else 0.0
