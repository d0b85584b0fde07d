"""One run of Locust's from start to stop: its plan, its clients, and its counts."""

from __future__ import annotations

import datetime
import logging
import shlex
import sys
import time
from argparse import Namespace
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from locust.env import Environment
from locust.runners import MasterRunner, WorkerRunner

from trafficsplit.analysis.causes.candidates import Facts
from trafficsplit.analysis.causes.inquiry import Inquiry
from trafficsplit.analysis.judge import judge
from trafficsplit.analysis.plain import question_as_plain, stamp
from trafficsplit.analysis.question import Question
from trafficsplit.analysis.run import Ending, Run, Sender, Subject
from trafficsplit.analysis.verdict import Judgement, Verdict
from trafficsplit.load.counting import Counter, Ended
from trafficsplit.load.endpoint import GatewayAddress, resolve
from trafficsplit.load.readiness import why_not_ready
from trafficsplit.load.recorder import Recorder
from trafficsplit.locust.fleet import Fleet
from trafficsplit.locust.judging import Judging
from trafficsplit.locust.parent import parent
from trafficsplit.locust.plan import RunPlan
from trafficsplit.locust.sending import Sending

log = logging.getLogger(__name__)


@dataclass
class Notes:
    """What has gone wrong in a run, in words; each is empty where it has not."""

    interrupted: str = ""  # the run has ended before the answer was known
    unreachable: str = ""  # the gateway does not answer
    unrecorded: str = ""  # the recording has stopped
    broken: str = ""  # a fault of ours


class Session:
    """One run. A process that sends, which all do but a master, does so from `begin` on.

    `client` is the kind of client that sends; `fleet` has a master's workers, None elsewhere.
    `on_complete` is called when no more requests are needed.
    """

    def __init__(
        self,
        environment: Environment,
        plan: RunPlan,
        client: str,
        fleet: Fleet | None,
        on_complete: Callable[[], None],
    ) -> None:
        options: Any = environment.parsed_options
        self.environment = environment
        self.options: Namespace = options
        self.plan = plan
        self.fleet = fleet
        self.notes = Notes()
        self.finished = False
        self.started_at = datetime.datetime.now(datetime.UTC)
        self.counter = Counter(
            plan.split,
            budget=self._budget(),
            settle=plan.load.settle,
            gateways=[str(gateway) for gateway in plan.gateways],
            user_requests=plan.load.request.user_requests,
            on_complete=on_complete,
            on_ended=self._ended,
        )
        self.sending = Sending(plan, self.counter, client, self._worker_index)
        self.recorder: Recorder | None = None
        self.judging = self._new_judging()
        resolve(plan.known_addresses)

    @property
    def is_worker(self) -> bool:
        """Whether this process sends for a master."""
        return isinstance(self.environment.runner, WorkerRunner)

    @property
    def is_master(self) -> bool:
        """Whether this process sends nothing itself."""
        return isinstance(self.environment.runner, MasterRunner)

    @property
    def _worker_index(self) -> int:
        return int(getattr(self.environment.runner, "worker_index", 0))

    def _budget(self) -> int | None:
        """Return the most requests that this process may send, None where it has no bound.

        A worker may send its part of the budget.
        """
        question = self.plan.question
        if question is None or self.is_master:
            return None
        if not self.is_worker:
            return question.requests
        workers = int(self.options.shared_by)
        every, rest = divmod(question.requests, workers)
        return every + (self._worker_index % workers < rest)

    def _new_judging(self) -> Judging | None:
        question = self.plan.question
        if question is None or self.is_worker:
            return None
        load = self.plan.load
        inquiry = None
        if load.diagnosis and not question.user_requests:
            inquiry = Inquiry(Facts(question, load.previous, load.others))
        return Judging(question, self.counter, inquiry, self._keep_pace)

    def _keep_pace(self, pace: float | None) -> None:
        if pace:
            log.info("only time is missing: %.0f requests a second are enough", pace)
        if self.fleet:
            self.fleet.keep_pace(pace)
        else:
            self.sending.keep_pace(pace)

    def begin(self, on_broken: Callable[[BaseException], None]) -> None:
        """Start the time, and the client in a process that sends. Raises InputError.

        `on_broken` is called for a fault of ours.
        """
        if self.fleet:
            self.fleet.begin()
        if not self.is_master:
            self.sending.begin(self.environment, on_broken)
        self.started_at = datetime.datetime.now(datetime.UTC)
        self.counter.began = time.monotonic()
        self._record()
        if self.plan.load.rate:
            self.sending.follow_schedule(self.plan.load.rate / self.options.shared_by)
        log.info("begun: %s to %s", self.sending.client, self.plan.host)

    def _record(self) -> None:
        """Begin a recording, where one is wanted and this process sends. Raises InputError."""
        self.end_recording()
        if not self.plan.load.record or self.is_master:
            return
        question = self.plan.question
        facts = {
            "started_at": self.started_at.isoformat(),
            "host": self.plan.host,
            "path": self.plan.load.request.path,
            "unit": self.plan.load.request.unit,
            "users": self.plan.users,
            "question": question_as_plain(question) if question else None,
        }
        directory = self.options.run_dir or "."
        above = parent()
        if above:
            directory = above.directory
        self.recorder = Recorder(Path(directory), self._worker_index, facts, self.counter.gateways)

    def end_recording(self) -> None:
        """Write the rest of a recording, if there is one; say where it is not whole."""
        if self.recorder is None:
            return
        self.counter.flush()
        self.recorder.close(list(self.counter.kinds))
        if self.recorder.trouble:
            self.notes.unrecorded = self.recorder.trouble
            print(f"trafficsplit: not all is recorded: {self.recorder.trouble}", file=sys.stderr)
        self.recorder = None

    def _ended(self, ended: Ended) -> None:
        self.sending.add(ended)
        if self.recorder:
            self.recorder.add(ended, list(self.counter.kinds), self.counter.elapsed)

    def why_not_ready(self) -> str:
        """Wait until every gateway answers; return why one does not, empty where all do."""
        try:
            for gateway in self.plan.gateways:
                reason = _why_not_ready(self.plan, gateway)
                if reason:
                    return reason
        finally:
            resolve(self.plan.known_addresses)
        return ""

    def reset(self) -> None:
        """Forget the counts, as Locust forgets its statistics; the run goes on."""
        self.counter.reset(time.monotonic())
        self.started_at = datetime.datetime.now(datetime.UTC)
        self._record()
        self.judging = self._new_judging()

    def end(self) -> None:
        """Stop the client, and end the recording."""
        self.end_recording()
        self.sending.end()

    @property
    def verdict(self) -> Verdict:
        """The verdict that has been reached so far."""
        if self.judging is None:
            return Verdict.INCONCLUSIVE
        return self.judging.verdict

    def judged(self) -> Judgement | None:
        """Return the verdict on the counts, None where no split was expected."""
        if self.plan.question is None:
            return None
        return judge(self.run(self.plan.question))

    def run(self, question: Question) -> Run:
        """Return everything that is known of the run, to be handed over."""
        self.counter.flush()
        load = self.plan.load
        ending = self.judging.ending if self.judging else Ending()
        subject = Subject(
            host=self.plan.host,
            path=load.request.path,
            unit=load.request.unit,
            users=self.plan.users,
            started_at=stamp(self.started_at),
            elapsed=self.counter.elapsed,
            settle=load.settle,
            command=shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]]),
            run_id=self.plan.run_id,
        )
        return Run(
            question=question,
            subject=subject,
            counted=self.counter.counted,
            ending=replace(ending, **vars(self.notes)),
            sender=self.sender,
            canary=load.canary,
            previous=load.previous,
            others=load.others,
        )

    @property
    def sender(self) -> Sender:
        """How the sending side kept up with its load: this process, or all workers."""
        if self.fleet:
            return self.fleet.sender
        return self.sending.sender


def _why_not_ready(plan: RunPlan, gateway: GatewayAddress) -> str:
    """Wait until one gateway answers; return why it does not, empty where it does."""
    addresses = plan.known_addresses
    if gateway.address:
        addresses[gateway.name] = gateway.address
    resolve(addresses)
    load = plan.load
    reason = why_not_ready(gateway.host, load.request, load.connection, load.ready_within)
    if reason and gateway.address:
        return f"{gateway}: {reason}"
    return reason
