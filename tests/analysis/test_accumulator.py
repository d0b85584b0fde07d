import itertools
from collections import defaultdict

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from trafficsplit.analysis.accumulator import Accumulator, key_of
from trafficsplit.analysis.kinds import Kind, Kinds, Outcome
from trafficsplit.analysis.latency import bucket_of
from trafficsplit.analysis.order import Order
from trafficsplit.analysis.run import LatencyKey
from trafficsplit.analysis.tally import Tally

SECOND = 1_000_000  # microseconds
ENDS = [
    Kind(Outcome.IDENTIFIED, "blue"),
    Kind(Outcome.IDENTIFIED, "green"),
    Kind(Outcome.IDENTIFIED, "green", gateway=1),
    Kind(Outcome.ERROR, "", "5xx", answer=503),
    Kind(Outcome.ERROR, "green", "5xx", gateway=1, answer=500),
    Kind(Outcome.UNIDENTIFIED),
]
Request = tuple[Kind, int, int]  # how it ended, when it was sent, how long it took
requests = st.tuples(
    st.sampled_from(ENDS), st.integers(0, 100 * SECOND), st.integers(0, 10 * SECOND)
)


def columns(kinds: Kinds, batch: list[Request]) -> list[NDArray[np.int64]]:
    rows = [(kinds.code_of(kind), sent, latency) for kind, sent, latency in batch]
    return list(np.array(rows, np.int64).T)


def added_up(batches: list[list[Request]], origin: int | None = 0) -> Accumulator:
    accumulator = Accumulator(Kinds(["blue", "green"], gateways=2), origin)
    for batch in batches:
        accumulator.add(*columns(accumulator.kinds, batch))
    return accumulator


def tally_of(batch: list[Request], gateway: int | None = None) -> Tally:
    total = Tally()
    for kind, _, _ in batch:
        if gateway is not None and kind.gateway != gateway:
            continue
        if kind.outcome is Outcome.IDENTIFIED:
            total += Tally({kind.variant: 1})
        elif kind.outcome is Outcome.ERROR:
            total += Tally(errors=1)
        else:
            total += Tally(unidentified=1)
    return total


def without_zeros(tally: Tally) -> Tally:
    counts = {variant: count for variant, count in tally.counts.items() if count}
    return Tally(counts, tally.errors, tally.unidentified)


@pytest.mark.slow
@given(st.lists(st.lists(requests, min_size=1, max_size=15), max_size=5))
def test_all_that_is_added_comes_out_by_time_gateway_and_latency(
    batches: list[list[Request]],
) -> None:
    accumulator = added_up(batches)
    counted = accumulator.counted(["http://a", "http://b"])
    flat = list(itertools.chain(*batches))
    assert without_zeros(sum((s.tally for s in counted.stretches), Tally())) == tally_of(flat)
    assert [gateway.name for gateway in counted.gateways] == ["http://a", "http://b"]
    for number, gateway in enumerate(counted.gateways):
        assert without_zeros(gateway.tally) == tally_of(flat, number)
    by_stretch: defaultdict[int, list[Request]] = defaultdict(list)
    for one in flat:
        by_stretch[one[1] // accumulator.times.width].append(one)
    for number, stretch in enumerate(counted.stretches):
        assert without_zeros(stretch.tally) == tally_of(by_stretch[number])
    for kind in ENDS:
        buckets = counted.latency.get(key_of(kind), {})
        own = [latency for other, _, latency in flat if key_of(other) == key_of(kind)]
        assert sum(buckets.values()) == len(own)
        assert set(buckets) == {bucket_of(latency) for latency in own}


@given(st.lists(requests, min_size=1, max_size=30))
def test_stretches_follow_each_other_until_the_last_request_has_ended(
    batch: list[Request],
) -> None:
    accumulator = added_up([batch])
    stretches = accumulator.counted([""]).stretches
    assert accumulator.elapsed == pytest.approx(
        max(sent + latency for _, sent, latency in batch) / SECOND
    )
    assert stretches[0].start == 0
    for one, other in itertools.pairwise(stretches):
        assert one.end == pytest.approx(other.start)
    for stretch in stretches:
        assert stretch.start < stretch.end
        width = accumulator.times.width / SECOND
        assert stretch.end <= max(accumulator.elapsed, stretch.start + width) + 1e-9


@given(st.lists(requests, min_size=1, max_size=30))
def test_without_an_origin_time_begins_with_the_first_request(batch: list[Request]) -> None:
    accumulator = added_up([batch], origin=None)
    assert accumulator.started == pytest.approx(min(sent for _, sent, _ in batch) / SECOND)


def test_one_gateway_needs_no_list_of_gateways() -> None:
    accumulator = added_up([[(ENDS[0], 5, 5)]])
    assert accumulator.counted(["http://a"]).gateways == []


def test_nothing_takes_no_time() -> None:
    accumulator = added_up([])
    assert (accumulator.elapsed, accumulator.started) == (0, 0)
    assert accumulator.counted([""]).stretches == []
    assert accumulator.counted([""]).latency == {}


def test_each_gateway_has_an_order_of_its_own() -> None:
    kinds = Kinds(["blue", "green"], gateways=2)
    accumulator = Accumulator(kinds, 0)
    blue = kinds.code_of(Kind(Outcome.IDENTIFIED, "blue"))
    green = kinds.code_of(Kind(Outcome.IDENTIFIED, "green", gateway=1))
    failed = kinds.code_of(ENDS[3])
    # The two gateways in turn, each always with the same answer, and errors in between.
    codes = np.array([blue, green, failed] * 20)
    accumulator.add_in_order(codes, np.array([1, 2, 3] * 20))
    for gateway in (0, 1):
        order = accumulator.order(gateway)
        assert (order.successive.pairs, order.successive.agreed) == (19, 19)
        assert order.connections.groups == 1
    assert accumulator.pairs_within_connections == 38


def test_workers_have_orders_of_their_own() -> None:
    kinds = Kinds(["blue", "green"])
    accumulator = Accumulator(kinds, 0)
    blue, green = (kinds.code_of(Kind(Outcome.IDENTIFIED, v)) for v in ("blue", "green"))
    for _ in range(10):  # what reaches us alternates, what each of them sends does not
        accumulator.add_in_order(np.array([blue]), np.array([1]), "a")
        accumulator.add_in_order(np.array([green]), np.array([1]), "b")
    order = accumulator.order(0)
    assert (order.successive.pairs, order.successive.agreed) == (18, 18)


def test_orders_of_other_processes_are_merged() -> None:
    kinds = Kinds(["blue"])
    one = Accumulator(kinds, 0)
    one.add_in_order(np.array([2, 2, 2]), np.array([1, 1, 1]))
    other = Accumulator(kinds, 0)
    other.merge_order(0, one.order(0))
    other.merge_order(0, one.order(0))
    assert other.order(0) == one.order(0) + one.order(0)
    assert other.pairs_within_connections == 4
    assert other.counted([""]).order == other.order(0)


def test_losses_and_cached_responses_come_out_as_they_went_in() -> None:
    accumulator = Accumulator(Kinds(["blue"]), 0)
    accumulator.losses.lose("HTTP 503", 7)
    accumulator.cached = 3
    counted = accumulator.counted([""])
    assert (counted.losses, counted.cached) == ({"HTTP 503": 7}, 3)
    assert counted.order == Order()


def test_a_latency_is_its_variants_and_its_statuss() -> None:
    assert key_of(Kind(Outcome.ERROR, "green", "5xx", 3, 503)) == LatencyKey("green", "5xx")
