"""One connection after the other: its pauses after failures, its addresses, faults of our own."""

from __future__ import annotations

import errno
import socket
import time
from collections.abc import Iterator

import pytest

from tests.fakes.servers import always, page, plain, read_request, served
from tests.support.engines import drive, drive_endpoint, turned_until
from tests.support.runs import CANARY
from trafficsplit.errors import BrokenError
from trafficsplit.identify.identifier import identifier_of
from trafficsplit.load import connection as module
from trafficsplit.load import wire
from trafficsplit.load.connection import FIRST_BACKOFF, LONGEST_BACKOFF, backoff
from trafficsplit.load.counting import Counter
from trafficsplit.load.endpoint import Endpoint
from trafficsplit.load.engine import Engine, Waiting
from trafficsplit.load.outcomes import Outcomes

GREEN = plain(page("green"))


def test_pauses_double_up_to_a_longest() -> None:
    pauses = [backoff(failures) for failures in range(200)]
    assert pauses[0] == FIRST_BACKOFF
    assert pauses[1] == 2 * FIRST_BACKOFF
    assert pauses == sorted(pauses)
    assert pauses[-1] == LONGEST_BACKOFF
    assert backoff(10**9) == LONGEST_BACKOFF


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

    monkeypatch.setattr(module, "backoff", recorded)
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
            connection = engine.add(one.request("/", {}))
            assert turned_until(lambda: counter.complete)
            assert not connection.busy
            assert connection.leave().is_set()
        finally:
            engine.close()
    assert counter.tally.counts["green"] == 1
