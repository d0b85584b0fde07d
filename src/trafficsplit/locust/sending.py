"""What sends, in a process that sends: the engine or Locust's own clients, and what watches it."""

from __future__ import annotations

import gc
import itertools
from collections.abc import Callable, Iterator

from locust.env import Environment

from trafficsplit.analysis.run import Sender
from trafficsplit.identify.identifier import identifier_of
from trafficsplit.load.counting import Counter, Ended
from trafficsplit.load.endpoint import endpoint_of
from trafficsplit.load.engine import Engine, Waiting
from trafficsplit.load.outcomes import Outcomes
from trafficsplit.load.schedule import Schedule
from trafficsplit.locust.client_load import ClientLoad
from trafficsplit.locust.plan import RunPlan
from trafficsplit.locust.statistics import Statistics


class Sending:
    """The clients of one process. `client` is what sends; `begin` starts it.

    `turn` is the number of the gateway that the first user asks: workers begin with different ones.
    """

    def __init__(self, plan: RunPlan, counter: Counter, client: str, turn: int = 0) -> None:
        self.client = client
        self.numbers: Iterator[int] = itertools.count(1)  # of the stock clients' connections
        self.outcomes = Outcomes(
            identifier_of(plan.load.request.variant_from, plan.split or ()), counter
        )
        self.engine: Engine | None = None
        self.schedule: Schedule | None = None
        self._plan = plan
        self._counter = counter
        self._turns: Iterator[int] = itertools.count(turn)
        self._statistics: Statistics | None = None
        self._client_load = ClientLoad()

    def begin(self, environment: Environment, on_broken: Callable[[BaseException], None]) -> None:
        """Start the client. Raises InputError; `on_broken` hears of a fault of our own."""
        if self.client == "engine":
            self._begin_engine(environment, on_broken)
        self._client_load.start()

    def _begin_engine(
        self, environment: Environment, on_broken: Callable[[BaseException], None]
    ) -> None:
        plan = self._plan
        statistics = Statistics(environment, self._counter, plan.load.request.path)
        endpoints = [endpoint_of(gateway, plan.load.connection) for gateway in plan.gateways]
        # The collector need not look at Locust again and again; the engine makes no cycles.
        gc.freeze()
        gc.set_threshold(20_000, 20, 20)
        waiting = Waiting(plan.load.request.timeout, plan.load.request.new_connections)
        self.engine = Engine(endpoints, self._counter, self.outcomes, waiting)
        self.engine.on_failure = statistics.lost
        self.engine.on_broken = on_broken
        self._statistics = statistics

    def follow_schedule(self, rate: float) -> None:
        """Send so many requests a second, from now on."""
        self.schedule = Schedule(rate, self._counter.began)
        if self.engine:
            self.engine.schedule = self.schedule

    def next_gateway(self) -> int:
        """Return the gateway that the next user asks: the load is theirs in equal parts."""
        return next(self._turns) % len(self._plan.gateways)

    def add(self, ended: Ended) -> None:
        """Put requests that have ended into Locust's statistics, where its clients do not."""
        if self._statistics:
            self._statistics.add(ended)

    def end(self) -> None:
        """Send no more."""
        self._client_load.stop()
        if self.engine:
            self.engine.close()
            self.engine = None

    @property
    def sender(self) -> Sender:
        """How this process kept up."""
        schedule = self.schedule
        return Sender(
            client=self.client,
            cpu=self._client_load.cpu,
            lag=self._client_load.lag,
            rate=schedule.rate if schedule else 0.0,
            achieved=schedule.achieved if schedule else 0.0,
            late=schedule.late if schedule else 0,
        )
