"""One simulated run: the counter and the judge of a real one, with a clock of its own.

What is simulated are users, connections and gateways. Tickets, counting, looks, the end of the run,
and the verdict on it are the code that `trafficsplit verify` runs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from benchmarks.field.baseline import Baseline
from benchmarks.field.requests import Codes, Load, Requests
from benchmarks.field.worlds import ERROR, World
from trafficsplit.analysis.causes.candidates import Facts
from trafficsplit.analysis.causes.inquiry import Inquiry
from trafficsplit.analysis.diagnosis import diagnose
from trafficsplit.analysis.judge import draws_of, judge
from trafficsplit.analysis.kinds import Kind, Outcome, status_class
from trafficsplit.analysis.question import Question
from trafficsplit.analysis.run import Run, Subject
from trafficsplit.analysis.split import Split
from trafficsplit.analysis.verdict import Verdict
from trafficsplit.load.counting import Counter
from trafficsplit.locust.judging import Judging

LATENCY = 0.002  # seconds, where it does not matter
PACED_BATCH = 16  # requests, in which the pace of sending may change


@dataclass(frozen=True)
class Setting:
    """What is asked of which gateway, and how.

    `variants` are the names by the world's numbers; none stands for those of the split. `reason` is
    what an error says, with its `status`. `previous` are the weights before the change that is
    verified, `others` those of other routes by name. With `inquiry` the run goes on after its
    verdict until the cause is known, and is diagnosed.
    """

    question: Question
    world: World
    load: Load = field(default_factory=Load)
    variants: Sequence[str] = ()
    reason: str = "HTTP 503"
    status: int = 503
    previous: Split | None = None
    others: Mapping[str, Split] = field(default_factory=dict)
    inquiry: bool = False

    @property
    def names(self) -> Sequence[str]:
        """The variants by the world's numbers."""
        return self.variants or list(self.question.split)


@dataclass(frozen=True)
class Result:
    """How a run ended: its verdict, after how many requests, and why.

    `cause` is the one that the diagnosis names, empty where it names none; `summary` says it.
    """

    verdict: Verdict
    requests: int
    reason: str
    cause: str = ""
    summary: str = ""


class Simulated:
    """The counter, of the class that is given, and the judge of one run."""

    def __init__(self, setting: Setting, counter: type[Counter] = Counter) -> None:
        question = setting.question
        gateways = [""]
        if question.gateways > 1:
            gateways = [f"gateway-{number + 1}" for number in range(question.gateways)]
        self.setting = setting
        self.counter = counter(question.split, budget=question.requests, gateways=gateways)
        inquiry = None
        if setting.inquiry:
            inquiry = Inquiry(Facts(question, setting.previous, setting.others))
        self.pace: float | None = None  # requests a second, where fewer are enough
        self.judging = Judging(question, self.counter, inquiry, self._keep_pace)
        self.codes = np.array([self._codes_at(number) for number in range(len(gateways))])
        self.unanswered = list(map(self._unanswered_at, range(len(gateways))))
        self.interrupted = ""

    def _keep_pace(self, pace: float | None) -> None:
        self.pace = pace

    def _codes_at(self, gateway: int) -> list[int]:
        """Return the counter's codes of a gateway's ends: of all variants, and of an error."""
        kinds = [Kind(Outcome.IDENTIFIED, name, gateway=gateway) for name in self.setting.names]
        kinds.append(self._kind_of_error(gateway))
        return list(map(self.counter.code_of, kinds))

    def _kind_of_error(self, gateway: int) -> Kind:
        status = self.setting.status
        return Kind(Outcome.ERROR, "", status_class(status), gateway, status)

    def _unanswered_at(self, gateway: int) -> int:
        """Return the counter's code of a gateway's requests that got no answer."""
        return self.counter.code_of(Kind(Outcome.ERROR, "", "none", gateway, 0))

    def feed(self, requests: Requests, ends: Codes) -> bool:
        """Send requests, each after the end of the one before; return whether the run goes on."""
        counter = self.counter
        take = counter.ledger.take
        count = counter.count
        codes = self.codes[requests.gateways, ends]
        lost = self.codes[:, ERROR].tolist()
        reason = self.setting.reason
        for code, connection, sent_at in zip(
            codes.tolist(), requests.connections.tolist(), requests.times.tolist(), strict=True
        ):
            ticket = take(connection)
            if ticket < 0:  # no more
                return False
            count(ticket, code, sent_at, LATENCY, 0, reason if code in lost else "")
        return not counter.closed

    def run(self) -> Run:
        """Return the run as `trafficsplit.locust.session` hands it over."""
        counter = self.counter
        counter.flush()
        load = self.setting.load
        return Run(
            question=self.setting.question,
            subject=Subject(
                host="http://gateway",
                unit="session" if load.sessions else "request",
                users=load.users,
                elapsed=counter.elapsed,
            ),
            counted=counter.counted,
            ending=replace(self.judging.ending, interrupted=self.interrupted),
            previous=self.setting.previous,
            others=self.setting.others,
        )


class Clock:
    """Says when requests are sent, where at times fewer are sent than there could be."""

    def __init__(self, rate: float) -> None:
        self._rate = rate
        self._slowed = 0.0  # seconds

    def timed(self, requests: Requests, pace: float | None) -> Requests:
        """Return the next requests with the times at which they are sent."""
        times = requests.times + self._slowed
        if pace and pace < self._rate:
            each = 1 / pace - 1 / self._rate
            times += each * np.arange(len(requests))
            self._slowed += each * len(requests)
        return replace(requests, times=times)


def simulate(setting: Setting, seed: int) -> Result:
    """Return how a run ends; the same seed gives the same run."""
    return simulate_with(Simulated(setting), seed)


def simulate_with(simulated: Simulated, seed: int) -> Result:
    """Return how a run ends that has not begun."""
    setting = simulated.setting
    of_load, of_world = np.random.default_rng(seed).spawn(2)
    answer = setting.world.begin(of_world)
    clock = Clock(setting.load.rate)
    for batch in setting.load.batches(of_load):
        first = 0
        while first < len(batch):
            size = PACED_BATCH if simulated.pace else len(batch)
            requests = clock.timed(batch[first : first + size], simulated.pace)
            if not simulated.feed(requests, answer(requests)):
                return result_of(simulated)
            first += size
    raise AssertionError("requests never end")


def result_of(simulated: Simulated) -> Result:
    """Return the verdict on a run that has ended, with a diagnosis where there was an inquiry."""
    run = simulated.run()
    judgement = judge(run)
    requests = run.ending.decided_after or run.tally.requests
    if not simulated.setting.inquiry:
        return Result(judgement.verdict, requests, judgement.reason)
    diagnosis = diagnose(run, judgement, draws_of(run))
    if diagnosis is None:
        return Result(judgement.verdict, requests, judgement.reason)
    return Result(judgement.verdict, requests, judgement.reason, diagnosis.cause, diagnosis.summary)


def simulate_baseline(setting: Setting, seed: int) -> Result:
    """Return how version 0.1's test ends on the same requests."""
    of_load, of_world = np.random.default_rng(seed).spawn(2)
    answer = setting.world.begin(of_world)
    baseline = Baseline(setting.question)
    for requests in setting.load.batches(of_load):
        left = setting.question.requests - baseline.responses
        baseline.add(answer(requests)[:left])
        if baseline.verdict is not Verdict.INCONCLUSIVE or left <= len(requests):
            break
    return Result(baseline.verdict, baseline.responses, "")
