"""One who sends one request after the other, over a connection that is free."""

from __future__ import annotations

import socket
import time

import pytest

from tests.fakes.servers import always, page, plain, served
from tests.support.engines import endpoint_at, turned_until
from tests.support.runs import CANARY
from trafficsplit.identify.identifier import identifier_of
from trafficsplit.load.caller import FIRST_BACKOFF, LONGEST_BACKOFF, backoff
from trafficsplit.load.connection import (
    FEWEST_REQUESTS,
    MOST_REQUESTS,
    requests_of,
)
from trafficsplit.load.counting import Counter
from trafficsplit.load.engine import Engine, Waiting
from trafficsplit.load.outcomes import Outcomes


def test_pauses_double_up_to_a_longest() -> None:
    pauses = [backoff(failures) for failures in range(200)]
    assert pauses[0] == FIRST_BACKOFF
    assert pauses[1] == 2 * FIRST_BACKOFF
    assert pauses == sorted(pauses)
    assert pauses[-1] == LONGEST_BACKOFF
    assert backoff(10**9) == LONGEST_BACKOFF


def test_a_caller_that_leaves_while_it_pauses_sends_no_more() -> None:
    with served(always(plain(page("green")))) as port:
        counter = Counter(CANARY)
        counter.began = time.monotonic()
        endpoint = endpoint_at(port)
        engine = Engine([endpoint], counter, Outcomes(identifier_of(), counter), Waiting(60))
        try:
            caller = engine.add(endpoint.request("/", {}), lambda: 0.05)
            assert turned_until(lambda: counter.tally.requests == 1)
            assert caller.connection is None
            assert caller.leave().is_set()
            assert caller.leave().is_set()  # once more is no harm
            assert not turned_until(lambda: counter.tally.requests > 1, seconds=0.2)
            assert engine.lanes[0].free == []
        finally:
            engine.close()


def test_a_caller_that_is_abandoned_gives_up_its_request() -> None:
    def silent(connection: socket.socket, _: int) -> None:
        while connection.recv(65536):
            pass

    with served(silent) as port:
        counter = Counter(CANARY)
        counter.began = time.monotonic()
        endpoint = endpoint_at(port)
        engine = Engine([endpoint], counter, Outcomes(identifier_of(), counter), Waiting(60))
        try:
            callers = [engine.add(endpoint.request("/", {})) for _ in range(2)]
            assert turned_until(lambda: counter.under_way == 2)
            for caller in callers:
                caller.abandon()
            assert counter.under_way == 0
            assert counter.ledger.left > 0
        finally:
            engine.close()


def test_connections_that_are_opened_together_are_not_renewed_together() -> None:
    each = [requests_of(number) for number in range(1, 1001)]
    assert min(each) == FEWEST_REQUESTS
    assert max(each) == MOST_REQUESTS
    assert sum(each) / len(each) == pytest.approx(50, abs=0.5)
    for first in range(0, 960, 40):
        assert len(set(each[first : first + 40])) > 25
