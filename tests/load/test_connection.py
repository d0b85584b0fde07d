"""One connection after the other: its pauses after failures, its addresses, faults of our own."""

from __future__ import annotations

import errno
import itertools
import socket
import time
from collections.abc import Iterator

import pytest

from tests.fakes.servers import Handler, always, page, plain, read_request, served
from tests.support.engines import drive, drive_endpoint, turned_until
from tests.support.runs import CANARY
from trafficsplit.errors import BrokenError
from trafficsplit.identify.identifier import identifier_of
from trafficsplit.load import caller, wire
from trafficsplit.load.counting import Counter
from trafficsplit.load.endpoint import Endpoint
from trafficsplit.load.engine import Engine, Waiting
from trafficsplit.load.outcomes import Outcomes
from trafficsplit.load.visitor import Visit, Visitor

GREEN = plain(page("green"))


@pytest.fixture
def nowhere() -> Iterator[int]:
    """A port that refuses connections, and that nobody else can take meanwhile."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield bound.getsockname()[1]


def endpoint(*ports: int) -> Endpoint:
    addresses = [(socket.AF_INET, ("127.0.0.1", port)) for port in ports]
    return Endpoint(addresses, "gateway", None, "", "gateway")


def test_of_several_addresses_one_that_answers_is_taken(nowhere: int) -> None:
    with served(always(GREEN)) as port:
        driven = drive_endpoint(endpoint(nowhere, port), 20)
    assert driven.counter.tally.counts["green"] == 20


def test_where_no_address_answers_each_request_is_lost_once(nowhere: int) -> None:
    driven = drive_endpoint(endpoint(nowhere, nowhere), 3, users=1)
    assert driven.failures == ["ConnectionRefusedError: Connection refused"] * 3


def test_an_answer_ends_the_row_of_failures(monkeypatch: pytest.MonkeyPatch) -> None:
    rows: list[int] = []

    def recorded(failures: int) -> float:
        rows.append(failures)
        return 0.0

    def every_third(connection: socket.socket, number: int) -> None:
        read_request(connection)
        if number % 3 == 2:
            connection.sendall(plain(page("green"), "200 OK", "Connection: close"))

    monkeypatch.setattr(caller, "backoff", recorded)
    driven = drive(every_third, 9, users=1)
    assert driven.counter.tally.errors == 6
    assert rows == [0, 1] * 3


def test_no_more_sockets_is_our_fault_and_no_request_is_lost_by_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def none_left(*_: object) -> None:
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(wire, "_socket", none_left)
    counter = Counter(CANARY)
    counter.began = time.monotonic()
    engine = Engine([endpoint(1)], counter, Outcomes(identifier_of(), counter), Waiting(60))
    broken: list[BaseException] = []
    engine.on_broken = broken.append
    try:
        connection = engine.add(b"GET / HTTP/1.1\r\n\r\n")
        assert turned_until(lambda: broken)
    finally:
        engine.close()
    assert isinstance(broken[0], BrokenError)
    assert "this machine gives no more sockets (Too many open files)" in str(broken[0])
    assert (counter.tally.requests, counter.under_way) == (0, 0)
    assert connection.leave().is_set()


def test_a_connection_that_is_idle_leaves_at_once() -> None:
    with served(always(GREEN)) as port:
        counter = Counter(CANARY, budget=1)
        counter.began = time.monotonic()
        one = endpoint(port)
        engine = Engine([one], counter, Outcomes(identifier_of(), counter), Waiting(60))
        try:
            caller = engine.add(one.request("/", {}))
            assert turned_until(lambda: counter.complete)
            assert caller.connection is None
            assert caller.leave().is_set()
        finally:
            engine.close()
    assert counter.tally.counts["green"] == 1


# --- users ---


class StickyGateway:
    """Gives every user without a cookie one, in turn green and blue, and keeps it there."""

    def __init__(self, *, close: bool = False) -> None:
        self.seen: list[str] = []  # the cookie of each request
        self.connections = 0
        self._close = close

    def __call__(self, connection: socket.socket, number: int) -> None:
        self.connections = number + 1
        while request := received(connection):
            cookie = request.partition("version=")[2].partition("\r\n")[0]
            self.seen.append(cookie)
            version = cookie or ("green", "blue")[self.seen.count("") % 2]
            headers = [f"Set-Cookie: version={version}"]
            if self._close:
                headers.append("Connection: close")
            connection.sendall(plain(page(version), "200 OK", *headers))
            if self._close:
                return


def received(connection: socket.socket) -> str:
    data = b""
    while b"\r\n\r\n" not in data:
        piece = connection.recv(65536)
        if not piece:
            return ""
        data += piece
    return data.decode()


def test_a_user_keeps_its_cookies_and_its_connection_and_then_is_another() -> None:
    gateway = StickyGateway()
    with served(gateway) as port:
        driven = drive_endpoint(endpoint(port), 60, users=1, visit=Visit("/color", 3))
    users = driven.counter.sums.users.users
    assert users.number == 20
    assert users.changed == 0
    assert gateway.seen.count("") == 20
    assert gateway.connections == 20
    assert users.answered_first("green") == users.answered_last("green") == 10


def test_a_user_is_the_same_over_another_connection() -> None:
    gateway = StickyGateway(close=True)
    with served(gateway) as port:
        driven = drive_endpoint(endpoint(port), 30, users=1, visit=Visit("/color", 3))
    users = driven.counter.sums.users.users
    assert (users.number, users.changed, users.with_losses) == (10, 0, 0)
    assert gateway.connections == 30


def test_a_request_that_is_lost_is_one_of_its_users() -> None:
    with served(cut_off_every_third()) as port:
        driven = drive_endpoint(endpoint(port), 12, users=1, visit=Visit("/color", 2))
    users = driven.counter.sums.users.users
    assert driven.counter.tally.lost == 4
    assert users.number == 6
    assert users.with_losses == 4


def cut_off_every_third() -> Handler:
    requests = itertools.count(1)

    def handler(connection: socket.socket, _: int) -> None:
        while read_request(connection):
            if next(requests) % 3 == 0:
                connection.sendall(b"HTTP/1.1 200 OK\r\n")  # without a byte it is sent again
                return
            connection.sendall(GREEN)

    return handler


def test_users_that_stop_leave_no_one_waiting() -> None:
    with served(always(GREEN)) as port:
        endpoint_here = endpoint(port)
        counter = Counter(CANARY, user_requests=1000)
        engine = Engine([endpoint_here], counter, Outcomes(identifier_of("page", CANARY), counter))
        try:
            visitor = Visitor(Visit("/color", 1000), endpoint_here, itertools.count(1))
            connection = engine.add(b"", visitor=visitor)
            assert turned_until(lambda: counter.sent > 5)
            assert connection.leave().wait(10)
            counter.flush()
            assert counter.sums.users.number == 0
        finally:
            engine.close()
