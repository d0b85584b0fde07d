"""One request after the other, over one connection to a gateway after the other."""

from __future__ import annotations

from random import random
from time import monotonic as clock
from typing import TYPE_CHECKING

from trafficsplit.errors import BrokenError
from trafficsplit.load.dialing import Dialer, UnconnectedError, broken_off
from trafficsplit.load.hangs import UnderWay
from trafficsplit.load.http import (
    END_OF_HEAD,
    NO_HEAD,
    Answer,
    AnswerParser,
    BadAnswerError,
    Head,
)
from trafficsplit.load.lane import Lane
from trafficsplit.load.ledger import NO_MORE
from trafficsplit.load.poller import READ, WRITE
from trafficsplit.load.wire import BUFFER, Wire

if TYPE_CHECKING:
    from trafficsplit.load.caller import Caller
    from trafficsplit.load.engine import Engine

LONGEST_IDLE = 3.0  # seconds; servers close connections that are idle from five on
# Requests that a connection sends before it makes room for a new one: behind a balancer, each
# connection is one draw of a replica.
FEWEST_REQUESTS = 25
MOST_REQUESTS = 75

CONNECTING, IDLE, WAITING, CLOSED = range(4)


def requests_of(number: int) -> int:
    """Return how many requests a connection sends, 50 on average, the same for each number.

    They differ, as connections that are opened together should not be renewed together.
    """
    scattered = number * 2654435761 % 2**32  # by the golden ratio (Knuth, TAOCP 3, section 6.4)
    return FEWEST_REQUESTS + scattered * (MOST_REQUESTS - FEWEST_REQUESTS + 1) // 2**32


class Connection:
    """One connection after the other, with one request under way at most.

    `since` is when the last request was sent, or was due, or when the connecting began, by the
    monotonic clock, and `behind` how much later than it was due it was sent. `shared` says that any
    caller may use it when it is free.
    """

    __slots__ = (
        "_again",
        "_caller",
        "_dialer",
        "_engine",
        "_first_left",
        "_head",
        "_lane",
        "_left",
        "_number",
        "_other_head",
        "_parser",
        "_shared",
        "_state",
        "_ticket",
        "_wire",
        "behind",
        "since",
    )

    def __init__(self, engine: Engine, lane: Lane, *, shared: bool) -> None:
        self._engine = engine
        self._lane = lane
        self._shared = shared
        # Where thousands are opened a second, none may keep its port for a minute.
        self._wire = Wire(engine.poller, reset=engine.waiting.one_each or not shared)
        self._dialer = Dialer(lane, self._wire)
        self._caller: Caller | None = None
        self._state = CLOSED
        self._parser: AnswerParser | None = None
        self._head: Head = NO_HEAD  # of the last answer here
        self._other_head: Head = NO_HEAD  # of the last answer with another head
        self._ticket = NO_MORE
        self._number = 0
        self._left = 0  # requests until it makes room for a new one
        self._first_left = 0  # the same when it was new
        self._again = NO_MORE  # the request that was sent again last
        self.since = 0.0
        self.behind = 0.0

    @property
    def sent(self) -> float:
        """When the last request was really sent: before, it was no gateway that it waited for."""
        return self.since + self.behind

    @property
    def under_way(self) -> UnderWay:
        """The request that waits for its answer."""
        since = self.sent - self._lane.counter.began
        return UnderWay(self._ticket, self._lane.gateway, since, max(self._left - 1, 0))

    def give_up(self) -> None:
        """Close it; what has become of the request will not be known."""
        if self._ticket != NO_MORE:
            self._lane.counter.give_up(self._release_ticket(), self._lane.gateway)
        self._close()
        self._free()

    def _release_ticket(self) -> int:
        ticket = self._ticket
        self._ticket = NO_MORE
        return ticket

    def _free(self) -> None:
        """Let others use it."""
        self._caller = None
        if self._shared:
            self._lane.free.append(self)

    # --- the way of an ordinary request: send, ready ---

    def send(self, caller: Caller, now: float) -> None:
        """Take a ticket and send a caller's request, over a new connection where none is open."""
        visitor = caller.visitor
        if self._state != CLOSED and now - self.sent > LONGEST_IDLE and visitor is None:
            self._renew()
        fresh = self._state == CLOSED
        if fresh:
            self._begin_anew()
        if visitor:
            visitor.next()
            self._number = visitor.number
            caller.request = visitor.request
            self._dialer.source = visitor.source
        ticket = self._lane.take(self._number)
        if ticket == NO_MORE:
            caller.connection = None
            self._free()
            return
        self._ticket = ticket
        self._caller = caller
        caller.connection = self
        schedule = self._engine.schedule
        self.since = schedule.take() if schedule else now
        self.behind = now - self.since
        if fresh:
            self._connect()
        else:
            self._transmit(caller)

    def _begin_anew(self) -> None:
        """Take the number of a new connection."""
        self._number = 0
        self._left = 1
        if not self._engine.waiting.one_each:
            self._number = self._engine.next_number()
            self._left = requests_of(self._number)
        self._first_left = self._left

    def _transmit(self, caller: Caller) -> None:
        self._state = WAITING
        try:
            self._wire.transmit(caller.request)
        except OSError as error:
            self._break_off(error)

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
            self._break_off(error)
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
        caller = self._caller
        assert caller
        if caller.visitor:
            caller.visitor.take(head.headers)
        since = self.since
        lane.count(self._ticket, code, since - lane.counter.began, now - since, len(body))
        self._left -= 1
        if not caller.simple or self._left <= 0:
            self._next(keep=True)
            return
        # What `_next` and `send` do, in a few steps: another one is picked at random, or this one.
        free = lane.free
        index = int(random() * (len(free) + 1))
        connection = self
        if index < len(free):
            connection = free[index]
            free[index] = self
        self._caller = None
        self._ticket = NO_MORE
        self._state = IDLE
        if connection._state == CLOSED or now - connection.since > LONGEST_IDLE:
            connection.send(caller, now)
            return
        ticket = lane.take(connection._number)
        if ticket == NO_MORE:
            caller.connection = None
            connection._free()
            return
        connection._ticket = ticket
        connection._caller = caller
        caller.connection = connection
        connection.since = now
        connection.behind = 0.0
        connection._transmit(caller)

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
        if not self._engine.waiting.one_each:
            self._lane.hangs.open_connection(self._lane.gateway)
        assert self._caller
        self._transmit(self._caller)

    def _give_up(self, error: BrokenError) -> None:
        """Send no more, for a fault of this machine: the request counts as never sent."""
        caller = self._caller
        assert caller
        self._lane.counter.give_back(self._release_ticket())
        caller.abandon()
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
            self._break_off(error)

    def _break_off(self, error: OSError) -> None:
        """Go on after the connection has ended with an error."""
        if not self._send_again():
            self.fail(broken_off(error))

    def _send_again(self) -> bool:
        """Send the request anew, if the gateway has closed a kept connection before it answered.

        Servers close connections that they have kept, as they reload or have served enough, while
        a request is on its way: that is no error. An idempotent one is sent again over a new
        connection, once, as the same request (RFC 9110, section 9.2.2; RFC 9112, section 9.3.1).
        Return whether it is.
        """
        caller = self._caller
        assert caller
        is_kept = self._left < self._first_left
        is_new = self._ticket not in (NO_MORE, self._again)
        if not is_kept or not is_new or self._parser or not caller.is_idempotent:
            return False
        self._close()
        self._again = self._ticket
        self._begin_anew()
        if caller.visitor:
            self._number = caller.visitor.number
        counter = self._lane.counter
        counter.ledger.change_connection(self._ticket, self._number)
        counter.sums.sent_again += 1
        self._connect()
        return True

    def _take(self, data: bytes) -> None:
        """Take bytes of an answer that is not ordinary, or not whole; no bytes at its end."""
        if not data and self._send_again():
            return
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
        if self._caller and self._caller.visitor:
            self._caller.visitor.take(answer.headers)
        code, reason = lane.outcomes.of_answer(answer, lane.gateway)
        # Released first: if anything goes wrong from here on, the request is not counted again.
        ticket = self._release_ticket()
        latency = now - self.since
        lane.count_unusual(ticket, code, self.since, latency, len(answer.body), reason)
        self._left -= 1
        self._next(keep=answer.keep)

    def _next(self, *, keep: bool) -> None:
        """Go on after an answer: free the connection, and let the caller send its next request."""
        caller = self._caller
        assert caller
        self._ticket = NO_MORE
        self._state = IDLE
        if caller.visitor:
            if not keep or caller.visitor.is_over:
                self._close()
        elif not keep:
            self._close()
        elif self._left <= 0:
            self._renew()
        self._free()
        caller.connection = None
        caller.answered()

    def fail(self, reason: str) -> None:
        """Count the request as lost; the caller's next one is sent after a while."""
        caller = self._caller
        assert caller
        self._close()
        if self._ticket != NO_MORE:
            lane = self._lane
            left = max(self._left - 1, 0)
            ticket = self._release_ticket()
            waited = clock() - self.since
            if not self._engine.waiting.one_each and lane.counter.counts(
                self.since - lane.counter.began
            ):
                lane.hangs.hang(lane.gateway, left, waited - self.behind)
            code = lane.outcomes.of_failure(lane.gateway)
            lane.count_unusual(ticket, code, self.since, waited, reason=reason)
        self._free()
        caller.connection = None
        caller.failed()

    def _renew(self) -> None:
        """Close it, to be opened anew by the next who uses it."""
        self._wire.reset()
        self._close()

    def close(self) -> None:
        """Close it for good."""
        self._close()

    def _close(self) -> None:
        self._state = CLOSED
        self._parser = None
        self._wire.close()
