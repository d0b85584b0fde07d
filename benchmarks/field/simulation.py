"""One simulated run: the counter and the judge of a real one, with a clock of its own.

What is simulated are users, connections and gateways. Tickets, counting, looks, the end of the run,
and the verdict on it are the code that `trafficsplit verify` runs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from benchmarks.field.baseline import Baseline
from benchmarks.field.requests import Codes, Load, Requests
from benchmarks.field.worlds import ERROR, World
from trafficsplit.analysis.diagnosis import diagnose
from trafficsplit.analysis.judge import draws_of, judge
from trafficsplit.analysis.kinds import Kind, Outcome
from trafficsplit.analysis.question import Question
from trafficsplit.analysis.run import Ending, Run, Subject
from trafficsplit.analysis.split import Split
from trafficsplit.analysis.verdict import Verdict
from trafficsplit.load.counting import Counter
from trafficsplit.locust.judging import Judging

LATENCY = 0.002  # seconds, where it does not matter


@dataclass(frozen=True)
class Setting:
    """What is asked of which gateway, and how.

    `variants` are the names by the world's numbers; none stands for those of the split. `previous`
    are the weights before the change that is verified.
    """

    question: Question
    world: World
    load: Load = field(default_factory=Load)
    variants: Sequence[str] = ()
    previous: Split | None = None

    @property
    def names(self) -> Sequence[str]:
        """The variants by the world's numbers."""
        return self.variants or list(self.question.split)


@dataclass(frozen=True)
class Result:
    """How a run ended. `names` are those of the diagnosis, where it was asked for."""

    verdict: Verdict
    requests: int
    reason: str
    names: tuple[str, ...] = ()
    summary: str = ""


class Simulated:
    """The counter and the judge of one run."""

    def __init__(self, setting: Setting) -> None:
        question = setting.question
        gateways = [""]
        if question.gateways > 1:
            gateways = [f"gateway-{number + 1}" for number in range(question.gateways)]
        self.setting = setting
        self.counter = Counter(question.split, budget=question.requests, gateways=gateways)
        self.judging = Judging(question, self.counter, new_connections=setting.load.sessions)
        self.codes = np.array([self._codes_at(number) for number in range(len(gateways))])
        self.unanswered = list(map(self._unanswered_at, range(len(gateways))))
        self.interrupted = ""

    def _codes_at(self, gateway: int) -> list[int]:
        """Return the counter's codes of a gateway's ends: of all variants, and of an error."""
        kinds = [Kind(Outcome.IDENTIFIED, name, gateway=gateway) for name in self.setting.names]
        kinds.append(Kind(Outcome.ERROR, "", "5xx", gateway, 503))
        return list(map(self.counter.code_of, kinds))

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
        for code, connection, sent_at in zip(
            codes.tolist(), requests.connections.tolist(), requests.times.tolist(), strict=True
        ):
            ticket = take(connection)
            if ticket < 0:  # no more
                return False
            count(ticket, code, sent_at, LATENCY, 0, "HTTP 503" if code in lost else "")
        return not counter.closed

    def run(self) -> Run:
        """Return the run as `trafficsplit.locust.session` hands it over."""
        counter = self.counter
        counter.flush()
        verdict = self.judging.verdict
        decided = None if verdict is Verdict.INCONCLUSIVE else verdict
        load = self.setting.load
        return Run(
            question=self.setting.question,
            subject=Subject(
                host="http://gateway",
                unit="session" if load.sessions else "request",
                users=load.users,
                elapsed=counter.elapsed,
            ),
            counted=counter.sums.counted(counter.gateways),
            ending=Ending(decided=decided, interrupted=self.interrupted),
            previous=self.setting.previous,
        )


def simulate(setting: Setting, seed: int, *, diagnosed: bool = False) -> Result:
    """Return how a run ends; the same seed gives the same run."""
    of_load, of_world = np.random.default_rng(seed).spawn(2)
    simulated = Simulated(setting)
    answer = setting.world.begin(of_world)
    for requests in setting.load.batches(of_load):
        if not simulated.feed(requests, answer(requests)):
            break
    return result_of(simulated, diagnosed=diagnosed)


def result_of(simulated: Simulated, *, diagnosed: bool = False) -> Result:
    """Return the verdict on a run that has ended."""
    run = simulated.run()
    judgement = judge(run)
    names: tuple[str, ...] = ()
    summary = ""
    if diagnosed:
        diagnosis = diagnose(run, judgement, draws_of(run))
        if diagnosis:
            names = tuple(explanation.name for explanation in diagnosis.explanations)
            summary = diagnosis.summary
    return Result(judgement.verdict, run.tally.requests, judgement.reason, names, summary)


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
