"""A run: what was counted, in the form in which the load hands it on to every later stage."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from trafficsplit.analysis.fixed import clopper_pearson
from trafficsplit.analysis.losses import Hanging
from trafficsplit.analysis.order import Order
from trafficsplit.analysis.question import Question
from trafficsplit.analysis.sequential import SequentialTest
from trafficsplit.analysis.split import Split
from trafficsplit.analysis.tally import Tally
from trafficsplit.analysis.verdict import Verdict
from trafficsplit.analysis.visits import Users


@dataclass(frozen=True)
class Stretch:
    """The tally of the requests that were sent between two times, in seconds since the start."""

    start: float
    end: float
    tally: Tally


@dataclass(frozen=True)
class Gateway:
    """One of several gateways: its tallies by time, and the sums over its order."""

    name: str
    stretches: Sequence[Stretch]
    order: Order = field(default_factory=Order)

    @cached_property
    def tally(self) -> Tally:
        """The sum over its stretches."""
        return sum((stretch.tally for stretch in self.stretches), Tally())


@dataclass(frozen=True)
class LatencyKey:
    """Which latencies are counted together: those of one variant and one class of status.

    `variant` is empty for requests that name none. `status` is `1xx` … `5xx`, or `none` without an
    answer.
    """

    variant: str
    status: str


@dataclass(frozen=True)
class VariantCourse:
    """How the requests of one variant went over time: an element for each stretch, in order.

    `answers` are its 2xx answers, `errors` its others. `slow` has such a row for about the slowest
    1, 3 and 10 % of the answers each. A stretch may be empty.
    """

    answers: Sequence[int]
    errors: Sequence[int]
    slow: Sequence[Sequence[int]]


@dataclass(frozen=True)
class Sender:
    """How well the sending side kept up.

    `client` is what sent the requests, in `processes`, of which `lost` were lost with what they had
    not yet reported. `cpu` is the busiest process's share of one core, `lag` the 99th percentile of
    how late its event loop was, in seconds. On a schedule, `rate` and `achieved` are the requested
    and the real requests a second, and `late` requests had to wait for a free connection.
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
        """Return several processes, and the number of those that were lost, as one sender."""
        senders = list(workers)
        if not senders:
            return cls(processes=0, lost=lost)
        return cls(
            client=senders[0].client,
            processes=len(senders),
            lost=lost,
            cpu=max(sender.cpu for sender in senders),
            lag=max(sender.lag for sender in senders),
            rate=math.fsum(sender.rate for sender in senders),
            achieved=math.fsum(sender.achieved for sender in senders),
            late=sum(sender.late for sender in senders),
        )


@dataclass(frozen=True)
class CanaryLimits:
    """How many times worse than the baseline a canary may be; None: any number of times."""

    max_p99_ratio: float | None = None
    max_error_ratio: float | None = None

    @property
    def are_unset(self) -> bool:
        """Whether nothing is asked of the canary."""
        return self.max_p99_ratio is None and self.max_error_ratio is None


@dataclass(frozen=True)
class Subject:
    """What the requests were sent to, when, and by which command.

    `started_at` is ISO 8601 in UTC, `elapsed` and `settle` are seconds: requests that were sent in
    the first `settle` seconds are left out. `unit` is what a draw is: a `request`, a `session` (a
    new connection without cookies), or a `user` (several requests with cookies of its own).
    `run_id` is different for each run.
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
    """What came back, by time and by latency, with sums over the order of sending.

    `latency` has buckets of `analysis.latency`, `losses` the reasons of errors and unidentified
    responses. `gateways` is empty if there is only one. `cached` counts the responses that came out
    of a cache, `sent_again` the requests that were sent a second time, since the gateway had closed
    the connection before it answered. `courses` are by variant, all with the same stretches of
    time: empty for errors that name no variant. `hanging` is what was lost in time, one for each
    gateway (empty: not known). `judged` are the tallies, one for each gateway, of the requests that
    may be judged: those before the first that was still under way, and all that were lost (None:
    all requests).
    """

    stretches: Sequence[Stretch] = ()
    latency: Mapping[LatencyKey, Mapping[int, int]] = field(default_factory=dict)
    losses: Mapping[str, int] = field(default_factory=dict)
    order: Order = field(default_factory=Order)
    gateways: Sequence[Gateway] = ()
    cached: int = 0
    sent_again: int = 0
    users: Users | None = None
    courses: Mapping[str, VariantCourse] = field(default_factory=dict)
    hanging: Sequence[Hanging] = ()
    judged: Sequence[Tally] | None = None


@dataclass(frozen=True)
class Ending:
    """How a run ended. Each text is empty if it does not apply.

    `decided` is the verdict that the test reached while the run went on, and `decided_after` the
    number of requests until then: a run goes on after it, to find the cause. `sent_then` had been
    sent by then, of which `lost_then` were lost: the ratio of lost ones may have fallen since.
    `interrupted` says what ended the run early, `unreachable` why no request could be sent to the
    gateway at all, `unrecorded` why the recording is not whole, and `broken` how we failed
    ourselves, in which case there is no verdict.
    """

    decided: Verdict | None = None
    interrupted: str = ""
    unreachable: str = ""
    unrecorded: str = ""
    broken: str = ""
    decided_after: int = 0
    sent_then: int = 0
    lost_then: int = 0


@dataclass(frozen=True)
class SourceReading:
    """Where the weights are configured, and which weights stood there after the run.

    `reread` is None if it was not read again, or could not be: `unread` says why. `moved` says how
    the gateway's addresses there have changed since, empty if they have not. `set_at` is when the
    weights were set, in ISO 8601, empty if it is not known.
    """

    name: str
    reread: Split | None = None
    unread: str = ""
    moved: str = ""
    set_at: str = ""


@dataclass(frozen=True)
class Run:
    """One run against a gateway, or several.

    `previous` are the weights before the change that is verified, if they are known, and `others`
    those of other routes of the place where the weights are configured, by name. `source` is None
    if the weights came from the command line.
    """

    question: Question
    subject: Subject
    counted: Counted = field(default_factory=Counted)
    ending: Ending = Ending()
    sender: Sender = Sender()
    canary: CanaryLimits = CanaryLimits()
    previous: Split | None = None
    source: SourceReading | None = None
    others: Mapping[str, Split] = field(default_factory=dict)

    @cached_property
    def tally(self) -> Tally:
        """The sum over all stretches; every variant of the split is in it."""
        total = Tally(dict.fromkeys(self.question.split, 0))
        for stretch in self.counted.stretches:
            total += stretch.tally
        return total

    @property
    def gateways(self) -> Sequence[Gateway]:
        """All gateways, even if there is only one."""
        counted = self.counted
        return counted.gateways or [Gateway(self.subject.host, counted.stretches, counted.order)]

    def interval(self, variant: str) -> tuple[float, float]:
        """Return the 1 − alpha interval of a variant's share, of the kind that goes with the test.

        That is a confidence sequence for the sequential test, and Clopper and Pearson's for the
        fixed one.
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
        """The requests that ended in a second, on average; 0 for a run of no time."""
        elapsed = self.subject.elapsed
        if elapsed <= 0:
            return 0.0
        return self.tally.requests / elapsed
