"""The load engine: all connections of a process on one epoll.

A request costs one `recv`, one `send` and some hundred bytecodes.
"""

from __future__ import annotations

import contextlib
import itertools
import logging
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from time import monotonic as clock

import gevent

from trafficsplit.load.alarms import Alarms
from trafficsplit.load.connection import Connection
from trafficsplit.load.counting import Counter
from trafficsplit.load.endpoint import Endpoint
from trafficsplit.load.http import Heads
from trafficsplit.load.lane import Lane
from trafficsplit.load.outcomes import Outcomes
from trafficsplit.load.poller import AVAILABLE, Poller
from trafficsplit.load.schedule import Schedule
from trafficsplit.load.visitor import Visitor

__all__ = ["AVAILABLE", "Engine", "Waiting"]

SWEEP = 0.25  # seconds between two searches for requests that take too long

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Waiting:
    """How long an answer may take, in seconds, and whether each has a connection of its own."""

    timeout: float = 10.0
    one_each: bool = False


class Engine:
    """Sends requests over connections that are added and removed, and counts the answers.

    Each connection leads to one of the endpoints. `on_failure(reason, seconds, length, row)` is
    called for every lost request, `on_broken` for a fault of ours, after which there is no verdict.
    """

    def __init__(
        self,
        endpoints: Sequence[Endpoint],
        counter: Counter,
        outcomes: Outcomes,
        waiting: Waiting = Waiting(),
        schedule: Schedule | None = None,
    ) -> None:
        self.counter = counter
        self.outcomes = outcomes
        self.waiting = waiting
        self.schedule = schedule
        self.on_failure: Callable[[str, float, int, str], None] = lambda *_: None
        self.on_broken: Callable[[BaseException], None] = _raise
        self.heads = Heads()
        self.lanes: list[Lane] = []
        for number, endpoint in enumerate(endpoints):
            self.lanes.append(Lane(self, number, endpoint))
        self.poller = Poller(self._break)
        self.alarms = Alarms(self._break)
        self._free: deque[Connection] = deque()  # that wait for the schedule
        self._numbers = itertools.count(1)
        self._connections: set[Connection] = set()
        self._sweeper = gevent.spawn(self._sweep)
        for lane in self.lanes:
            log.debug("gateway %s at %s", lane.endpoint.host, lane.endpoint.addresses)

    def _break(self, error: BaseException) -> None:
        self.on_broken(error)

    # --- connections ---

    def add(
        self,
        request: bytes,
        pause: Callable[[], float] | None = None,
        gateway: int = 0,
        visitor: Visitor | None = None,
    ) -> Connection:
        """Add a connection that sends a request at once, and again after each answer.

        `pause` returns the seconds to wait in between; `gateway` is the number of its endpoint. The
        users of a `visitor` send requests of their own.
        """
        connection = Connection(self, self.lanes[gateway], request, pause, visitor)
        self._connections.add(connection)
        gevent.get_hub().loop.run_callback(self._begin, connection)
        return connection

    def _begin(self, connection: Connection) -> None:
        try:
            connection.begin()
        except Exception as error:
            self._break(error)

    def forget(self, connection: Connection) -> None:
        """Remove a connection that has ended for good."""
        self._connections.discard(connection)
        with contextlib.suppress(ValueError):
            self._free.remove(connection)

    def close(self) -> None:
        """End all connections; requests under way count as never sent."""
        for connection in list(self._connections):
            connection.abandon()
        self._sweeper.kill()
        self.alarms.close()
        self.poller.close()

    def next_number(self) -> int:
        """Return the number of a new connection, from 1 on."""
        return next(self._numbers)

    # --- time ---

    def _sweep(self) -> None:
        """Fail requests that take too long, and add up the others, again and again."""
        while True:
            gevent.sleep(SWEEP)
            try:
                self._end_overdue(clock() - self.waiting.timeout)
                self.counter.flush()
            except Exception as error:
                self._break(error)

    def _end_overdue(self, before: float) -> None:
        for connection in list(self._connections):
            if connection.busy and connection.since < before:
                connection.fail(f"no answer within {self.waiting.timeout:g} seconds")

    # --- on schedule ---

    def wait_for_schedule(self, connection: Connection) -> None:
        """Let a connection send the next request of the schedule that no other one sends."""
        self._free.append(connection)
        if len(self._free) == 1:
            assert self.schedule is not None
            self.alarms.at(self.schedule.next_at, self._send_scheduled)

    def _send_scheduled(self) -> None:
        schedule = self.schedule
        free = self._free
        assert schedule is not None
        now = clock()
        while free and schedule.next_at <= now:
            free.popleft().send_next(now)
        if free:
            self.alarms.at(schedule.next_at, self._send_scheduled)


def _raise(error: BaseException) -> None:
    raise error
