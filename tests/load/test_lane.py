"""What all connections to one gateway share."""

from __future__ import annotations

from types import SimpleNamespace
from typing import cast

from tests.support.counting import taken
from tests.support.runs import CANARY
from trafficsplit.analysis.kinds import Kind, Outcome
from trafficsplit.identify.identifier import identifier_of
from trafficsplit.load.counting import Counter
from trafficsplit.load.endpoint import Endpoint
from trafficsplit.load.engine import Engine
from trafficsplit.load.http import Heads
from trafficsplit.load.lane import Lane
from trafficsplit.load.outcomes import Outcomes

ENDPOINT = Endpoint([], "gateway", None, "", "gateway")
LOST = Kind(Outcome.ERROR, "green", "5xx", answer=503)


def lane_of(counter: Counter, failures: list[tuple[object, ...]], gateway: int = 0) -> Lane:
    engine = SimpleNamespace(
        counter=counter,
        outcomes=Outcomes(identifier_of(), counter),
        heads=Heads(),
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
