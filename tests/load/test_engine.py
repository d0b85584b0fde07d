"""The engine against servers that behave, and servers that do not; real sockets, no Locust."""

import gzip
import re
import socket
import struct
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
from gevent.event import Event
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fakes.servers import Handler, always, page, plain, read_request, served
from trafficsplit.analysis.latency import quantile
from trafficsplit.analysis.split import Split
from trafficsplit.identify.identifier import identifier_of
from trafficsplit.load.counting import Counter
from trafficsplit.load.endpoint import Place, target_of
from trafficsplit.load.engine import Engine
from trafficsplit.load.outcomes import Outcomes
from trafficsplit.load.schedule import Schedule

CANARY = Split({"blue": 75, "green": 25})
GREEN, BLUE = plain(page("green")), plain(page("blue"))


@dataclass
class Driven:
    counter: Counter
    failures: list[str] = field(default_factory=list)
    elapsed: float = 0.0


def drive(
    handler: Handler | None,
    budget: int,
    *,
    users: int = 2,
    timeout: float = 5.0,
    port: int = 0,
    prepare: Callable[[Engine], None] = lambda _: None,
    **settings: object,
) -> Driven:
    """Send `budget` requests at a server, and wait for all of them."""
    if handler is not None:
        with served(handler) as its_port:
            return drive(None, budget, users=users, timeout=timeout, port=its_port,
                         prepare=prepare, **settings)  # fmt: skip
    done = Event()
    counter = Counter(CANARY, budget=budget, on_complete=done.set)
    driven = Driven(counter)
    counter.began = time.monotonic()
    target = target_of(Place(f"http://127.0.0.1:{port}"))
    engine = Engine(
        [target],
        counter,
        Outcomes(identifier_of("page", CANARY), counter),
        timeout=timeout,
        on_failure=lambda reason, *_: driven.failures.append(reason),
        **settings,  # type: ignore[arg-type]
    )
    try:
        prepare(engine)
        request = target.request("/color", {})
        for _ in range(users):
            engine.add(request)
        assert done.wait(60), (counter.tally, counter.losses)
    finally:
        engine.close()
    driven.elapsed = time.monotonic() - counter.began
    assert counter.tally.requests == budget
    assert len(driven.failures) == counter.tally.lost == counter.losses.total()
    return driven


def in_pieces(*pieces: bytes, pause: float = 0.02, close: bool = False) -> Handler:
    def handler(connection: socket.socket, _: int) -> None:
        while read_request(connection):
            for piece in pieces:
                connection.sendall(piece)
                time.sleep(pause)
            if close:
                return

    return handler


@pytest.mark.parametrize(
    "handler",
    [
        always(GREEN),
        in_pieces(GREEN[:30], GREEN[30:100], GREEN[100:]),
        always(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n"
               % (len(page("green")), page("green"))),
        in_pieces(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n<html",
                  b"\r\n%x\r\n%s\r\n" % (len(page("green")), page("green")), b"0\r\n\r\n"),
        in_pieces(b"HTTP/1.1 200 OK\r\n\r\n", page("green"), close=True),
        always(b"HTTP/1.0 200 OK\r\n\r\n" + page("green"), close=True),
        always(plain(page("green"), "200 OK", "Connection: close"), close=True),
        always(b"HTTP/1.1 102 Processing\r\n\r\n" + GREEN),
        in_pieces(b"HTTP/1.1 103 Early Hints\r\nLink: <x>\r\n\r\n", GREEN),
        always(plain(gzip.compress(page("green")), "200 OK", "Content-Encoding: gzip")),
        always(plain(page("green") + b" " * 200_000)),
        always(GREEN + GREEN),  # the second nobody asked for
    ],
    ids=["plain", "pieces", "chunked", "chunks", "until close", "HTTP/1.0", "Connection: close",
         "interim", "interim in pieces", "gzip", "long", "twice"],
)  # fmt: skip
def test_answers_of_every_kind_are_counted(handler: Handler) -> None:
    driven = drive(handler, 12)
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


@pytest.mark.parametrize(
    ("handler", "reason"),
    [
        (always(b"rubbish\r\n\r\n"), "no answer of HTTP/1.1"),
        (always(GREEN[:-5], close=True), "the connection was closed before the end of the answer"),
        (always(GREEN[:20], close=True), "the connection was closed before the end of the answer"),
        (lambda connection, _: None, "closed before the end|Connection"),
        (reset, "ConnectionResetError"),
        (stall, "no answer within 0.4 seconds"),
        (drip, "no answer within 0.4 seconds"),
        (endless_head, "the head of the answer exceeds 65,536 bytes"),
        (endless_body, "the body of the answer exceeds"),
        (always(plain(b"", "302 Found", "Location: /login")), "HTTP 302 to /login"),
        (always(plain(page("green"), "503 Service Unavailable")), "HTTP 503"),
        (always(plain(b"rubbish", "200 OK", "Content-Encoding: gzip")), "the body is not gzip"),
    ],
    ids=["rubbish", "half a body", "half a head", "closed", "reset", "stalled", "dripping",
         "endless head", "endless body", "redirect", "503", "not gzip"],
)  # fmt: skip
def test_what_is_no_good_answer_is_an_error_once_with_its_reason(
    handler: Handler, reason: str
) -> None:
    driven = drive(handler, 4, timeout=0.4 if "within" in reason else 5.0)
    assert driven.counter.tally.errors == 4
    assert all(re.search(reason, text) for text in driven.failures), driven.failures


def test_a_refused_connection_is_an_error_and_no_busy_loop() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    driven = drive(None, 12, users=3, port=port)
    assert driven.counter.losses == {"ConnectionRefusedError: Connection refused": 12}
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
        connection.sendall(GREEN)

    driven = drive(one_each, 30, users=1, schedule=Schedule(100, time.monotonic()))
    assert driven.counter.tally.errors <= 1  # one may have been asked in the very moment


def test_connections_are_kept_and_numbered() -> None:
    seen = []

    def handler(connection: socket.socket, number: int) -> None:
        seen.append(number)
        always(BLUE)(connection, number)

    driven = drive(handler, 300, users=3)
    assert seen == [0, 1, 2]
    assert driven.counter.order.connections.groups == 3
    assert driven.counter.order.within_connections.pairs == 297
    each = drive(handler, 30, users=3, one_each=True)
    assert len(seen) == 3 + 30
    assert each.counter.order.connections.groups == 0


def test_open_load_counts_latency_from_the_time_that_was_due() -> None:
    def slow_once(connection: socket.socket, _: int) -> None:
        number = 0
        while read_request(connection):
            number += 1
            if number == 20:
                time.sleep(0.5)
            connection.sendall(GREEN)

    driven = drive(slow_once, 150, users=1, schedule=Schedule(200, time.monotonic()))
    (buckets,) = driven.counter.latency.values()
    # 100 requests were due during the stall, and could not be sent: they are seen to have waited.
    assert (quantile(buckets, 0.75) or 0) > 100
    assert sum(buckets.values()) == 150


def test_users_may_leave_and_their_last_answer_counts() -> None:
    with served(in_pieces(GREEN, pause=0)) as port:
        counter = Counter(CANARY)
        counter.began = time.monotonic()
        target = target_of(Place(f"http://127.0.0.1:{port}"))
        engine = Engine([target], counter, Outcomes(identifier_of(), counter), timeout=5)
        try:
            connections = [engine.add(target.request("/", {})) for _ in range(4)]
            Event().wait(0.2)
            for connection in connections:
                assert connection.leave().wait(5)
            total = counter.tally.requests
            assert counter.under_way == 0
            assert total == counter.sent > 0
            Event().wait(0.1)
            assert counter.tally.requests == total
        finally:
            engine.close()


@settings(max_examples=60)
@given(
    st.lists(
        st.one_of(
            st.binary(max_size=80),
            st.sampled_from([GREEN, GREEN[:40], GREEN[40:], b"HTTP/1.1 200 OK\r\n", b"\r\n\r\n",
                             b"HTTP/1.1 100 Continue\r\n\r\n", b"Content-Length: 5\r\n",
                             b"Transfer-Encoding: chunked\r\n\r\n", b"5\r\nhello\r\n0\r\n"]),
        ),
        max_size=5,
    )
)  # fmt: skip
def test_nothing_that_a_server_sends_stops_the_run(pieces: list[bytes]) -> None:
    def handler(connection: socket.socket, _: int) -> None:
        while read_request(connection):
            for piece in pieces:
                connection.sendall(piece)
            return

    driven = drive(handler, 3, users=1, timeout=1.0)
    # What we did not foresee would be named by its exception.
    assert not any(
        name in reason for reason in driven.failures for name in ("KeyError", "TypeError",
        "IndexError", "AttributeError", "ValueError", "AssertionError", "UnicodeError")
    )  # fmt: skip
