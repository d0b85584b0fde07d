"""Requests in batches, added up to what a live run keeps."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.batches import batch_of
from tests.support.recordings import BEGAN
from tests.support.runs import CANARY
from trafficsplit.analysis.kinds import MOST_UNKNOWN_NAMES
from trafficsplit.analysis.order import BLOCK
from trafficsplit.analysis.run import LatencyKey
from trafficsplit.analysis.tally import Tally
from trafficsplit.offline import batches as module
from trafficsplit.offline.batches import MOST_NAMES, BatchCounter


def tally_of(counter: BatchCounter) -> Tally:
    return sum((stretch.tally for stretch in counter.counted.stretches), Tally())


def test_requests_count_by_name_and_status() -> None:
    counter = BatchCounter(CANARY)
    statuses = [200, 204, 200, 503, 404, 200, 0, 302]
    counter.add(batch_of([0, 1, 2, 1, -1, -1, -1, 0], statuses=statuses))
    assert tally_of(counter) == Tally({"blue": 1, "green": 1, "red": 1}, 4, 1)
    assert counter.counted.losses == {
        "HTTP 503": 1,
        "HTTP 404": 1,
        "no answer": 1,
        "HTTP 302": 1,
        "no variant is named": 1,
    }
    latency = counter.counted.latency
    assert set(latency) == {
        LatencyKey("blue", "2xx"),
        LatencyKey("green", "2xx"),
        LatencyKey("red", "2xx"),
        LatencyKey("green", "5xx"),
        LatencyKey("", "4xx"),
        LatencyKey("", "2xx"),
        LatencyKey("", "none"),
        LatencyKey("blue", "3xx"),
    }


@given(
    st.lists(st.tuples(st.integers(-1, 2), st.sampled_from([0, 200, 302, 503])), max_size=60),
    st.integers(1, 20),
)
def test_how_requests_are_cut_into_batches_changes_nothing(
    requests: list[tuple[int, int]], size: int
) -> None:
    whole = BatchCounter(CANARY)
    pieces = BatchCounter(CANARY)
    codes = [code for code, _ in requests]
    statuses = [status for _, status in requests]
    sent = [BEGAN + 250 * number for number in range(len(requests))]
    whole.add(batch_of(codes, statuses=statuses, sent=sent, ordered=True))
    for start in range(0, len(requests), size):
        end = start + size
        part = batch_of(
            codes[start:end], statuses=statuses[start:end], sent=sent[start:end], ordered=True
        )
        pieces.add(part)
    assert pieces.counted == whole.counted
    assert (pieces.started, pieces.elapsed) == (whole.started, whole.elapsed)


@pytest.mark.parametrize("status", [-1, -300, 600, 999, 32_767])
def test_a_status_that_is_none_of_http_is_an_error(status: int) -> None:
    counter = BatchCounter(CANARY)
    counter.add(batch_of([0, 1, -1], statuses=[200, status, status]))
    assert tally_of(counter) == Tally({"blue": 1, "green": 0}, 2)


def test_time_runs_from_the_first_request_to_the_last_end() -> None:
    counter = BatchCounter(CANARY)
    assert (counter.started, counter.elapsed) == (0.0, 0.0)
    counter.add(batch_of([0], sent=[BEGAN + 2_000_000], latencies=500_000))
    counter.add(batch_of([1], sent=[BEGAN], latencies=-7))
    assert counter.started == pytest.approx(BEGAN / 1e6, abs=2.0)
    assert counter.elapsed >= 2.5
    assert tally_of(counter).requests == 2


def test_no_requests_are_no_matter() -> None:
    counter = BatchCounter(CANARY)
    counter.add(batch_of([]))
    assert tally_of(counter).requests == 0


def test_unknown_names_are_bounded() -> None:
    counter = BatchCounter(CANARY)
    for first in (0, 5000):
        number = MOST_NAMES + 500
        names = [f"v{first + n}" for n in range(number)] + ["green"]
        counter.add(batch_of([*range(number + 1), -1], names=names))
    tally = tally_of(counter)
    assert len(tally.counts) == len(CANARY) + MOST_UNKNOWN_NAMES
    assert tally.counts["green"] == 2
    assert tally.requests == 2 * (MOST_NAMES + 502)
    assert tally.identified == MOST_UNKNOWN_NAMES + 2


def test_a_worker_has_an_order_of_its_own() -> None:
    counter = BatchCounter(CANARY)
    codes = [0] * BLOCK
    counter.add(batch_of(codes, connections=[7] * BLOCK, ordered=True), "one")
    counter.add(batch_of(codes, connections=[7] * BLOCK, ordered=True), "two")
    order = counter.counted.order
    assert order.successive.pairs == 2 * (BLOCK - 1)
    assert order.blocks.groups == 2
    assert order.connections.groups == 2


def test_what_has_no_order_is_only_counted() -> None:
    counter = BatchCounter(CANARY)
    counter.add(batch_of([0, 1, 0]))
    assert counter.counted.order.successive.pairs == 0
    assert tally_of(counter).requests == 3


def test_the_order_of_enough_requests_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_ORDERED", 10)
    counter = BatchCounter(CANARY)
    for _ in range(3):
        counter.add(batch_of([0, 1] * 3, ordered=True), "one")
    assert not counter.wants_order("one")
    assert counter.wants_order("two")
    assert counter.counted.order.successive.pairs == 11
    assert tally_of(counter).requests == 18
