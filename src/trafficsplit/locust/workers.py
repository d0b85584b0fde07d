"""Several processes: workers send and count, the master judges.

A worker's counts travel in Locust's own report, twice a second: what Locust says and what we say of
a worker arrive together or not at all, so that both agree whatever happens to it. The messages
that are ours are few: a worker says which version it is, and is refused if it is another's; and
the master says when to stop sending.
"""

from __future__ import annotations

import importlib.metadata
import sys
import time
from collections.abc import Callable
from typing import Any

import gevent
import locust.runners
from locust.env import Environment
from locust.runners import MasterRunner, WorkerRunner
from locust.stats import RequestStats, StatsEntry

from analysis.run import Sender
from load.session import Session

VERSION = importlib.metadata.version("trafficsplit")
REPORT_INTERVAL = 0.5  # seconds
HELLO, REFUSED, CLOSE = "trafficsplit_hello", "trafficsplit_refused", "trafficsplit_close"
KEY = "trafficsplit"
WRONG_USAGE = 2

locust.runners.WORKER_REPORT_INTERVAL = REPORT_INTERVAL


class Workers:
    """A master's view of them: who is refused."""

    def __init__(self, runner: MasterRunner) -> None:
        self._runner = runner
        self._refused: set[str] = set()
        runner.register_message(HELLO, self._on_hello)

    def _on_hello(self, environment: Environment, msg: Any, **_: Any) -> None:
        self.accepts(msg.node_id, msg.data["version"])

    def accepts(self, worker: str, version: str | None) -> bool:
        """Whether it is of our version; otherwise it is told to go, once."""
        if version == VERSION:
            return True
        if worker not in self._refused:
            self._refused.add(worker)
            theirs = f"trafficsplit {version}" if version else "no trafficsplit"
            line = f"worker {worker} has {theirs}, the master {VERSION}: install the same on both"
            print(f"trafficsplit: {line}", file=sys.stderr)
            self._runner.send_message(REFUSED, {"why": line}, client_id=worker)
        return False

    def take(self, session: Session, worker: str, data: dict[str, Any]) -> None:
        """A worker's report: its counts, or nothing of it where it is refused."""
        message = data.get(KEY)
        if not self.accepts(worker, message and message["version"]):
            nothing = StatsEntry(RequestStats(), "Aggregated", "")
            data.update(stats=[], stats_total=nothing.serialize(), errors={})
            return
        if message is None or not message["sender"]:
            return  # it does not send yet
        session.senders[worker] = Sender(**message["sender"])
        session.workers[worker] = message["complete"]
        session.counter.absorb(message, time.monotonic() - session.counter.began)
        if self._all_complete(session):  # each has sent its share of the budget
            session.counter.close()
            session.counter.flush()

    def _all_complete(self, session: Session) -> bool:
        """Whether every worker has told all that it counted, but for those that are lost."""
        missing = {worker.id for worker in self._runner.clients.missing}
        return all(done or worker in missing for worker, done in session.workers.items())

    def close(self, session: Session, patience: float) -> None:
        """Let the workers send no more, and wait for all that they have counted."""
        self._runner.send_message(CLOSE)
        deadline = time.monotonic() + patience
        while time.monotonic() < deadline and not self._all_complete(session):
            gevent.sleep(0.02)


def report(session: Session, data: dict[str, Any]) -> None:
    """Put a worker's counts into its report, and forget them."""
    began = session.counter.began > 0
    data[KEY] = {
        **session.counter.drain(),
        "version": VERSION,
        "sender": vars(session.sender) if began else None,
    }


def introduce(runner: WorkerRunner, close: Callable[[], None]) -> None:
    """Tell the master who we are; stop sending when it says so, leave when it refuses us."""

    def on_refused(environment: Environment, msg: Any, **_: Any) -> None:
        print(f"trafficsplit: refused: {msg.data['why']}", file=sys.stderr)
        environment.process_exit_code = WRONG_USAGE
        gevent.spawn(runner.quit)

    runner.register_message(REFUSED, on_refused)
    runner.register_message(CLOSE, lambda **_: close())
    runner.send_message(HELLO, {"version": VERSION})
