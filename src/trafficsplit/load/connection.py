"""One request after the other, over one connection to a gateway after the other."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from time import monotonic as clock
from typing import TYPE_CHECKING

from gevent.event import Event

from trafficsplit.errors import BrokenError
from trafficsplit.load.counting import NO_MORE
from trafficsplit.load.endpoint import Endpoint
from trafficsplit.load.http import (
    END_OF_HEAD,
    NO_HEAD,
    Answer,
    AnswerParser,
    BadAnswerError,
    Head,
)
from trafficsplit.load.outcomes import row_of
from trafficsplit.load.poller import READ, WRITE
from trafficsplit.load.wire import Wire

if TYPE_CHECKING:
    from trafficsplit.load.engine import Engine

BUFFER = 64 * 1024  # bytes; a larger one costs two to four times as much
FIRST_BACKOFF = 0.05  # seconds
LONGEST_BACKOFF = 2.0  # seconds

CONNECTING, SHAKING_HANDS, IDLE, WAITING, CLOSED = range(5)


def backoff(failures: int) -> float:
    """Return seconds to wait after a failure that followed so many others in a row."""
    return min(FIRST_BACKOFF * 2.0 ** min(failures, 10), LONGEST_BACKOFF)


class Lane:
    """What all connections to one gateway share: what every request needs is at hand here."""

    __slots__ = (
        "codes",
        "count",
        "counter",
        "endpoint",
        "gateway",
        "good_address",
        "heads",
        "outcomes",
        "read",
        "take",
    )

    def __init__(self, engine: Engine, gateway: int, endpoint: Endpoint) -> None:
        self.gateway = gateway
        self.endpoint = endpoint
        self.good_address = 0  # the index of one that took a connection
        self.outcomes = engine.outcomes
        self.read = engine.outcomes.read
        self.codes = engine.outcomes.codes[gateway]
        self.counter = engine.counter
        self.count = engine.counter.count
        self.take = engine.counter.ledger.take
        self.heads = engine.heads.known


class Connection:
    """One connection after the other, one request on its way at most.

    `since` is when the request was sent, or was to be sent, or the connecting began.
    """

    __slots__ = (
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
        "_refused",
        "_request",
        "_simple",
        "_state",
        "_ticket",
        "_wire",
        "since",
    )

    def __init__(
        self,
        engine: Engine,
        lane: Lane,
        request: bytes,
        pause: Callable[[], float] | None,
    ) -> None:
        self._engine = engine
        self._lane = lane
        self._request = request
        self._pause = pause
        # The next request may be sent as soon as an answer has come.
        self._simple = pause is None and engine.schedule is None and not engine.waiting.one_each
        # Where thousands are opened a second, none may keep its port for a minute.
        self._wire = Wire(engine.poller, reset=engine.waiting.one_each)
        self._state = CLOSED
        self._parser: AnswerParser | None = None
        self._head: Head = NO_HEAD  # of the last answer here
        self._other_head: Head = NO_HEAD  # and of the last one with another head
        self._ticket = NO_MORE
        self._number = 0
        self._failures = 0  # in a row
        self._refused = 0  # addresses, in a row
        self._leaving = False
        self._ended = Event()
        self.since = 0.0

    @property
    def busy(self) -> bool:
        """Whether something is under way that may take too long."""
        return self._state in (CONNECTING, SHAKING_HANDS, WAITING)

    def leave(self) -> Event:
        """Send no more; return an event that is set when the last answer has come."""
        self._leaving = True
        if not self.busy:
            self._end()
        return self._ended

    def abandon(self) -> None:
        """End now; a request under way was never sent."""
        if self._ticket != NO_MORE:
            self._lane.counter.give_back(self._taken_ticket())
        self._end()

    def _taken_ticket(self) -> int:
        ticket = self._ticket
        self._ticket = NO_MORE
        return ticket

    def _end(self) -> None:
        self._leaving = True
        self._close()
        self._engine.forget(self)
        self._ended.set()

    # --- the way of a request: begin, connect, send, ready ---

    def begin(self) -> None:
        """Send the next request, when it is due."""
        if self._leaving:
            self._end()
        elif self._engine.schedule:
            self._engine.wait_for_schedule(self)
        else:
            self.send_next(clock())

    def send_next(self, now: float) -> None:
        """Take a ticket, and send the request; over a new connection where there is none."""
        engine = self._engine
        fresh = not self._wire.is_open
        if fresh:
            self._number = 0 if engine.waiting.one_each else engine.next_number()
        ticket = self._ticket = self._lane.take(self._number)
        if ticket == NO_MORE:
            self._state = CLOSED if fresh else IDLE
            return
        self.since = engine.schedule.take() if engine.schedule else now
        if fresh:
            self._connect()
        else:
            self._transmit()

    def _connect(self) -> None:
        lane = self._lane
        addresses = lane.endpoint.addresses
        address = addresses[(lane.good_address + self._refused) % len(addresses)]
        self._state = CONNECTING
        try:
            self._wire.connect(address, self.ready)
        except OSError as error:
            self._refuse(error)
        except BrokenError as error:
            self._give_up(error)

    def _refuse(self, error: OSError) -> None:
        """An address does not take us; another may."""
        self._refused += 1
        if self._refused < len(self._lane.endpoint.addresses):
            self._close()
            self._connect()
        else:
            self._broken_off(error)

    def _give_up(self, error: BrokenError) -> None:
        """Send no more, for a fault of our own: the request was never sent."""
        self.abandon()
        self._engine.on_broken(error)

    def _connected(self) -> None:
        """The socket has something to say of the connecting."""
        try:
            self._wire.finish_connecting()
        except OSError as error:
            self._refuse(error)
            return
        lane = self._lane
        good = lane.good_address + self._refused
        lane.good_address = good % len(lane.endpoint.addresses)
        self._refused = 0
        if lane.endpoint.context:
            self._wire.begin_tls(lane.endpoint)
            self._state = SHAKING_HANDS
            self._shake_hands()
        else:
            self._start_transmission()

    def _shake_hands(self) -> None:
        try:
            if self._wire.shake_hands():
                self._start_transmission()
        except ssl.SSLCertVerificationError as error:
            self.fail(f"the certificate is not to be trusted: {error.verify_message}")
        except ssl.SSLError as error:
            self.fail(f"TLS: {error.reason or error}")
        except OSError as error:
            self._broken_off(error)

    def _start_transmission(self) -> None:
        # The time of connecting is not the gateway's answer's; on schedule, it is part of the wait.
        if not self._engine.schedule:
            self.since = clock()
        self._transmit()

    def _transmit(self) -> None:
        self._state = WAITING
        try:
            self._wire.transmit(self._request)
        except OSError as error:
            self._broken_off(error)

    def ready(self, mask: int) -> None:
        """The socket has something: the hot path is an ordinary answer in one piece."""
        if self._state != WAITING or mask != READ:
            self._unusual(mask)
            return
        try:
            data = self._wire.receive(BUFFER)
        except BlockingIOError:
            return
        except OSError as error:
            self._broken_off(error)
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
            # Two variants' heads in turn, as a rule.
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
        since = self.since
        lane.count(self._ticket, code, since - lane.counter.began, now - since, len(body))
        if not self._simple or self._leaving:
            self._next(keep=True)
            return
        ticket = self._ticket = lane.take(self._number)
        if ticket == NO_MORE:
            self._state = IDLE
            return
        self.since = now
        self._transmit()

    # --- everything else that may happen ---

    def _unusual(self, mask: int) -> None:
        if self._state == CONNECTING:
            self._connected()
        elif self._state == SHAKING_HANDS:
            self._go_on_shaking(mask)
        elif self._state == WAITING:
            if mask & WRITE:
                self._send_rest()
            if mask & ~WRITE and self._state == WAITING:
                self._read_on()
        else:  # nothing was asked: the gateway closes, or talks out of turn
            self._close()

    def _go_on_shaking(self, mask: int) -> None:
        try:
            if not self._wire.hands_shaken(mask, BUFFER):
                return
        except BlockingIOError:
            return
        except OSError as error:
            self._broken_off(error)
            return
        self._shake_hands()

    def _send_rest(self) -> None:
        try:
            self._wire.send_rest()
        except OSError as error:
            self._broken_off(error)

    def _read_on(self) -> None:
        try:
            data = self._wire.receive(BUFFER)
        except BlockingIOError:
            return
        except OSError as error:
            self._broken_off(error)
            return
        self._take(data)

    def _take(self, data: bytes) -> None:
        """Take bytes of an answer that is not ordinary, or not whole; none at the end."""
        try:
            answer = self._parsed(data)
        except BadAnswerError as error:
            self.fail(str(error))
            return
        if answer:
            self._parser = None
            self._answered(answer, clock())

    def _parsed(self, data: bytes) -> Answer | None:
        """Return the answer, once it is whole. Raises BadAnswerError."""
        if not data:
            answer = self._parser.end() if self._parser else None
            if answer is None:
                raise BadAnswerError("the connection was closed before the end of the answer")
            return answer
        if self._parser is None:
            self._learn(data)
            self._parser = AnswerParser()
        return self._parser.feed(data)

    def _learn(self, data: bytes) -> None:
        end = data.find(END_OF_HEAD)
        if end >= 0:
            self._engine.heads.learn(data[: end + len(END_OF_HEAD)])

    def _answered(self, answer: Answer, now: float) -> None:
        lane = self._lane
        counter = lane.counter
        code, reason = lane.outcomes.of_answer(answer, lane.gateway)
        # Given up first: whatever goes wrong from here on, it is counted once.
        ticket = self._taken_ticket()
        latency = now - self.since
        sent_at = self.since - counter.began
        size = len(answer.body)
        if reason and counter.counts(sent_at):
            self._engine.on_failure(reason, latency, size, row_of(counter.kinds[code]))
        counter.count(ticket, code, sent_at, latency, size, reason)
        self._next(keep=answer.keep)

    def _next(self, *, keep: bool) -> None:
        """After an answer: send the next request, now or when it is due."""
        self._failures = 0
        self._ticket = NO_MORE
        self._state = IDLE
        if not keep or self._engine.waiting.one_each:
            self._close()
        if self._pause and not self._leaving:
            self._engine.alarms.at(clock() + self._pause(), self._begin_if_idle)
        else:
            self.begin()

    def _begin_if_idle(self) -> None:
        if self._state in (IDLE, CLOSED):
            self.begin()

    def _broken_off(self, error: OSError) -> None:
        self.fail(f"{type(error).__name__}: {error.strerror or error}")

    def fail(self, reason: str) -> None:
        """The request has no answer; the next goes over a new connection, after a while."""
        self._close()
        self._refused = 0
        if self._ticket != NO_MORE:
            self._count_failure(reason)
        if self._leaving:
            self._end()
            return
        self._engine.alarms.at(clock() + backoff(self._failures), self._begin_if_idle)
        self._failures += 1

    def _count_failure(self, reason: str) -> None:
        counter = self._lane.counter
        ticket = self._taken_ticket()
        latency = clock() - self.since
        sent_at = self.since - counter.began
        code = self._lane.outcomes.of_failure(self._lane.gateway)
        if counter.counts(sent_at):
            self._engine.on_failure(reason, latency, 0, "")
        counter.count(ticket, code, sent_at, latency, 0, reason)

    def _close(self) -> None:
        self._state = CLOSED
        self._parser = None
        self._wire.close()
