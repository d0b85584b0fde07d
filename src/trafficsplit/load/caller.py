"""One who sends one request after the other, each over a connection that is free."""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic as clock
from typing import TYPE_CHECKING

from gevent.event import Event

from trafficsplit.load.visitor import Visitor

if TYPE_CHECKING:
    from trafficsplit.load.connection import Connection
    from trafficsplit.load.engine import Engine
    from trafficsplit.load.lane import Lane

FIRST_BACKOFF = 0.05  # seconds
LONGEST_BACKOFF = 2.0  # seconds


def backoff(failures: int) -> float:
    """Return the seconds to wait after a failure that followed `failures` others in a row."""
    return min(FIRST_BACKOFF * 2.0 ** min(failures, 10), LONGEST_BACKOFF)


IDEMPOTENT = (b"GET ", b"HEAD ")


class Caller:
    """Sends one request after the other to one gateway, of which one at most is under way.

    `pause` returns the seconds between an answer and the next request. A `visitor` has its users
    send a request each instead, over a connection of their own. `connection` is that over which a
    request is under way, None where none is; `simple` says that the next request may be sent as
    soon as an answer has come, whatever the answer was.
    """

    __slots__ = (
        "_ended",
        "_engine",
        "_failures",
        "_leaving",
        "_own",
        "_pause",
        "connection",
        "lane",
        "request",
        "simple",
        "visitor",
    )

    def __init__(
        self,
        engine: Engine,
        lane: Lane,
        request: bytes,
        pause: Callable[[], float] | None,
        visitor: Visitor | None,
    ) -> None:
        self._engine = engine
        self.lane = lane
        self.request = request
        self._pause = pause
        self.visitor = visitor
        self.simple = False
        self.connection: Connection | None = None
        self._own: Connection | None = None
        if visitor:
            self._own = lane.new_connection(shared=False)
        self._failures = 0  # in a row, without an answer
        self._leaving = False
        self._ended = Event()
        self.follow_schedule()

    @property
    def is_idempotent(self) -> bool:
        """Whether the request may be sent again without doing more than once."""
        return self.request.startswith(IDEMPOTENT)

    def follow_schedule(self) -> None:
        """Note whether the engine has a schedule now."""
        sends_at_once = self._pause is None and self.visitor is None and not self._leaving
        one_each = self._engine.waiting.one_each
        self.simple = sends_at_once and not one_each and self._engine.schedule is None

    # --- from request to request ---

    def begin(self) -> None:
        """Send the next request when it is due, unless one is under way."""
        if self.connection:
            return
        if self._leaving:
            self._end()
        elif self._engine.schedule:
            self._engine.wait_for_schedule(self)
        else:
            self.send_next(clock())

    def send_next(self, now: float) -> None:
        """Send the next request over a connection that is free."""
        connection = self._own or self.lane.take_free()
        connection.send(self, now)

    def answered(self) -> None:
        """Go on after an answer: send the next request, now or when it is due."""
        if self._failures:
            self._failures = 0
            self.lane.hangs.stick(self.lane.gateway, -1)
        if self._pause and not self._leaving:
            self._engine.alarms.at(clock() + self._pause(), self.begin)
        else:
            self.begin()

    def failed(self) -> None:
        """Go on after a request without an answer: send the next one after a while."""
        if not self._failures:
            self.lane.hangs.stick(self.lane.gateway, 1)
        if self._leaving:
            self._end()
            return
        self._engine.alarms.at(clock() + backoff(self._failures), self.begin)
        self._failures += 1

    # --- the end ---

    def leave(self) -> Event:
        """Send no more requests; return an event that is set when the last answer has come."""
        self._leaving = True
        self.simple = False
        if self.connection is None:
            self._end()
        return self._ended

    def abandon(self) -> None:
        """End now; what has become of a request under way will not be known."""
        if self.connection:
            self.connection.give_up()
            self.connection = None
        self._end()

    def _end(self) -> None:
        if self._ended.is_set():
            return
        self._leaving = True
        self.simple = False
        self._ended.set()
        if self.visitor:
            self.lane.counter.leave(self.visitor.number)
        self._engine.forget(self)
        self.lane.remove_caller(self._own, stuck=self._failures > 0)
