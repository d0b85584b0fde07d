"""The load engine: all connections of a process on one epoll.

A request costs one `recv`, one `send` and a few hundred bytecodes. gevent's hub watches the epoll's
own descriptor, so that Locust's greenlets go on beside it; connections stay registered for reading
as long as they live.
"""

from __future__ import annotations

import contextlib
import errno
import heapq
import itertools
import os
import socket as names
import ssl
import struct
from collections import deque
from collections.abc import Callable, Sequence
from time import monotonic as clock
from typing import Any

import gevent
from gevent import monkey
from gevent.event import Event

from load.counting import NO_MORE, Counter
from load.http import END_OF_HEAD, NO_HEAD, Answer, AnswerParser, BadAnswerError, Heads
from load.outcomes import Outcomes, row_of
from load.schedule import Schedule
from load.target import Target, Tls

# From before gevent's patches: an epoll that is really one, and sockets that never yield.
try:
    _epoll: Any = monkey.get_original("select", "epoll")
except AttributeError:  # macOS, Windows
    _epoll = None
AVAILABLE = _epoll is not None
_socket: Any = monkey.get_original("socket", "socket")
READ, WRITE = 0x001, 0x004

MOST_EVENTS = 256  # of one turn, before others have theirs
BUFFER = 64 * 1024  # more costs two to four times as much
SWEEP = 0.25  # seconds between looks for what took too long
FIRST_BACKOFF, LONGEST_BACKOFF = 0.05, 2.0  # seconds

CONNECTING, SHAKING_HANDS, IDLE, WAITING, CLOSED = range(5)


def backoff(failures: int) -> float:
    """Seconds to wait after a failure that followed so many others in a row."""
    return min(FIRST_BACKOFF * 2.0 ** min(failures, 10), LONGEST_BACKOFF)


class Engine:
    """Sends requests over connections that are added and removed, and counts the answers.

    Each connection is one to one of the `targets`. `on_failure(reason, seconds, length, variant)`
    is told of every lost request.
    """

    def __init__(
        self,
        targets: Sequence[Target],
        counter: Counter,
        outcomes: Outcomes,
        *,
        timeout: float,
        one_each: bool = False,
        schedule: Schedule | None = None,
        on_failure: Callable[..., None] = lambda *_: None,
    ) -> None:
        self.targets, self.counter, self.outcomes = targets, counter, outcomes
        self.timeout, self.one_each, self.schedule = timeout, one_each, schedule
        self.on_failure = on_failure
        self.heads = Heads()
        self.good_addresses = [0 for _ in targets]
        self.free: deque[Connection] = deque()  # ready to send, when the schedule says so
        self._numbers = itertools.count(1)
        self._connections: set[Connection] = set()
        self._by_descriptor: dict[int, Connection] = {}
        self._epoll = _epoll()
        self._alarms: list[tuple[float, int, Callable[[], None]]] = []
        self._new_alarm = Event()
        self._watcher = gevent.get_hub().loop.io(self._epoll.fileno(), 1)
        self._watcher.start(self._turn)
        self._greenlets = [gevent.spawn(self._sweep), gevent.spawn(self._ring)]

    # --- connections ---

    def add(
        self, request: bytes, pause: Callable[[], float] | None = None, gateway: int = 0
    ) -> Connection:
        """One more connection, sending a request at once, and again after each answer.

        `pause` gives seconds to wait in between; `gateway` is the number of its target.
        """
        connection = Connection(self, request, pause, gateway)
        self._connections.add(connection)
        gevent.get_hub().loop.run_callback(connection.begin)
        return connection

    def forget(self, connection: Connection) -> None:
        """A connection has ended for good."""
        self._connections.discard(connection)
        with contextlib.suppress(ValueError):
            self.free.remove(connection)

    def close(self) -> None:
        """End all connections; what is under way is given back."""
        for connection in list(self._connections):
            connection.abandon()
        gevent.killall(self._greenlets)
        self._watcher.stop()
        self._watcher.close()
        self._epoll.close()

    def next_number(self) -> int:
        """The number of a new connection."""
        return next(self._numbers)

    def watch(self, connection: Connection, descriptor: int, events: int) -> None:
        """Tell the connection of its socket's events."""
        self._by_descriptor[descriptor] = connection
        self._epoll.register(descriptor, events)

    def change(self, descriptor: int, events: int) -> None:
        """Watch for other events."""
        self._epoll.modify(descriptor, events)

    def unwatch(self, descriptor: int) -> None:
        """The socket is about to be closed, which takes it out of the epoll."""
        self._by_descriptor.pop(descriptor, None)

    # --- turns, called by the hub: nothing here may block or raise ---

    def _turn(self) -> None:
        poll, connections = self._epoll.poll, self._by_descriptor
        handled = 0
        while handled < MOST_EVENTS:
            events = poll(0, MOST_EVENTS)
            if not events:
                break
            for descriptor, mask in events:
                connection = connections.get(descriptor)
                if connection is None:
                    continue
                try:
                    connection.ready(mask)
                except Exception as error:
                    connection.fail(f"{type(error).__name__}: {error}")
            handled += len(events)

    # --- time ---

    def _sweep(self) -> None:
        """End what took too long; count what has come since."""
        while True:
            gevent.sleep(SWEEP)
            before = clock() - self.timeout
            for connection in list(self._connections):
                if connection.busy and connection.since < before:
                    connection.fail(f"no answer within {self.timeout:g} seconds")
            self.counter.flush()

    def at(self, due: float, call: Callable[[], None]) -> None:
        """Call something at a time."""
        heapq.heappush(self._alarms, (due, next(self._numbers), call))
        if self._alarms[0][0] == due:
            self._new_alarm.set()

    def _ring(self) -> None:
        while True:
            self._new_alarm.clear()
            now = clock()
            while self._alarms and self._alarms[0][0] <= now:
                heapq.heappop(self._alarms)[2]()
            left = max(self._alarms[0][0] - clock(), 0.0) if self._alarms else None
            self._new_alarm.wait(left)

    # --- open load ---

    def wait_for_schedule(self, connection: Connection) -> None:
        """The connection is free until the next request is due."""
        self.free.append(connection)
        if len(self.free) == 1:
            assert self.schedule is not None
            self.at(self.schedule.next_at, self._send_scheduled)

    def _send_scheduled(self) -> None:
        schedule, free = self.schedule, self.free
        assert schedule is not None
        now = clock()
        while free and schedule.next_at <= now:
            free.popleft().send_next(now)
        if free:
            self.at(schedule.next_at, self._send_scheduled)


class Connection:
    """One connection after the other, one request on its way at most."""

    __slots__ = (
        "_codes", "_count", "_counter", "_ended", "_engine", "_failures", "_gateway", "_head",
        "_heads", "_leaving",
        "_number", "_other_head", "_outcomes", "_parser", "_pause", "_read", "_receive",
        "_refused", "_request", "_send", "_simple", "_socket", "_state", "_take_ticket", "_target",
        "_ticket", "_tls", "_unsent", "since",
    )  # fmt: skip

    def __init__(
        self,
        engine: Engine,
        request: bytes,
        pause: Callable[[], float] | None,
        gateway: int,
    ) -> None:
        self._engine, self._request, self._pause = engine, request, pause
        self._gateway, self._target = gateway, engine.targets[gateway]
        self._codes = engine.outcomes.codes[gateway]
        # What every request needs is at hand.
        self._outcomes, self._read = engine.outcomes, engine.outcomes.read
        self._counter, self._count = engine.counter, engine.counter.count
        self._take_ticket = engine.counter.take
        self._heads = engine.heads.known
        self._head = self._other_head = NO_HEAD  # the last that were seen here
        self._simple = pause is None and engine.schedule is None and not engine.one_each
        self._state = CLOSED
        self._socket: Any = None
        self._tls: Tls | None = None
        self._parser: AnswerParser | None = None
        self._ticket = NO_MORE
        self._unsent = b""
        self._failures = self._refused = 0
        self._leaving = False
        self._ended = Event()
        self._number = 0
        self.since = 0.0  # when the request was sent, or was to be sent, or the connecting began

    @property
    def busy(self) -> bool:
        """Whether something is under way that may take too long."""
        return self._state in (CONNECTING, SHAKING_HANDS, WAITING)

    def leave(self) -> Event:
        """Send no more. The event is set when the last answer has come."""
        self._leaving = True
        if not self.busy:
            self._end()
        return self._ended

    def abandon(self) -> None:
        """End now; a request under way was never sent."""
        if self._ticket != NO_MORE:
            ticket, self._ticket = self._ticket, NO_MORE
            self._engine.counter.give_back(ticket)
        self._end()

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
        fresh = self._socket is None
        if fresh:
            self._number = 0 if engine.one_each else engine.next_number()
        ticket = self._ticket = engine.counter.take(self._number)
        if ticket == NO_MORE:
            self._state = CLOSED if fresh else IDLE
            return
        self.since = engine.schedule.take() if engine.schedule else now
        if fresh:
            self._connect()
        else:
            self._transmit()

    def _connect(self) -> None:
        engine = self._engine
        addresses = self._target.addresses
        good = engine.good_addresses[self._gateway]
        family, address = addresses[(good + self._refused) % len(addresses)]
        try:
            sock = self._socket = _socket(family, names.SOCK_STREAM)
            sock.setblocking(False)
            sock.setsockopt(names.IPPROTO_TCP, names.TCP_NODELAY, 1)
            if engine.one_each:  # thousands a second: none may keep its port for a minute
                sock.setsockopt(names.SOL_SOCKET, names.SO_LINGER, struct.pack("ii", 1, 0))
            code = sock.connect_ex(address)
        except OSError as error:
            self._refuse(error)
            return
        if code not in (0, errno.EINPROGRESS):
            self._refuse(OSError(code, os.strerror(code)))
            return
        self._state = CONNECTING
        engine.watch(self, sock.fileno(), READ | WRITE)

    def _refuse(self, error: OSError) -> None:
        """An address does not take us; another may."""
        self._refused += 1
        if self._refused < len(self._target.addresses):
            self._close()
            self._connect()
        else:
            self._broken(error)

    def _connected(self) -> None:
        """The socket has something to say of the connecting."""
        code = self._socket.getsockopt(names.SOL_SOCKET, names.SO_ERROR)
        if code:
            self._refuse(OSError(code, os.strerror(code)))
            return
        engine, target = self._engine, self._target
        good = engine.good_addresses[self._gateway] + self._refused
        engine.good_addresses[self._gateway] = good % len(target.addresses)
        self._refused = 0
        if target.context:
            descriptor = self._socket.fileno()
            self._tls = Tls(
                target.context,
                target.name,
                self._socket,
                on_blocked=lambda: engine.change(descriptor, READ | WRITE),
            )
            self._receive, self._send = self._tls.recv, self._tls.send
            self._state = SHAKING_HANDS
            engine.change(self._socket.fileno(), READ)
            self._shake_hands()
        else:
            self._receive, self._send = self._socket.recv, self._socket.send
            engine.change(self._socket.fileno(), READ)
            self._start_transmission()

    def _shake_hands(self) -> None:
        assert self._tls
        try:
            if not self._tls.shake_hands():
                return
        except ssl.SSLCertVerificationError as error:
            self.fail(f"the certificate is not to be trusted: {error.verify_message}")
        except ssl.SSLError as error:
            self.fail(f"TLS: {error.reason or error}")
        else:
            self._start_transmission()

    def _start_transmission(self) -> None:
        # The time of connecting is not the gateway's answer's; by schedule, it is part of the wait.
        if not self._engine.schedule:
            self.since = clock()
        self._transmit()

    def _transmit(self) -> None:
        request = self._request
        self._state = WAITING
        try:
            sent = self._send(request)
        except BlockingIOError:
            sent = 0
        except OSError as error:
            self._broken(error)
            return
        if sent < len(request):
            self._unsent = request[sent:]
            self._engine.change(self._socket.fileno(), READ | WRITE)

    def ready(self, mask: int) -> None:
        """The socket has something: the hot path is an ordinary answer in one piece."""
        if self._state != WAITING or mask != READ:
            self._unusual(mask)
            return
        try:
            data = self._receive(BUFFER)
        except BlockingIOError:
            return
        except OSError as error:
            self._broken(error)
            return
        if self._parser:
            self._take(data)
            return
        head = self._head
        if not data.startswith(head.raw):
            # Two variants' heads in turn, as a rule.
            head, self._other_head = self._other_head, head
            if not data.startswith(head.raw):
                head = self._heads.get(data[: data.find(END_OF_HEAD) + 4], NO_HEAD)
            self._head = head
        if len(data) == head.whole:
            body: bytes | None = data[head.body_at :]
        else:
            body = head.body(data)
        if body is None:
            self._take(data)
            return
        now = clock()
        outcomes = self._outcomes
        code = self._codes.get(self._read(body, head.headers).variant)
        if code is None or outcomes.comparing:
            self._answered(Answer(200, head.headers, body, True), now)
            return
        since = self.since
        self._count(self._ticket, code, since - self._counter.began, now - since, len(body))
        if not self._simple or self._leaving:
            self._next(keep=True)
            return
        ticket = self._ticket = self._take_ticket(self._number)
        if ticket == NO_MORE:
            self._state = IDLE
            return
        self.since = now
        self._transmit()

    # --- everything else that may happen ---

    def _unusual(self, mask: int) -> None:
        state = self._state
        if state == CONNECTING:
            self._connected()
        elif state == SHAKING_HANDS:
            try:
                assert self._tls
                if mask & WRITE and self._tls.flush():
                    self._engine.change(self._socket.fileno(), READ)
                if not mask & ~WRITE:
                    return
                self._tls.receive(BUFFER)
            except BlockingIOError:
                return
            except OSError as error:
                self._broken(error)
                return
            self._shake_hands()
        elif state == WAITING:
            if mask & WRITE:
                self._send_rest()
            if mask & ~WRITE and self._state == WAITING:
                self._read_on()
        else:  # nothing was asked: the gateway closes, or talks out of turn
            self._close()

    def _send_rest(self) -> None:
        try:
            self._unsent = self._unsent[self._send(self._unsent) :] if self._unsent else b""
            if not self._unsent and (not self._tls or self._tls.flush()):
                self._engine.change(self._socket.fileno(), READ)
        except BlockingIOError:
            return
        except OSError as error:
            self._broken(error)

    def _read_on(self) -> None:
        try:
            self._take(self._receive(BUFFER))
        except BlockingIOError:
            return
        except OSError as error:
            self._broken(error)

    def _take(self, data: bytes) -> None:
        """Bytes of an answer that is not ordinary, or not whole; none at the end."""
        try:
            if not data:
                answer = self._parser.end() if self._parser else None
                if answer is None:
                    self.fail("the connection was closed before the end of the answer")
                    return
            else:
                if self._parser is None:
                    self._learn(data)
                    self._parser = AnswerParser()
                answer = self._parser.feed(data)
        except BadAnswerError as error:
            self.fail(str(error))
            return
        if answer:
            self._parser = None
            self._answered(answer, clock())

    def _learn(self, data: bytes) -> None:
        end = data.find(END_OF_HEAD)
        if end >= 0:
            self._engine.heads.learn(data[: end + len(END_OF_HEAD)])

    def _answered(self, answer: Answer, now: float) -> None:
        engine = self._engine
        code, reason = engine.outcomes.of_answer(
            answer.status, answer.headers, answer.body, self._gateway
        )
        # Given up first: whatever goes wrong from here on, it is counted once.
        ticket, self._ticket = self._ticket, NO_MORE
        latency = now - self.since
        counter = engine.counter
        sent_at, size = self.since - counter.began, len(answer.body)
        if reason and counter.counts(sent_at):
            engine.on_failure(reason, latency, size, row_of(counter.kinds[code]))
        counter.count(ticket, code, sent_at, latency, size, reason)
        self._next(keep=answer.keep)

    def _next(self, *, keep: bool) -> None:
        """After an answer: the next request, now or when it is due."""
        self._failures = 0
        self._ticket = NO_MORE
        self._state = IDLE
        if not keep or self._engine.one_each:
            self._close()
        if self._pause and not self._leaving:
            self._engine.at(clock() + self._pause(), self._begin_if_idle)
        else:
            self.begin()

    def _begin_if_idle(self) -> None:
        if self._state in (IDLE, CLOSED):
            self.begin()

    def _broken(self, error: OSError) -> None:
        self.fail(f"{type(error).__name__}: {error.strerror or error}")

    def fail(self, reason: str) -> None:
        """The request has no answer; the next goes over a new connection, after a while."""
        engine, ticket = self._engine, self._ticket
        self._close()
        self._ticket, self._refused = NO_MORE, 0
        if ticket != NO_MORE:
            counter = engine.counter
            latency = clock() - self.since
            sent_at, code = self.since - counter.began, engine.outcomes.of_failure(self._gateway)
            if counter.counts(sent_at):
                engine.on_failure(reason, latency, 0, "")
            counter.count(ticket, code, sent_at, latency, 0, reason)
        if self._leaving:
            self._end()
            return
        engine.at(clock() + backoff(self._failures), self._begin_if_idle)
        self._failures += 1

    def _close(self) -> None:
        self._state, self._parser, self._tls, self._unsent = CLOSED, None, None, b""
        if self._socket is not None:
            sock, self._socket = self._socket, None
            self._engine.unwatch(sock.fileno())
            sock.close()
