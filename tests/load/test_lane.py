"""What all connections to one gateway share."""

from __future__ import annotations

from collections import Counter as Counts
from types import SimpleNamespace
from typing import cast

from tests.support.counting import taken
from tests.support.runs import CANARY
from trafficsplit.analysis.kinds import Kind, Outcome
from trafficsplit.identify.identifier import identifier_of
from trafficsplit.load.connection import Connection
from trafficsplit.load.counting import Counter
from trafficsplit.load.endpoint import Endpoint
from trafficsplit.load.engine import Engine, Waiting
from trafficsplit.load.http import Heads
from trafficsplit.load.lane import SPARE, Lane
from trafficsplit.load.outcomes import Outcomes

ENDPOINT = Endpoint([], "gateway", None, "", "gateway")
LOST = Kind(Outcome.ERROR, "green", "5xx", answer=503)


class FakeConnection:
    """Knows whether it was closed."""

    closed = False

    def close(self) -> None:
        self.closed = True


def lane_of(
    counter: Counter,
    failures: list[tuple[object, ...]],
    gateway: int = 0,
    *,
    one_each: bool = False,
) -> Lane:
    engine = SimpleNamespace(
        counter=counter,
        outcomes=Outcomes(identifier_of(), counter),
        heads=Heads(),
        waiting=Waiting(one_each=one_each),
        new_connection=lambda lane, shared: FakeConnection(),
        on_failure=lambda *what: failures.append(what),
    )
    return Lane(cast("Engine", engine), gateway, ENDPOINT)


def test_a_lost_request_is_counted_and_reported_under_its_variant() -> None:
    failures: list[tuple[object, ...]] = []
    counter = Counter(CANARY)
    counter.began = 100.0
    lane = lane_of(counter, failures)
    code = counter.code_of(LOST)
    lane.count_unusual(taken(counter), code, 100.5, 0.25, 10, "HTTP 503")
    assert failures == [("HTTP 503", 0.25, 10, "green")]
    assert (counter.tally.errors, counter.sums.losses) == (1, {"HTTP 503": 1})
    assert counter.elapsed == 0.75


def test_a_good_answer_of_an_unusual_kind_is_counted_only() -> None:
    failures: list[tuple[object, ...]] = []
    counter = Counter(CANARY)
    lane = lane_of(counter, failures)
    lane.count_unusual(taken(counter), counter.code_of(Kind(Outcome.IDENTIFIED, "green")), 1.0, 0.1)
    assert failures == []
    assert counter.tally.counts["green"] == 1


def test_what_is_left_out_while_it_settles_is_not_reported_either() -> None:
    failures: list[tuple[object, ...]] = []
    counter = Counter(CANARY, settle=5.0)
    lane = lane_of(counter, failures)
    lane.count_unusual(taken(counter), counter.code_of(LOST), 1.0, 0.1, 0, "HTTP 503")
    assert failures == []
    assert counter.tally.requests == 0


def test_each_gateway_has_codes_of_its_own() -> None:
    counter = Counter(CANARY, gateways=("a", "b"))
    lane = lane_of(counter, [], gateway=1)
    assert lane.codes is lane.outcomes.codes[1]
    assert lane.endpoint is ENDPOINT
    assert lane.good_address == 0


# --- connections ---


def test_there_are_some_more_connections_than_callers() -> None:
    counter = Counter(CANARY)
    lane = lane_of(counter, [])
    for _ in range(3):
        lane.add_caller(shares=True)
    assert len(lane.free) == SPARE + 3
    assert counter.hangs.each(ended=False)[0].users == 3
    everyone = list(lane.free)
    for _ in range(3):
        lane.remove_caller(None, stuck=False)
    assert lane.free == []
    assert all(cast("FakeConnection", connection).closed for connection in everyone)
    assert counter.hangs.each(ended=False)[0].users == 0


def test_where_each_request_has_its_own_connection_none_is_spare() -> None:
    lane = lane_of(Counter(CANARY), [], one_each=True)
    lane.add_caller(shares=True)
    assert len(lane.free) == 1


def test_a_caller_with_a_connection_of_its_own_shares_none() -> None:
    lane = lane_of(Counter(CANARY), [])
    own = FakeConnection()
    lane.add_caller(shares=False)
    assert lane.free == []
    lane.remove_caller(cast("Connection", own), stuck=False)
    assert own.closed


def test_users_that_are_stuck_when_the_run_ends_are_remembered() -> None:
    counter = Counter(CANARY)
    lane = lane_of(counter, [])
    for _ in range(2):
        lane.add_caller(shares=True)
        counter.hangs.stick(0, 1)
    lane.remove_caller(None, stuck=True)
    counter.close()
    lane.remove_caller(None, stuck=True)
    (hanging,) = counter.hangs.each(ended=True)
    assert (hanging.users, hanging.stuck) == (1, 1)


def test_each_free_connection_is_picked_as_often() -> None:
    lane = lane_of(Counter(CANARY), [])
    lane.add_caller(shares=True)
    picked: Counts[int] = Counts()
    for _ in range(3300):
        connection = lane.take_free()
        assert connection not in lane.free
        picked[id(connection)] += 1
        lane.free.append(connection)
    assert len(picked) == SPARE + 1
    assert 50 < min(picked.values()) < max(picked.values()) < 170
