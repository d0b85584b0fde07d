"""The load engine: all connections of a process on one epoll.

A request costs one `recv`, one `send` and some hundred bytecodes.
"""

from __future__ import annotations

import contextlib
import itertools
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import random
from time import monotonic as clock

import gevent

from trafficsplit.load.alarms import Alarms
from trafficsplit.load.caller import Caller
from trafficsplit.load.connection import Connection
from trafficsplit.load.counting import Counter
from trafficsplit.load.endpoint import Endpoint
from trafficsplit.load.hangs import LEAST_LATE, UnderWay
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
    """Has callers send requests over connections that they share, and counts the answers.

    Each caller asks one of the endpoints. `on_failure(reason, seconds, length, row)` is
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
        self._free: list[Caller] = []  # that wait for the schedule
        self._numbers = itertools.count(1)
        self._callers: set[Caller] = set()
        self._sweeper = gevent.spawn(self._sweep)
        for lane in self.lanes:
            log.debug("gateway %s at %s", lane.endpoint.host, lane.endpoint.addresses)

    def _break(self, error: BaseException) -> None:
        self.on_broken(error)

    # --- callers and connections ---

    def add(
        self,
        request: bytes,
        pause: Callable[[], float] | None = None,
        gateway: int = 0,
        visitor: Visitor | None = None,
    ) -> Caller:
        """Add a caller that sends a request at once, and again after each answer.

        `pause` returns the seconds to wait in between; `gateway` is the number of its endpoint. The
        users of a `visitor` send requests of their own.
        """
        lane = self.lanes[gateway]
        lane.add_caller(shares=visitor is None)
        caller = Caller(self, lane, request, pause, visitor)
        self._callers.add(caller)
        gevent.get_hub().loop.run_callback(self._begin, caller)
        return caller

    def _begin(self, caller: Caller) -> None:
        try:
            caller.begin()
        except Exception as error:
            self._break(error)

    def new_connection(self, lane: Lane, *, shared: bool) -> Connection:
        """Return a connection to a gateway that is not open yet."""
        return Connection(self, lane, shared=shared)

    def forget(self, caller: Caller) -> None:
        """Remove a caller that has ended for good."""
        self._callers.discard(caller)
        with contextlib.suppress(ValueError):
            self._free.remove(caller)

    def close(self) -> None:
        """End all callers; what has become of requests under way will not be known."""
        for caller in list(self._callers):
            caller.abandon()
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
                now = clock()
                self._end_overdue(now - self.waiting.timeout)
                self.counter.watch(self._old(now - LEAST_LATE), len(self._callers), now)
            except Exception as error:
                self._break(error)

    def _connections(self) -> list[Connection]:
        """Return the connections that are in use."""
        return [caller.connection for caller in self._callers if caller.connection]

    def _end_overdue(self, before: float) -> None:
        for connection in self._connections():
            if connection.sent < before:
                connection.fail(f"no answer within {self.waiting.timeout:g} seconds")

    def _old(self, before: float) -> list[UnderWay]:
        """Return the requests that have been under way since then."""
        old = []
        for connection in self._connections():
            if connection.sent < before:
                old.append(connection.under_way)
        return old

    # --- on schedule ---

    def follow(self, schedule: Schedule | None) -> None:
        """Send requests by another schedule from now on; None: each caller as fast as it can."""
        self.schedule = schedule
        free = self._free
        self._free = []
        for caller in self._callers:
            caller.follow_schedule()
        for caller in free:
            self._begin(caller)

    def wait_for_schedule(self, caller: Caller) -> None:
        """Let a caller send the next request of the schedule that no other one sends."""
        self._free.append(caller)
        if len(self._free) == 1:
            assert self.schedule is not None
            self.alarms.at(self.schedule.next_at, self._send_scheduled)

    def _send_scheduled(self) -> None:
        schedule = self.schedule
        free = self._free
        if schedule is None:  # it has been given up since
            return
        now = clock()
        while free and schedule.next_at <= now:
            # In turn, each would be dealt the same turn of a gateway that deals in turn, too.
            index = int(random() * len(free))
            caller = free[index]
            free[index] = free[-1]
            free.pop()
            caller.send_next(now)
        if free:
            self.alarms.at(schedule.next_at, self._send_scheduled)


def _raise(error: BaseException) -> None:
    raise error
