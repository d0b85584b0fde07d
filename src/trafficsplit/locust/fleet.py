"""Several processes: workers send and count, the master judges.

A worker's counts travel in Locust's own report, twice a second. So Locust's statistics of a worker
and our counts arrive together or not at all, and agree whatever happens to it. There are five more
messages: a worker says which version it has, the master refuses it if its own is another, the
master says how fast to send and when to stop, and a worker says that it cannot go on for a fault of
ours.
"""

from __future__ import annotations

import importlib.metadata
import logging
import sys
import time
from collections.abc import Callable
from typing import Any

import gevent
from locust.env import Environment
from locust.runners import MasterRunner, WorkerRunner
from locust.stats import RequestStats, StatsEntry

from trafficsplit.analysis.run import Sender
from trafficsplit.errors import ExitCode
from trafficsplit.load.counting import Counter
from trafficsplit.load.distributed import absorb, drain

VERSION = importlib.metadata.version("trafficsplit")
HELLO = "trafficsplit_hello"
REFUSED = "trafficsplit_refused"
CLOSE = "trafficsplit_close"
PACE = "trafficsplit_pace"
BROKEN = "trafficsplit_broken"
KEY = "trafficsplit"  # of our part of a worker's report
PAUSE = 0.02  # seconds between two looks at whether all workers have reported everything

log = logging.getLogger(__name__)


class Fleet:
    """The workers of a master: those that are refused, and those that take part in a run.

    `on_broken` is called with the reason why a worker cannot go on: no verdict can be had then.
    """

    def __init__(self, runner: MasterRunner, on_broken: Callable[[str], None]) -> None:
        self._runner = runner
        self._introduced: set[str] = set()
        self._refused: set[str] = set()
        self._complete: dict[str, bool] = {}  # whether each that takes part has reported all
        self._senders: dict[str, Sender] = {}
        runner.register_message(HELLO, self._on_hello)
        self._tell_broken = on_broken
        runner.register_message(BROKEN, self._on_broken)

    def begin(self) -> None:
        """Forget the workers of an earlier run."""
        self._complete = {}
        self._senders = {}

    def _on_hello(self, environment: Environment, msg: Any, **_: object) -> None:
        if self.accepts(msg.node_id, msg.data["version"]):
            self._introduced.add(msg.node_id)

    def _on_broken(self, environment: Environment, msg: Any, **_: object) -> None:
        self._introduced.add(msg.node_id)
        self._tell_broken(msg.data["why"])

    def accepts(self, worker: str, version: str | None) -> bool:
        """Return whether a worker has our version; if it has not, refuse it, once."""
        if version == VERSION:
            return True
        if worker not in self._refused:
            self._refused.add(worker)
            theirs = f"trafficsplit {version}" if version else "no trafficsplit"
            line = f"worker {worker} has {theirs}, the master {VERSION}: install the same on both"
            print(f"trafficsplit: {line}", file=sys.stderr)
            log.info("refused: %s", line)
            self._runner.send_message(REFUSED, {"why": line}, client_id=worker)
        return False

    def take(self, counter: Counter, worker: str, data: dict[str, Any]) -> None:
        """Take the counts in a worker's report; clear the report where the worker is refused.

        It is cleared too if it has no counts of ours although the worker is one of ours: that one
        broke while it made the report.
        """
        message = data.get(KEY)
        if message is None and worker in self._introduced:
            log.warning("worker %s has sent a report without counts", worker)
            _clear(data)
            return
        if not self.accepts(worker, message and message["version"]):
            _clear(data)
            return
        if message is None or not message["sender"]:
            return  # it does not send yet
        if worker not in self._senders:
            log.info("worker %s takes part", worker)
        self._senders[worker] = Sender(**message["sender"])
        self._complete[worker] = message["complete"]
        absorb(counter, message, time.monotonic() - counter.began, worker)
        if self.all_complete:  # each has sent its share of the budget
            counter.close()
            counter.flush()

    @property
    def all_complete(self) -> bool:
        """Whether every worker has reported all that it counted, but for those that are lost."""
        missing = {worker.id for worker in self._runner.clients.missing}
        return all(done or worker in missing for worker, done in self._complete.items())

    def keep_pace(self, pace: float | None) -> None:
        """Let the workers send so few requests a second together; None: as many as before."""
        each = pace and pace / max(len(self._complete), 1)
        self._runner.send_message(PACE, {"pace": each})

    def close(self, patience: float) -> None:
        """Let the workers send no more, and wait for their counts, `patience` seconds at most."""
        self._runner.send_message(CLOSE)
        deadline = time.monotonic() + patience
        while time.monotonic() < deadline and not self.all_complete:
            gevent.sleep(PAUSE)
        for worker, complete in self._complete.items():
            if not complete:
                log.warning("worker %s has not reported all that it counted", worker)

    @property
    def sender(self) -> Sender:
        """How all workers together kept up."""
        lost = sum(not complete for complete in self._complete.values())
        return Sender.of_workers(self._senders.values(), lost)


def _clear(data: dict[str, Any]) -> None:
    """Clear a worker's report, so that Locust's statistics take nothing from it."""
    nothing = StatsEntry(RequestStats(), "Aggregated", "")
    data.update(stats=[], stats_total=nothing.serialize(), errors={})


def report_of(counter: Counter, sender: Sender) -> dict[str, Any]:
    """Return a worker's part of its report: its counts, which are forgotten then."""
    return {
        **drain(counter),
        "version": VERSION,
        "sender": vars(sender) if counter.began > 0 else None,
    }


def introduce(
    runner: WorkerRunner,
    close: Callable[[], None],
    keep_pace: Callable[[float | None], None],
) -> None:
    """Tell the master our version; leave where it refuses us.

    `close` is called when it says so, and `keep_pace` with the requests a second that it wants.
    """

    def on_refused(environment: Environment, msg: Any, **_: object) -> None:
        log.info("refused by the master: %s", msg.data["why"])
        print(f"trafficsplit: refused: {msg.data['why']}", file=sys.stderr)
        environment.process_exit_code = ExitCode.WRONG_USAGE
        gevent.spawn(runner.quit)

    runner.register_message(REFUSED, on_refused)
    runner.register_message(CLOSE, lambda **_: close())
    runner.register_message(PACE, lambda msg, **_: keep_pace(msg.data["pace"]))
    runner.send_message(HELLO, {"version": VERSION})
