"""The clients of a process that sends: the engine, or Locust's own."""

from __future__ import annotations

import gc
import itertools
import time
from collections.abc import Callable, Iterator
from dataclasses import replace

import gevent
from locust.env import Environment

from trafficsplit.analysis.run import Sender
from trafficsplit.identify.identifier import identifier_of
from trafficsplit.load.counting import Counter, Ended
from trafficsplit.load.endpoint import endpoint_of
from trafficsplit.load.engine import SWEEP, Engine, Waiting
from trafficsplit.load.hangs import UnderWay
from trafficsplit.load.outcomes import Outcomes
from trafficsplit.load.schedule import Schedule
from trafficsplit.locust.client_load import ClientLoad
from trafficsplit.locust.plan import RunPlan
from trafficsplit.locust.statistics import Statistics


class Sending:
    """The clients of one process; `client` is their kind, and `begin` starts them.

    `turn` is the number of the gateway that the first user asks, another one in each worker.
    `users` is the number of those that send by Locust's own clients, and `under_way` has their
    requests that wait for an answer, by ticket.
    """

    def __init__(self, plan: RunPlan, counter: Counter, client: str, turn: int = 0) -> None:
        self.client = client
        self.numbers: Iterator[int] = itertools.count(1)  # of users, or stock connections
        self.outcomes = Outcomes(
            identifier_of(plan.load.request.variant_from, plan.split or ()), counter
        )
        self.users = 0
        self.under_way: dict[int, UnderWay] = {}
        self._watcher: gevent.Greenlet | None = None
        self.engine: Engine | None = None
        self.schedule: Schedule | None = None
        self._plan = plan
        self._counter = counter
        self._turns: Iterator[int] = itertools.count(turn)
        self._statistics: Statistics | None = None
        self._client_load = ClientLoad()

    def begin(self, environment: Environment, on_broken: Callable[[BaseException], None]) -> None:
        """Start the client; `on_broken` is called for a fault of ours. Raises InputError."""
        if self.client == "engine":
            self._begin_engine(environment, on_broken)
        else:
            self._watcher = gevent.spawn(self._watch, on_broken)
        self._client_load.start()

    def _watch(self, on_broken: Callable[[BaseException], None]) -> None:
        """Look for late requests of Locust's own clients, as the engine does for its own."""
        while True:
            gevent.sleep(SWEEP)
            try:
                self._counter.watch(list(self.under_way.values()), self.users, time.monotonic())
            except Exception as error:
                on_broken(error)

    def _begin_engine(
        self, environment: Environment, on_broken: Callable[[BaseException], None]
    ) -> None:
        plan = self._plan
        statistics = Statistics(environment, self._counter, plan.load.request.path)
        endpoints = [endpoint_of(gateway, plan.load.connection) for gateway in plan.gateways]
        # The garbage collector need not go through Locust again and again; the engine makes no
        # cycles.
        gc.freeze()
        gc.set_threshold(20_000, 20, 20)
        waiting = Waiting(plan.load.request.timeout, plan.load.request.new_connections)
        self.engine = Engine(endpoints, self._counter, self.outcomes, waiting)
        self.engine.on_failure = statistics.add_lost
        self.engine.on_broken = on_broken
        self._statistics = statistics

    def follow_schedule(self, rate: float) -> None:
        """Send `rate` requests a second from now on."""
        self.schedule = Schedule(rate, self._counter.began)
        if self.engine:
            self.engine.follow(self.schedule)

    def keep_pace(self, pace: float | None) -> None:
        """Send so few requests a second from now on; None: as many as before.

        Locust's own clients go on as before.
        """
        now = time.monotonic()
        schedule = self.schedule
        if schedule:
            schedule.keep_pace(pace, now)
        elif pace:
            schedule = Schedule(pace, now)
        if self.engine:
            self.engine.follow(schedule)

    def next_gateway(self) -> int:
        """Return the number of the gateway that the next user asks; each gets as many users."""
        return next(self._turns) % len(self._plan.gateways)

    def add(self, ended: Ended) -> None:
        """Add requests that have ended to Locust's statistics, if its own clients do not."""
        if self._statistics:
            self._statistics.add(ended)

    def end(self) -> None:
        """Send no more."""
        self._client_load.stop()
        if self._watcher:
            self._watcher.kill()
            self._watcher = None
        if self.engine:
            self.engine.close()
            self.engine = None

    @property
    def sender(self) -> Sender:
        """How this process kept up with its load."""
        sender = Sender(client=self.client, cpu=self._client_load.cpu, lag=self._client_load.lag)
        schedule = self.schedule
        if schedule is None:
            return sender
        return replace(sender, rate=schedule.rate, achieved=schedule.achieved, late=schedule.late)
