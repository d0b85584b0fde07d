"""The engine against servers that behave, and servers that do not; real sockets, no Locust."""

from __future__ import annotations

import gzip
import itertools
import re
import socket
import struct
import threading
import time
from collections import Counter as Counts

import gevent
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fakes.servers import Handler, always, page, plain, read_request, served
from tests.support.engines import drive, drive_endpoint, endpoint_at, running, turned_until
from tests.support.runs import CANARY
from trafficsplit.analysis.latency import quantile
from trafficsplit.identify.identifier import identifier_of
from trafficsplit.load import connection as connections
from trafficsplit.load.connection import MOST_REQUESTS
from trafficsplit.load.counting import Counter
from trafficsplit.load.engine import SWEEP, Engine, Waiting
from trafficsplit.load.outcomes import Outcomes
from trafficsplit.load.schedule import Schedule

GREEN_PAGE = page("green")
GREEN = plain(GREEN_PAGE)
BLUE = plain(page("blue"))
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
CHUNK = b"%x\r\n%s\r\n" % (len(GREEN_PAGE), GREEN_PAGE)
LAST = b"0\r\n\r\n"


def in_pieces(*pieces: bytes, pause: float = 0.02, close: bool = False) -> Handler:
    def handler(connection: socket.socket, _: int) -> None:
        while read_request(connection):
            for piece in pieces:
                connection.sendall(piece)
                time.sleep(pause)
            if close:
                return

    return handler


ORDINARY = {
    "plain": always(GREEN),
    "pieces": in_pieces(GREEN[:30], GREEN[30:100], GREEN[100:]),
    "chunked": always(CHUNKED + CHUNK + LAST),
    "chunks": in_pieces(CHUNKED + b"5\r\n<!-- ", b"\r\n4\r\n -->\r\n" + CHUNK, LAST),
    "until close": in_pieces(b"HTTP/1.1 200 OK\r\n\r\n", GREEN_PAGE, close=True),
    "HTTP/1.0": always(b"HTTP/1.0 200 OK\r\n\r\n" + GREEN_PAGE, close=True),
    "Connection: close": always(plain(GREEN_PAGE, "200 OK", "Connection: close"), close=True),
    "interim": always(b"HTTP/1.1 102 Processing\r\n\r\n" + GREEN),
    "interim in pieces": in_pieces(b"HTTP/1.1 103 Early Hints\r\nLink: <x>\r\n\r\n", GREEN),
    "gzip": always(plain(gzip.compress(GREEN_PAGE), "200 OK", "Content-Encoding: gzip")),
    "long": always(plain(GREEN_PAGE + b" " * 200_000)),
    "twice": always(GREEN + GREEN),  # the second was not asked for
}


@pytest.mark.parametrize("kind", ORDINARY)
def test_answers_of_every_kind_are_counted(kind: str) -> None:
    driven = drive(ORDINARY[kind], 12)
    assert driven.counter.tally.counts == {"blue": 0, "green": 12}


def stall(connection: socket.socket, _: int) -> None:
    read_request(connection)
    connection.recv(1)


def drip(connection: socket.socket, _: int) -> None:
    read_request(connection)
    for byte in GREEN:
        connection.sendall(bytes([byte]))
        time.sleep(0.05)


def endless_head(connection: socket.socket, _: int) -> None:
    read_request(connection)
    connection.sendall(b"HTTP/1.1 200 OK\r\n")
    while True:
        connection.sendall(b"X-More: and more\r\n" * 100)


def endless_body(connection: socket.socket, _: int) -> None:
    read_request(connection)
    connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
    while True:
        connection.sendall(b"x" * 65536)


def reset(connection: socket.socket, _: int) -> None:
    read_request(connection)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def hang_up(connection: socket.socket, _: int) -> None:
    """End the connection before anything is asked."""


CUT_OFF = "the connection was closed before the end of the answer"
LOST: dict[str, tuple[Handler, str]] = {
    "rubbish": (always(b"rubbish\r\n\r\n"), "no answer of HTTP/1.1"),
    "half a body": (always(GREEN[:-5], close=True), CUT_OFF),
    "half a head": (always(GREEN[:20], close=True), CUT_OFF),
    "closed": (hang_up, "closed before the end|Connection"),
    "reset": (reset, "ConnectionResetError"),
    "stalled": (stall, "no answer within 0.4 seconds"),
    "dripping": (drip, "no answer within 0.4 seconds"),
    "endless head": (endless_head, "the head of the answer exceeds 65,536 bytes"),
    "endless body": (endless_body, "the body of the answer exceeds"),
    "redirect": (always(plain(b"", "302 Found", "Location: /login")), "HTTP 302 to /login"),
    "503": (always(plain(GREEN_PAGE, "503 Service Unavailable")), "HTTP 503"),
    "not gzip": (
        always(plain(b"rubbish", "200 OK", "Content-Encoding: gzip")),
        "the body is not gzip",
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("kind", LOST)
def test_what_is_no_good_answer_is_an_error_once_with_its_reason(kind: str) -> None:
    handler, reason = LOST[kind]
    waiting = Waiting(0.4) if "within" in reason else Waiting(60)
    driven = drive(handler, 4, waiting=waiting)
    assert driven.counter.tally.errors == 4
    assert all(re.search(reason, text) for text in driven.failures), driven.failures


def test_a_refused_connection_is_an_error_and_no_busy_loop() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    driven = drive_endpoint(endpoint_at(port), 12, users=3)
    assert driven.counter.sums.losses == {"ConnectionRefusedError: Connection refused": 12}
    # four a user, each after a longer pause: 0.05 + 0.1 + 0.2 seconds at least
    assert driven.elapsed > 0.3


def test_it_recovers_when_the_gateway_does() -> None:
    def first_bad(connection: socket.socket, number: int) -> None:
        if number < 4:
            return
        always(GREEN)(connection, number)

    driven = drive(first_bad, 40)
    assert driven.counter.tally.errors == 4
    assert driven.counter.tally.counts["green"] == 36


def test_a_connection_that_the_server_ends_between_requests_costs_nothing() -> None:
    def one_each(connection: socket.socket, _: int) -> None:
        read_request(connection)
        # The end travels with the answer, however busy the machine is.
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_CORK, 1)
        connection.sendall(GREEN)
        connection.shutdown(socket.SHUT_WR)

    driven = drive(one_each, 30, users=1, rate=100)
    assert driven.counter.tally.counts == {"blue": 0, "green": 30}


@pytest.mark.parametrize("end", ["close", "reset"])
@pytest.mark.parametrize("served", [1, 7])
def test_a_kept_connection_that_is_closed_instead_of_an_answer_costs_nothing(
    served: int, end: str
) -> None:
    def some_each(connection: socket.socket, _: int) -> None:
        for _ in range(served):
            if not read_request(connection):
                return
            connection.sendall(GREEN)
        if not read_request(connection):  # the request is there: no answer to it will be
            return
        if end == "reset":
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    driven = drive(some_each, 600, users=3)
    tally = driven.counter.tally
    assert (tally.errors, tally.counts["green"]) == (0, 600)
    assert driven.counter.counted.sent_again > 20
    (hanging,) = driven.counter.counted.hanging
    assert hanging.hung == 0


def test_a_request_is_sent_again_once_and_only_if_no_byte_had_come() -> None:
    def twice(connection: socket.socket, number: int) -> None:
        if number % 2:
            return  # the second try finds a closed door, too
        read_request(connection)
        connection.sendall(GREEN)
        read_request(connection)

    driven = drive(twice, 40, users=1)
    assert driven.counter.tally.errors > 0
    assert driven.counter.tally.requests == 40

    def half(connection: socket.socket, _: int) -> None:
        read_request(connection)
        connection.sendall(GREEN)
        read_request(connection)
        connection.sendall(GREEN[:20])

    driven = drive(half, 40, users=1)
    assert driven.counter.counted.sent_again == 0
    assert driven.failures.count(CUT_OFF) == driven.counter.tally.errors > 0


def test_connections_are_kept_numbered_and_renewed() -> None:
    seen: list[int] = []

    def handler(connection: socket.socket, number: int) -> None:
        while read_request(connection):
            seen.append(number)
            connection.sendall(BLUE)

    driven = drive(handler, 6000, users=3)
    requests = Counts(seen)
    order = driven.counter.sums.order(0)
    assert order.connections.groups == len(requests)
    assert order.within_connections.pairs == 6000 - len(requests)
    # 35 are open at a time, and each is renewed after 25 to 75 requests.
    assert 6000 / 75 <= len(requests) <= 6000 / 25 + 35
    assert max(requests.values()) <= MOST_REQUESTS
    assert len(set(requests.values())) > 20
    assert driven.counter.tally.lost == 0
    (hanging,) = driven.counter.counted.hanging
    assert (hanging.connections, hanging.hung) == (len(requests), 0)


def test_with_a_connection_each_none_is_numbered() -> None:
    each = drive(always(BLUE), 30, users=3, waiting=Waiting(60, one_each=True))
    assert each.counter.sums.order(0).connections.groups == 0
    assert each.counter.counted.hanging[0].connections == 0


class InTurn:
    """Deals requests out as a smooth weighted round robin does, 75 to 25."""

    def __init__(self) -> None:
        self._turn = itertools.count()
        self._lock = threading.Lock()

    def __call__(self, connection: socket.socket, _: int) -> None:
        while read_request(connection):
            with self._lock:
                turn = next(self._turn)
            connection.sendall(GREEN if turn % 4 == 2 else BLUE)


@pytest.mark.slow
@pytest.mark.parametrize(("users", "rate"), [(1, 0), (4, 0), (16, 0), (16, 1500)])
def test_users_in_step_with_a_gateway_are_not_dealt_the_same_turn(users: int, rate: int) -> None:
    driven = drive(InTurn(), 3000, users=users, rate=rate)
    agreement = driven.counter.sums.order(0).within_connections
    chance = 0.75**2 + 0.25**2
    # Users in step, each over a connection of its own, agree in all pairs.
    assert agreement.agreed / agreement.pairs < chance + 0.08


def test_what_is_open_and_idle_for_long_is_opened_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "LONGEST_IDLE", 0.0)
    driven = drive(always(GREEN), 60, users=1)
    assert driven.counter.sums.order(0).within_connections.pairs == 0
    assert driven.counter.tally.lost == 0


def test_one_request_that_is_never_answered_holds_nothing_up() -> None:
    def never_once(connection: socket.socket, number: int) -> None:
        if number == 5:
            stall(connection, number)
        always(GREEN)(connection, number)

    with running(never_once) as driven:
        counter = driven.counter
        assert turned_until(lambda: sum(counter.standing.late) > 0)
        judged = counter.looks.all.sum()
        assert turned_until(lambda: counter.looks.all.sum() > judged + 500)
        (hanging,) = counter.standing.hanging
        assert (hanging.users, hanging.lost) == (4, 0)
        counter.close()
        (hanging,) = counter.standing.hanging
        assert (hanging.stuck, hanging.hung, hanging.lost) == (1, 1, 1)
        assert 0 < hanging.kept_back < MOST_REQUESTS


def test_a_gateway_that_stops_answering_is_silent_and_its_users_are_stuck() -> None:
    stopped = threading.Event()

    def until_stopped(connection: socket.socket, _: int) -> None:
        while read_request(connection):
            if stopped.is_set():
                connection.recv(1)
                return
            connection.sendall(GREEN)

    with running(until_stopped, budget=100_000, waiting=Waiting(0.5)) as driven:
        counter = driven.counter
        try:
            assert turned_until(lambda: counter.tally.requests > 500)
            stopped.set()
            assert turned_until(lambda: counter.tally.errors >= 4)
            counter.close()
            (hanging,) = counter.standing.hanging
            assert hanging.stuck == 4
            assert hanging.silent > 0.4
            assert hanging.unanswered >= 4
        finally:
            stopped.clear()


def test_open_load_counts_latency_from_the_time_that_was_due() -> None:
    numbers = itertools.count(1)

    def slow_once(connection: socket.socket, _: int) -> None:
        while read_request(connection):
            if next(numbers) == 20:
                time.sleep(0.5)
            connection.sendall(GREEN)

    driven = drive(slow_once, 150, users=1, rate=200)
    (buckets,) = driven.counter.sums.latency.values()
    # 100 requests were due during the stall, and could not be sent: they are seen to have waited.
    assert (quantile(buckets, 0.75) or 0) > 100
    assert sum(buckets.values()) == 150


def test_a_schedule_that_we_cannot_keep_is_no_fault_of_the_gateways() -> None:
    # All of it was due a minute ago, as where this machine has no time to send.
    schedule = Schedule(1000.0, time.monotonic() - 60)
    with running(always(GREEN), waiting=Waiting(5), schedule=schedule) as driven:
        counter = driven.counter
        assert turned_until(lambda: counter.sent > 100)
        gevent.sleep(3 * SWEEP)  # so often it is looked for requests that take too long
        assert counter.tally.lost == 0
        assert sum(counter.standing.late) == 0
        (buckets,) = counter.sums.latency.values()
        assert (quantile(buckets, 0.5) or 0) > 50_000  # latency is from the time that was due


def test_a_schedule_may_be_followed_from_the_middle_of_a_run_and_given_up_again() -> None:
    with running(always(GREEN)) as driven:
        counter = driven.counter
        engine = driven.engine
        assert turned_until(lambda: counter.tally.requests > 100)
        now = time.monotonic()
        engine.follow(Schedule(0.001, now + 1000))  # none is due before the test has ended
        assert turned_until(lambda: counter.under_way == 0)
        waited = counter.sent
        gevent.sleep(0.1)
        assert counter.sent == waited
        engine.follow(Schedule(1e6, now))
        assert turned_until(lambda: counter.sent > waited + 100)
        engine.follow(None)
        sent = counter.sent
        assert turned_until(lambda: counter.sent > sent + 100)
        assert counter.tally.lost == 0


def test_users_may_leave_and_their_last_answer_counts() -> None:
    with running(always(GREEN)) as driven:
        counter = driven.counter
        assert turned_until(lambda: counter.tally.requests > 4)
        for caller in driven.callers:
            assert caller.leave().wait(60)
        total = counter.tally.requests
        assert counter.under_way == 0
        assert total == counter.sent > 4
        gevent.sleep(0.1)
        assert counter.tally.requests == total


def test_what_is_under_way_when_the_engine_is_closed_was_never_sent() -> None:
    with running(stall, users=3) as driven:
        counter = driven.counter
        assert turned_until(lambda: counter.under_way == 3)
    assert (counter.under_way, counter.tally.requests) == (0, 0)


def test_users_pause_between_requests() -> None:
    pauses: list[int] = []
    with served(always(GREEN)) as port:
        counter = Counter(CANARY)
        counter.began = time.monotonic()
        endpoint = endpoint_at(port)
        engine = Engine([endpoint], counter, Outcomes(identifier_of(), counter), Waiting(60))

        def pause() -> float:
            pauses.append(counter.under_way)
            return 0.01

        try:
            engine.add(endpoint.request("/", {}), pause)
            assert turned_until(lambda: len(pauses) == 5)
        finally:
            engine.close()
    assert counter.tally.requests == 5
    assert pauses == [0] * 5


def test_each_gateway_is_asked_over_its_own_connections() -> None:
    with served(always(GREEN)) as first, served(always(BLUE)) as second:
        counter = Counter(CANARY, budget=40, gateways=("first", "second"))
        counter.began = time.monotonic()
        endpoints = [endpoint_at(first), endpoint_at(second)]
        engine = Engine(endpoints, counter, Outcomes(identifier_of(), counter), Waiting(60))
        try:
            for number, endpoint in enumerate(endpoints):
                engine.add(endpoint.request("/", {}), lambda: 0.001, number)
            assert turned_until(lambda: counter.complete)
        finally:
            engine.close()
    green, blue = (one.tally for one in counter.sums.counted(counter.gateways).gateways)
    assert green.counts.keys() == {"green"}
    assert blue.counts.keys() == {"blue"}
    assert green.requests + blue.requests == 40


FRAGMENTS = [
    GREEN,
    GREEN[:40],
    GREEN[40:],
    b"HTTP/1.1 200 OK\r\n",
    b"\r\n\r\n",
    b"HTTP/1.1 100 Continue\r\n\r\n",
    b"Content-Length: 5\r\n",
    b"Transfer-Encoding: chunked\r\n\r\n",
    b"5\r\nhello\r\n0\r\n",
]
UNFORESEEN = re.compile("(Key|Type|Index|Attribute|Value|Assertion|Unicode)Error")


@pytest.mark.slow
@settings(max_examples=60)
@given(st.lists(st.one_of(st.binary(max_size=80), st.sampled_from(FRAGMENTS)), max_size=5))
def test_nothing_that_a_server_sends_stops_the_run(pieces: list[bytes]) -> None:
    def handler(connection: socket.socket, _: int) -> None:
        while read_request(connection):
            for piece in pieces:
                connection.sendall(piece)
            return

    driven = drive(handler, 3, users=1)
    # What we did not foresee would be named by its exception.
    assert not any(UNFORESEEN.search(reason) for reason in driven.failures)
