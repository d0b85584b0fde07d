"""What happens around a run: it is prepared, watched, judged and written down.

Registered with Locust's events at module level, because a listener that judges must have been
there before Locust's own (DESIGN.md 6).
"""

from __future__ import annotations

import datetime
import shlex
import sys
import time
from argparse import Namespace
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import gevent
from locust import events
from locust.env import Environment
from locust.runners import LocalRunner, WorkerRunner
from locust.stats import CSV_STATS_INTERVAL_SEC

from analysis import (
    InputError,
    Judgement,
    Question,
    ResponseReader,
    Run,
    Tally,
    Verdict,
    judge,
    reader_of,
    write_run,
)
from analysis.independence import telling_pairs
from analysis.judge import Watch, unexpected, watch_of
from analysis.options import check_load, checked_host
from analysis.sequential import MANY
from analysis.split import split_of_weight
from load.counting import Counter, Recent
from load.options import add_options, load_options, question_of
from load.progress import show_progress
from load.readiness import why_not_ready

WRONG_USAGE = 2
# How long an answer may still come after somebody has asked the run to stop.
LAST_ANSWERS = 2.0  # seconds


@dataclass
class Session:
    """One run of Locust's, from start to stop."""

    options: Namespace
    load: Mapping[str, str]
    host: str
    question: Question | None
    reader: ResponseReader
    counter: Counter
    bodies: Recent
    started_at: datetime.datetime
    began: float  # time.monotonic() of the first request
    verdict: Verdict = Verdict.INCONCLUSIVE
    unreachable: str = ""
    ended_by: str = ""
    finished: bool = False

    def judged(self) -> Judgement | None:
        """The verdict on what was counted, None where no split was expected."""
        if self.question is None:
            return None
        return judge(self.run(self.question))

    def run(self, question: Question) -> Run:
        """All that was counted, to be written down."""
        counter = self.counter
        return Run(
            question=question,
            host=self.host,
            path=self.load["path"],
            started_at=self.started_at.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            elapsed=counter.elapsed,
            users=self.options.num_users or 1,
            stretches=counter.stretches,
            latency=counter.latency,
            losses=dict(counter.losses),
            unit=self.load["unit"],
            settle=counter.settle,
            previous=split_of_weight(self.load["previous_weight"])
            if self.load["previous_weight"]
            else None,
            order=counter.order,
            cached=counter.cached,
            decided="" if self.verdict is Verdict.INCONCLUSIVE else str(self.verdict),
            interrupted=self.ended_by,
            unreachable=self.unreachable,
            command=shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]]),
        )


_sessions: dict[int, Session] = {}


def session_of(environment: Environment) -> Session:
    """The run that is going on in an environment of Locust's."""
    return _sessions[id(environment)]


def register() -> None:
    """Listen to Locust's events."""
    events.init_command_line_parser.add_listener(add_options)
    events.init.add_listener(_on_init)
    events.test_start.add_listener(_on_test_start)
    events.test_stop.add_listener(_on_test_stop)
    events.quitting.add_listener(_on_quitting)
    events.quit.add_listener(_on_quit)
    events.report_to_master.add_listener(_on_report_to_master)
    events.worker_report.add_listener(_on_worker_report)


def _on_init(environment: Environment, **_: Any) -> None:
    """Refuse wrong options before anything is sent; the web form gets its chance at the start."""
    options: Any = environment.parsed_options
    if isinstance(environment.runner, WorkerRunner):
        return  # its options come from the master, with the start
    # Without it Locust cuts off the answers that are on their way, and the slower variant loses.
    environment.stop_timeout = environment.stop_timeout or float(options.timeout or 10)
    try:
        session = _prepared(environment)
        if options.headless:
            checked_host(session.host)
    except InputError as error:
        print(f"trafficsplit: {error}", file=sys.stderr)
        sys.exit(WRONG_USAGE)


def _prepared(environment: Environment) -> Session:
    """A session for the options as they are now. Raises InputError."""
    options: Any = environment.parsed_options
    question = question_of(options)
    load = load_options(options)
    check_load(load, question)
    runner = environment.runner
    # A worker sends until the master says stop: only the master sees all counts.
    alone = question is not None and isinstance(runner, LocalRunner)
    counter = Counter(
        question.split if question else None,
        budget=question.requests if question and alone else None,
        settle=float(load["settle"]),
        on_complete=partial(_on_complete, environment),
    )
    session = Session(
        options=options,
        host=(environment.host or "").rstrip("/"),
        question=question,
        load=load,
        reader=reader_of(load["variant_from"], question.split if question else ()),
        counter=counter,
        bodies=Recent(),
        started_at=datetime.datetime.now(datetime.UTC),
        began=time.monotonic(),
    )
    if question and not isinstance(runner, WorkerRunner):
        counter.judge_by(partial(_look, session, watch_of(question), question.requests))
    _sessions[id(environment)] = session
    return session


def _look(session: Session, watch: Watch, most: int, batch: Tally) -> int:
    """Show the judge a batch; 0 when no more requests are needed, or may be sent."""
    counter = session.counter
    session.verdict = watch.update(batch.counts, batch.errors, batch.unidentified)
    left = most - counter.sent if counter.budget is None else MANY
    if left <= 0:
        return 0
    if session.verdict is Verdict.INCONCLUSIVE:
        return min(watch.least_more, left)
    # Quick verdicts come before connections were used twice: a few more requests tell whether the
    # gateway keeps them on one variant, in which case there is no verdict.
    telling = (
        session.verdict is Verdict.FAILING
        or session.load["unit"] == "session"
        or counter.pairs_within_connections >= telling_pairs(counter.tally.counts)
        or (session.question and unexpected(session.question.split, counter.tally))
    )
    return 0 if telling else 1


def _on_test_start(environment: Environment, **_: Any) -> None:
    """A fresh tally, once the gateway answers."""
    try:
        session = _prepared(environment)
        checked_host(session.host)
    except InputError as error:  # from the web form: the run is not begun, the page stays
        session = _sessions[id(environment)]
        session.unreachable = str(error)
        session.counter.close()
        _end(environment)
        return
    if not isinstance(environment.runner, WorkerRunner):
        options = session.options
        session.unreachable = why_not_ready(
            session.host, session.load["path"], insecure=options.insecure
        )
    session.started_at = datetime.datetime.now(datetime.UTC)
    session.began = time.monotonic()
    if session.unreachable:
        session.counter.close()
        _end(environment)
    elif session.options.progress >= 0:
        gevent.spawn(show_progress, session.question, session.counter, session.options.progress)


def _on_complete(environment: Environment) -> None:
    if not isinstance(environment.runner, WorkerRunner):
        _end(environment)


def _end(environment: Environment) -> None:
    """Stop the run from outside of the user that noticed it should: headless, all of Locust."""
    options: Any = environment.parsed_options
    runner: Any = environment.runner

    def leave() -> None:
        if not options.headless:
            runner.stop()
            return
        if options.csv_prefix:  # Locust's CSV files are as old as its last look: one more
            gevent.sleep(1.2 * CSV_STATS_INTERVAL_SEC)
        runner.quit()

    gevent.spawn(leave)


def _on_test_stop(environment: Environment, **_: Any) -> None:
    """With the web page: the run is over, Locust goes on."""
    options: Any = environment.parsed_options
    if not options.headless and not isinstance(environment.runner, WorkerRunner):
        session = _finish(environment)
        print(_spoken(session), file=sys.stderr)


def _on_quitting(environment: Environment, **_: Any) -> None:
    """Headless: judge, write down, and set the exit code."""
    if isinstance(environment.runner, WorkerRunner) or not environment.parsed_options:
        return
    session = _finish(environment)
    judgement = session.judged()
    if judgement and environment.parsed_options.headless:
        environment.process_exit_code = judgement.verdict.exit_code


def _finish(environment: Environment) -> Session:
    """Let the last answers come in, then write the run down, once."""
    session = session_of(environment)
    if session.finished:
        return session
    session.finished = True
    counter = session.counter
    if not counter.complete:
        counter.close()
        if isinstance(environment.runner, LocalRunner):
            deadline = time.monotonic() + LAST_ANSWERS
            while counter.under_way > 0 and time.monotonic() < deadline:
                gevent.sleep(0.01)
        run_time = session.options.run_time
        over = run_time and time.monotonic() - session.began >= run_time
        session.ended_by = "--run-time was over" if over else "the run was interrupted"
    if session.options.run_dir and session.question:
        try:
            write_run(session.run(session.question), Path(session.options.run_dir))
        except OSError as error:
            reason = error.strerror or str(error)
            # What was counted is not lost with the disk: it is said.
            print(
                f"trafficsplit: {session.options.run_dir} cannot be written ({reason}); the "
                f"verdict was {_spoken(session)}",
                file=sys.stderr,
            )
    return session


def _on_quit(**_: Any) -> None:
    """The verdict is the last word, after Locust's own tables."""
    for session in _sessions.values():
        if session.options.headless and not session.options.run_dir and session.finished:
            print(_spoken(session), file=sys.stderr)


def _spoken(session: Session) -> str:
    """The verdict, or the shares where none was asked for, in one line."""
    judgement = session.judged()
    if judgement:
        return f"{judgement.verdict}: {judgement.reason}"
    if session.unreachable:
        return f"trafficsplit: {session.unreachable}"
    tally = session.counter.tally
    shares = ", ".join(f"{v} {100 * (tally.share(v) or 0):.1f} %" for v in sorted(tally.counts))
    return f"{tally.requests:,} requests: {shares or 'no variant answered'}. " + (
        "No split was expected, so there is no verdict: give --weight or --weights."
    )


def _on_report_to_master(client_id: str, data: dict[str, Any]) -> None:
    for session in _sessions.values():
        data["trafficsplit"] = session.counter.drain()


def _on_worker_report(client_id: str, data: dict[str, Any]) -> None:
    for session in _sessions.values():
        if message := data.get("trafficsplit"):
            session.counter.absorb(message, time.monotonic() - session.began)
