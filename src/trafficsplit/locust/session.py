"""One run of Locust's, from start to stop: what it is for, what sends, what was counted."""

from __future__ import annotations

import datetime
import shlex
import sys
import time
from argparse import Namespace
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from locust.env import Environment
from locust.runners import MasterRunner, WorkerRunner

from trafficsplit.analysis.judge import judge
from trafficsplit.analysis.plain import question_as_plain, stamp
from trafficsplit.analysis.question import Question
from trafficsplit.analysis.run import Ending, Run, Sender, Subject
from trafficsplit.analysis.verdict import Judgement, Verdict
from trafficsplit.load.counting import Counter, Ended
from trafficsplit.load.endpoint import resolve
from trafficsplit.load.readiness import why_not_ready
from trafficsplit.load.recorder import Recorder
from trafficsplit.locust.fleet import Fleet
from trafficsplit.locust.judging import Judging
from trafficsplit.locust.parent import parent
from trafficsplit.locust.plan import RunPlan
from trafficsplit.locust.sending import Sending


@dataclass
class Notes:
    """What is to be said of a run's end; each is empty where it does not apply."""

    interrupted: str = ""
    unreachable: str = ""
    unrecorded: str = ""
    broken: str = ""


class Session:
    """One run. A process that sends (all but a master) does so once `begin` was called.

    `client` is what sends; `fleet` is a master's view of its workers, None elsewhere.
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
            on_complete=on_complete,
            on_ended=self._ended,
        )
        self.sending = Sending(plan, self.counter, client, self._worker_index)
        self.recorder: Recorder | None = None
        self.judging = self._new_judging()
        resolve(self._known_addresses)

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

    @property
    def _known_addresses(self) -> dict[str, str]:
        addresses = self.plan.load.connection.addresses
        return {name: given[0] for name, given in addresses.items() if given}

    def _budget(self) -> int | None:
        """Return the most requests that this process may send: a worker's is its share of them."""
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
        new_connections = self.plan.load.request.new_connections
        return Judging(question, self.counter, new_connections=new_connections)

    def begin(self, on_broken: Callable[[BaseException], None]) -> None:
        """Time starts; in a process that sends, so does its client. Raises InputError."""
        if self.fleet:
            self.fleet.begin()
        if not self.is_master:
            self.sending.begin(self.environment, on_broken)
        self.started_at = datetime.datetime.now(datetime.UTC)
        self.counter.began = time.monotonic()
        self._record()
        if self.plan.load.rate:
            self.sending.follow_schedule(self.plan.load.rate / self.options.shared_by)

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
        above = parent()
        directory = above.directory if above else self.options.run_dir
        self.recorder = Recorder(
            Path(directory or "."), self._worker_index, facts, self.counter.gateways
        )

    def end_recording(self) -> None:
        """Write the rest of a recording."""
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
        """Wait until every gateway answers; return what one does instead, empty where none does."""
        load = self.plan.load
        try:
            for gateway in self.plan.gateways:
                own = {gateway.name: gateway.address} if gateway.address else {}
                resolve({**self._known_addresses, **own})
                reason = why_not_ready(gateway.host, load.request, load.connection)
                if reason:
                    return f"{gateway}: {reason}" if gateway.address else reason
        finally:
            resolve(self._known_addresses)
        return ""

    def reset(self) -> None:
        """Forget what was counted, as Locust does with its statistics; the run goes on."""
        self.counter.reset(time.monotonic())
        self.started_at = datetime.datetime.now(datetime.UTC)
        self._record()
        self.judging = self._new_judging()

    def end(self) -> None:
        """Nothing is sent any more."""
        self.end_recording()
        self.sending.end()

    @property
    def verdict(self) -> Verdict:
        """The verdict that was reached so far."""
        return self.judging.verdict if self.judging else Verdict.INCONCLUSIVE

    def judged(self) -> Judgement | None:
        """Return the verdict on what was counted, None where no split was expected."""
        return judge(self.run(self.plan.question)) if self.plan.question else None

    def run(self, question: Question) -> Run:
        """Return all that was counted, to be handed on."""
        self.counter.flush()
        load = self.plan.load
        decided = None if self.verdict is Verdict.INCONCLUSIVE else self.verdict
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
            counted=self.counter.sums.counted(self.counter.gateways),
            ending=Ending(decided=decided, **vars(self.notes)),
            sender=self.sender,
            canary=load.canary,
            previous=load.previous,
        )

    @property
    def sender(self) -> Sender:
        """How the sending side kept up: this process, or all workers."""
        return self.fleet.sender if self.fleet else self.sending.sender
