"""One request after the other, over one connection to a gateway after the other."""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic as clock
from typing import TYPE_CHECKING

from gevent.event import Event

from trafficsplit.errors import BrokenError
from trafficsplit.load.counting import NO_MORE
from trafficsplit.load.dialing import Dialer, UnconnectedError, broken_off
from trafficsplit.load.http import (
    END_OF_HEAD,
    NO_HEAD,
    Answer,
    AnswerParser,
    BadAnswerError,
    Head,
)
from trafficsplit.load.lane import Lane
from trafficsplit.load.poller import READ, WRITE
from trafficsplit.load.visitor import Visitor
from trafficsplit.load.wire import BUFFER, Wire

if TYPE_CHECKING:
    from trafficsplit.load.engine import Engine

FIRST_BACKOFF = 0.05  # seconds
LONGEST_BACKOFF = 2.0  # seconds

CONNECTING, IDLE, WAITING, CLOSED = range(4)


def backoff(failures: int) -> float:
    """Return the seconds to wait after a failure that followed `failures` others in a row."""
    return min(FIRST_BACKOFF * 2.0 ** min(failures, 10), LONGEST_BACKOFF)


class Connection:
    """One connection after the other, with one request under way at most.

    `since` is when the request was sent, or was due, or when the connecting began, by the monotonic
    clock. `pause` returns the seconds between an answer and the next request. A `visitor` has its
    users send a request each instead, over a new connection for each user.
    """

    __slots__ = (
        "_dialer",
        "_ended",
        "_engine",
        "_failures",
        "_head",
        "_lane",
        "_leaving",
        "_number",
        "_other_head",
        "_parser",
        "_pause",
        "_request",
        "_simple",
        "_state",
        "_ticket",
        "_visitor",
        "_wire",
        "since",
    )

    def __init__(
        self,
        engine: Engine,
        lane: Lane,
        request: bytes,
        pause: Callable[[], float] | None,
        visitor: Visitor | None = None,
    ) -> None:
        self._engine = engine
        self._lane = lane
        self._request = request
        self._pause = pause
        # The next request may be sent as soon as an answer has come.
        short = engine.waiting.one_each or visitor is not None
        self._simple = pause is None and engine.schedule is None and not short
        # Where thousands are opened a second, none may keep its port for a minute.
        self._wire = Wire(engine.poller, reset=short)
        self._visitor = visitor
        self._dialer = Dialer(lane, self._wire)
        self._state = CLOSED
        self._parser: AnswerParser | None = None
        self._head: Head = NO_HEAD  # of the last answer here
        self._other_head: Head = NO_HEAD  # of the last answer with another head
        self._ticket = NO_MORE
        self._number = 0
        self._failures = 0  # in a row
        self._leaving = False
        self._ended = Event()
        self.since = 0.0

    @property
    def busy(self) -> bool:
        """Whether something is under way that may take too long."""
        return self._state in (CONNECTING, WAITING)

    def leave(self) -> Event:
        """Send no more requests; return an event that is set when the last answer has come."""
        self._leaving = True
        if not self.busy:
            self._end()
        return self._ended

    def abandon(self) -> None:
        """End now; a request under way counts as never sent."""
        if self._ticket != NO_MORE:
            self._lane.counter.give_back(self._release_ticket())
        self._end()

    def _release_ticket(self) -> int:
        ticket = self._ticket
        self._ticket = NO_MORE
        return ticket

    def _end(self) -> None:
        self._leaving = True
        self._close()
        if self._visitor:
            self._lane.counter.leave(self._visitor.number)
        self._engine.forget(self)
        self._ended.set()

    # --- the way of an ordinary request: begin, send_next, ready ---

    def begin(self) -> None:
        """Send the next request when it is due."""
        if self._leaving:
            self._end()
        elif self._engine.schedule:
            self._engine.wait_for_schedule(self)
        else:
            self.send_next(clock())

    def send_next(self, now: float) -> None:
        """Take a ticket and send the request, over a new connection where there is none."""
        engine = self._engine
        fresh = not self._wire.is_open
        if fresh:
            self._number = 0 if engine.waiting.one_each else engine.next_number()
        if self._visitor:
            self._visitor.next()
            self._number = self._visitor.number
            self._request = self._visitor.request
            self._dialer.source = self._visitor.source
        ticket = self._lane.take(self._number)
        self._ticket = ticket
        if ticket == NO_MORE:
            self._state = CLOSED if fresh else IDLE
            return
        self.since = engine.schedule.take() if engine.schedule else now
        if fresh:
            self._connect()
        else:
            self._transmit()

    def _transmit(self) -> None:
        self._state = WAITING
        try:
            self._wire.transmit(self._request)
        except OSError as error:
            self.fail(broken_off(error))

    def ready(self, mask: int) -> None:
        """Take the socket's events: on the hot path, an ordinary answer in one piece."""
        if self._state != WAITING or mask != READ:
            self._unusual(mask)
            return
        try:
            data = self._wire.receive(BUFFER)
        except BlockingIOError:
            return
        except OSError as error:
            self.fail(broken_off(error))
            return
        if self._parser:
            self._take(data)
        else:
            self._take_first(data)

    def _take_first(self, data: bytes) -> None:
        """Take the first bytes of an answer: as a rule they are all of it, below a known head."""
        lane = self._lane
        head = self._head
        if not data.startswith(head.raw):
            # As a rule two variants' heads come in turn.
            head = self._other_head
            self._other_head = self._head
            if not data.startswith(head.raw):
                head = lane.heads.get(data[: data.find(END_OF_HEAD) + 4], NO_HEAD)
            self._head = head
        body = data[head.body_at :] if len(data) == head.whole else head.body(data)
        if body is None:
            self._take(data)
            return
        now = clock()
        code = lane.codes.get(lane.read(body, head.headers).variant)
        if code is None or lane.outcomes.comparing:
            self._answered(Answer(200, head.headers, body, True), now)
            return
        if self._visitor:
            self._visitor.take(head.headers)
        since = self.since
        lane.count(self._ticket, code, since - lane.counter.began, now - since, len(body))
        if not self._simple or self._leaving:
            self._next(keep=True)
            return
        ticket = lane.take(self._number)
        self._ticket = ticket
        if ticket == NO_MORE:
            self._state = IDLE
            return
        self.since = now
        self._transmit()

    # --- connecting ---

    def _connect(self) -> None:
        self._state = CONNECTING
        try:
            self._dialer.begin(self.ready)
        except UnconnectedError as error:
            self.fail(str(error))
        except BrokenError as error:
            self._give_up(error)

    def _go_on_connecting(self, mask: int) -> None:
        try:
            if not self._dialer.go_on(mask, self.ready):
                return
        except UnconnectedError as error:
            self.fail(str(error))
            return
        except BrokenError as error:
            self._give_up(error)
            return
        # The time of connecting is not the gateway's answer's; on schedule, it is part of the wait.
        if not self._engine.schedule:
            self.since = clock()
        self._transmit()

    def _give_up(self, error: BrokenError) -> None:
        """Send no more, for a fault of this machine: the request counts as never sent."""
        self.abandon()
        self._engine.on_broken(error)

    # --- everything else that may happen ---

    def _unusual(self, mask: int) -> None:
        if self._state == CONNECTING:
            self._go_on_connecting(mask)
        elif self._state == WAITING:
            if mask & WRITE:
                self._send_rest()
            if mask & ~WRITE and self._state == WAITING:
                self.ready(READ)
        else:  # no request is under way: the gateway closes, or sends bytes out of turn
            self._close()

    def _send_rest(self) -> None:
        try:
            self._wire.send_rest()
        except OSError as error:
            self.fail(broken_off(error))

    def _take(self, data: bytes) -> None:
        """Take bytes of an answer that is not ordinary, or not whole; no bytes at its end."""
        try:
            if self._parser is None:
                self._parser = self._engine.heads.parser_of(data)
            answer = self._parser.take(data)
        except BadAnswerError as error:
            self.fail(str(error))
            return
        if answer:
            self._parser = None
            self._answered(answer, clock())

    def _answered(self, answer: Answer, now: float) -> None:
        """Count an answer, and go on."""
        lane = self._lane
        if self._visitor:
            self._visitor.take(answer.headers)
        code, reason = lane.outcomes.of_answer(answer, lane.gateway)
        # Released first: if anything goes wrong from here on, the request is not counted again.
        ticket = self._release_ticket()
        latency = now - self.since
        lane.count_unusual(ticket, code, self.since, latency, len(answer.body), reason)
        self._next(keep=answer.keep)

    def _next(self, *, keep: bool) -> None:
        """Go on after an answer: send the next request, now or when it is due."""
        self._failures = 0
        self._ticket = NO_MORE
        self._state = IDLE
        if not keep or self._engine.waiting.one_each or (self._visitor and self._visitor.is_over):
            self._close()
        if self._pause and not self._leaving:
            self._engine.alarms.at(clock() + self._pause(), self._begin_if_idle)
        else:
            self.begin()

    def _begin_if_idle(self) -> None:
        if self._state in (IDLE, CLOSED):
            self.begin()

    def fail(self, reason: str) -> None:
        """Count the request as lost; the next goes over a new connection, after a while."""
        self._close()
        if self._ticket != NO_MORE:
            lane = self._lane
            ticket = self._release_ticket()
            code = lane.outcomes.of_failure(lane.gateway)
            lane.count_unusual(ticket, code, self.since, clock() - self.since, reason=reason)
        if self._leaving:
            self._end()
            return
        self._engine.alarms.at(clock() + backoff(self._failures), self._begin_if_idle)
        self._failures += 1

    def _close(self) -> None:
        self._state = CLOSED
        self._parser = None
        self._wire.close()
