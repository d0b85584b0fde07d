"""One run of Locust's, from start to stop: what it is for, what sends, what was counted."""

from __future__ import annotations

import datetime
import gc
import itertools
import shlex
import sys
import time
from argparse import Namespace
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from locust.env import Environment
from locust.runners import LocalRunner, MasterRunner, WorkerRunner

from analysis import Judgement, Question, Run, Tally, Verdict, judge, planned, reader_of
from analysis.independence import telling_pairs
from analysis.judge import Watch, unexpected, watch_of
from analysis.options import (
    addresses_of,
    check_load,
    headers_of,
    hosts_of,
    rate_of,
    ratio_of,
    whole,
)
from analysis.recording import parquet_of_arrow
from analysis.run import Sender, question_as_plain, stamp
from analysis.sequential import MANY
from analysis.split import split_of_weight
from load import engine
from load.counting import Counter, Ended
from load.options import load_options, question_of
from load.outcomes import Outcomes
from load.pulse import Pulse
from load.readiness import why_not_ready
from load.recording import Recording
from load.schedule import Schedule
from load.statistics import Statistics
from load.target import Place, places_of, resolve, target_of, tls_context


class Session:
    """Made of the options as they are now. Raises InputError.

    A process that sends (all but a master) has an engine, a client's name and a schedule, once
    `begin` was called.
    """

    def __init__(self, environment: Environment, on_complete: Callable[[], None]) -> None:
        options: Any = environment.parsed_options
        self.environment = environment
        self.options: Namespace = options
        hosts = hosts_of(environment.host) if environment.host else []
        self.host = ", ".join(hosts)
        self.question: Question | None = question_of(options)
        self.load = load_options(options)
        check_load(self.load, self.question)
        self.headers = headers_of(self.load["header"])
        addresses = addresses_of(self.load["resolve"])
        self.resolved = {name: given[0] for name, given in addresses.items() if given}
        resolve(self.resolved)
        self.places = places_of(hosts, addresses) or [Place("")]
        if self.question and len(self.places) > 1:
            asked = whole(options.requests, "--requests")
            anew = replace(self.question, gateways=len(self.places), requests=asked)
            self.question = planned(anew)
        if self.load["ca_file"]:
            tls_context(self.load["ca_file"], insecure=options.insecure)
        if options.record:
            parquet_of_arrow()
        self.client = self.load["client"] or "engine"
        self.numbers: Iterator[int] = itertools.count(1)
        # Each user asks one gateway; workers begin with different ones.
        self.turns: Iterator[int] = itertools.count(getattr(environment.runner, "worker_index", 0))
        self.engine: engine.Engine | None = None
        self.statistics: Statistics | None = None
        self.recording: Recording | None = None
        self.schedule: Schedule | None = None
        self.pulse = Pulse()
        self.verdict = Verdict.INCONCLUSIVE
        self.watch: Watch | None = None
        self.unreachable = self.unrecorded = ""
        self.ended_by = ""
        self.finished = False
        self.workers: dict[str, bool] = {}  # who took part: whether it has sent all it counted
        self.senders: dict[str, Sender] = {}  # how the workers' processes kept up
        question = self.question
        self.counter = Counter(
            question.split if question else None,
            budget=self._budget(environment.runner),
            settle=float(self.load["settle"]),
            on_complete=on_complete,
            on_ended=self._ended,
            gateways=[str(place) for place in self.places],
        )
        reader = reader_of(self.load["variant_from"], question.split if question else ())
        self.outcomes = Outcomes(reader, self.counter)
        self.started_at = datetime.datetime.now(datetime.UTC)
        self._judge_anew()

    def _budget(self, runner: Any) -> int | None:
        """The most requests that this process may send: a worker's is its share of them."""
        if self.question is None or isinstance(runner, MasterRunner):
            return None
        processes = self.options.shared_by if isinstance(runner, WorkerRunner) else 1
        every, rest = divmod(self.question.requests, processes)
        index = runner.worker_index if isinstance(runner, WorkerRunner) else 0
        return every + (index % processes < rest)

    def _judge_anew(self) -> None:
        if self.question and not isinstance(self.environment.runner, WorkerRunner):
            self.watch = watch_of(self.question)
            self.verdict = Verdict.INCONCLUSIVE
            self.counter.judge_by(partial(self._look, self.watch, self.question.requests))

    def begin(self) -> None:
        """Time starts; in a process that sends, so does its client. Raises InputError."""
        runner: Any = self.environment.runner
        if runner is None or isinstance(runner, LocalRunner | WorkerRunner):
            if self.client == "engine":
                self._begin_engine()
            self.pulse.start()
        self.started_at = datetime.datetime.now(datetime.UTC)
        self.counter.began = time.monotonic()
        self._record()
        if self.load["rate"]:
            share = rate_of(self.load["rate"]) / self.options.shared_by
            self.schedule = Schedule(share, self.counter.began)
            if self.engine:
                self.engine.schedule = self.schedule

    def _record(self) -> None:
        """Begin a recording, where one is wanted and this process sends. Raises InputError."""
        runner: Any = self.environment.runner
        self.end_recording()
        if not self.options.record or isinstance(runner, MasterRunner):
            return
        self.recording = Recording(
            Path(self.options.run_dir or "."),
            getattr(runner, "worker_index", 0),
            {
                "started_at": self.started_at.isoformat(),
                "host": self.host,
                "path": self.load["path"],
                "unit": self.load["unit"],
                "users": self.options.num_users or 1,
                "question": question_as_plain(self.question) if self.question else None,
            },
            self.counter.gateways,
        )

    def end_recording(self) -> None:
        """Write the rest of it."""
        if self.recording:
            self.counter.flush()
            self.recording.close(self.counter.kinds)
            if self.recording.trouble:
                self.unrecorded = self.recording.trouble
                print(f"trafficsplit: not all is recorded: {self.unrecorded}", file=sys.stderr)
            self.recording = None

    def _ended(self, ended: Ended) -> None:
        if self.statistics:
            self.statistics.add(ended)
        if self.recording:
            self.recording.add(ended, self.counter.kinds, self.counter.elapsed)

    def _begin_engine(self) -> None:
        statistics = Statistics(self.environment, self.counter, self.load["path"])
        settings = {"ca_file": self.load["ca_file"], "insecure": self.options.insecure}
        targets = [target_of(place, **settings) for place in self.places]
        self.statistics = statistics
        # The collector need not look at Locust again and again; the engine makes no cycles.
        gc.freeze()
        gc.set_threshold(20_000, 20, 20)
        self.engine = engine.Engine(
            targets,
            self.counter,
            self.outcomes,
            timeout=float(self.load["timeout"]),
            one_each=self.load["unit"] == "session",
            on_failure=statistics.lost,
        )

    def why_not_ready(self) -> str:
        """Wait until every gateway answers; empty when they do, otherwise what one does instead."""
        try:
            for place in self.places:
                resolve({**self.resolved, **({place.name: place.address} if place.address else {})})
                reason = why_not_ready(
                    place.host,
                    self.load["path"],
                    headers=self.headers,
                    ca_file=self.load["ca_file"],
                    insecure=self.options.insecure,
                )
                if reason:
                    return f"{place}: {reason}" if place.address else reason
        finally:
            resolve(self.resolved)
        return ""

    def next_gateway(self) -> int:
        """The number of the gateway that the next user asks: the load is theirs in equal parts."""
        return next(self.turns) % len(self.places)

    def reset(self) -> None:
        """Forget what was counted, as Locust does with its statistics; the run goes on."""
        self.counter.reset(time.monotonic())
        self.started_at = datetime.datetime.now(datetime.UTC)
        self._record()
        self._judge_anew()

    def end(self) -> None:
        """Nothing is sent any more."""
        self.pulse.stop()
        self.end_recording()
        if self.engine:
            self.engine.close()
            self.engine = None

    def _look(self, watch: Watch, most: int, batch: Sequence[Tally]) -> int:
        """Show the judge a batch; 0 when no more requests are needed, or may be sent."""
        counter = self.counter
        self.verdict = watch.look(batch)
        left = most - counter.sent if counter.budget is None else MANY
        if left <= 0:
            return 0
        if self.verdict is Verdict.INCONCLUSIVE:
            return min(watch.least_more, left)
        # Quick verdicts come before connections were used twice: a few more requests tell whether
        # the gateway keeps them on one variant, in which case there is no verdict.
        telling = (
            self.verdict is Verdict.FAILING
            or self.load["unit"] == "session"
            or counter.pairs_within_connections >= telling_pairs(counter.counted.counts)
            or (self.question and unexpected(self.question.split, counter.counted))
        )
        return 0 if telling else 1

    def judged(self) -> Judgement | None:
        """The verdict on what was counted, None where no split was expected."""
        if self.question is None:
            return None
        return judge(self.run(self.question))

    def run(self, question: Question) -> Run:
        """All that was counted, to be written down."""
        counter, load = self.counter, self.load
        previous = load["previous_weight"]
        return Run(
            question=question,
            host=self.host,
            path=load["path"],
            started_at=stamp(self.started_at),
            stretches=counter.stretches,
            elapsed=counter.elapsed,
            users=self.options.num_users or 1,
            latency=counter.latency,
            losses=dict(counter.losses),
            unit=load["unit"],
            settle=counter.settle,
            previous=split_of_weight(previous) if previous else None,
            order=counter.order,
            gateways=counter.by_gateway,
            cached=counter.cached,
            decided="" if self.verdict is Verdict.INCONCLUSIVE else str(self.verdict),
            interrupted=self.ended_by,
            unreachable=self.unreachable,
            unrecorded=self.unrecorded,
            sender=self.sender,
            max_p99_ratio=ratio_of(load["max_p99_ratio"], "--max-p99-ratio"),
            max_error_ratio=ratio_of(load["max_error_ratio"], "--max-error-ratio"),
            command=shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]]),
        )

    @property
    def sender(self) -> Sender:
        """How the sending side kept up: this process, or all workers."""
        schedule = self.schedule
        if self.workers:
            lost = sum(not complete for complete in self.workers.values())
            return Sender.of_workers(self.senders.values(), lost)
        return Sender(
            client=self.client,
            cpu=self.pulse.cpu,
            lag=self.pulse.lag,
            rate=schedule.rate if schedule else 0.0,
            achieved=schedule.achieved if schedule else 0.0,
            late=schedule.late if schedule else 0,
        )
