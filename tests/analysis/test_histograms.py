"""Histograms held against the same counted one by one."""

from collections import Counter

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from trafficsplit.analysis.histograms import (
    FIRST_WIDTH,
    MOST_STRETCHES,
    LatencyHistogram,
    TimeHistogram,
)
from trafficsplit.analysis.latency import bucket_of

HOUR = 3_600_000_000  # microseconds
moments = st.integers(-HOUR, 24 * HOUR) | st.integers(0, 2_000_000)
batches = st.lists(
    st.lists(st.tuples(st.integers(0, 4), moments), min_size=1, max_size=20), max_size=8
)
Batches = list[list[tuple[int, int]]]


def arrays(batch: list[tuple[int, int]]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    pairs = np.array(batch, np.int64)
    return pairs[:, 0], pairs[:, 1]


def expected_rows(batches: Batches, histogram: TimeHistogram) -> dict[tuple[int, int], int]:
    """Count requests by stretch and kind, each by itself, at the histogram's width."""
    origin = histogram.origin
    assert origin is not None
    found: Counter[tuple[int, int]] = Counter()
    for batch in batches:
        found.update(((sent - origin) // histogram.width, code) for code, sent in batch)
    return dict(found)


def filled(histogram: TimeHistogram) -> dict[tuple[int, int], int]:
    rows = histogram.rows
    return {(int(r), int(c)): int(rows[r, c]) for r, c in np.argwhere(rows)}


@given(batches)
def test_requests_stand_in_the_stretch_in_which_they_were_sent(batches: Batches) -> None:
    histogram = TimeHistogram()
    for batch in batches:
        histogram.add(*arrays(batch), 5)
    if not batches:
        assert len(histogram.rows) == 0
        return
    assert filled(histogram) == expected_rows(batches, histogram)
    assert len(histogram.rows) <= MOST_STRETCHES
    assert histogram.rows[-1].any()
    assert histogram.width % FIRST_WIDTH == 0


@given(batches)
def test_counts_of_one_moment_are_the_same_as_requests(batches: Batches) -> None:
    one = TimeHistogram(origin=0)
    other = TimeHistogram(origin=0)
    for batch in batches:
        for code, sent in batch:
            one.add(np.array([code]), np.array([sent]), 5)
            other.add_counts(np.eye(5, dtype=np.int64)[code], sent)
    assert (one.origin, one.width) == (other.origin, other.width)
    assert np.array_equal(one.rows, other.rows)


@given(st.lists(st.integers(0, 100 * HOUR), min_size=1, max_size=30))
def test_memory_does_not_grow_with_time(sent: list[int]) -> None:
    histogram = TimeHistogram(origin=0)
    for moment in sent:
        histogram.add_counts(np.array([1]), moment)
    assert histogram.rows.sum() == len(sent)
    assert len(histogram.rows) <= MOST_STRETCHES
    # No wider than it must be.
    assert histogram.width == FIRST_WIDTH or max(sent) // (histogram.width // 2) >= MOST_STRETCHES


def test_kinds_that_are_new_get_columns() -> None:
    histogram = TimeHistogram(origin=0)
    histogram.add_counts(np.array([1]), 0)
    histogram.add_counts(np.array([0, 0, 2]), 5000)
    assert histogram.rows.tolist() == [[1, 0, 0], *[[0, 0, 0]] * 4, [0, 0, 2]]


@given(st.lists(st.tuples(st.integers(0, 6), st.integers(-5, 10**12)), max_size=100))
def test_latencies_stand_in_their_buckets(requests: list[tuple[int, int]]) -> None:
    histogram = LatencyHistogram()
    for batch in (requests[:30], requests[30:]):
        if batch:
            histogram.add(*arrays(batch), max(code for code, _ in batch) + 1)
    for code in range(9):
        own = Counter(bucket_of(max(latency, 0)) for c, latency in requests if c == code)
        assert histogram.buckets(code) == own


@given(st.dictionaries(st.integers(0, 3000), st.integers(1, 10**12), max_size=20))
def test_buckets_that_are_counted_already_add_up(buckets: dict[int, int]) -> None:
    histogram = LatencyHistogram()
    histogram.add_counts(2, buckets, 3)
    histogram.add_counts(2, buckets, 3)
    assert histogram.buckets(2) == {bucket: 2 * count for bucket, count in buckets.items()}
    assert histogram.buckets(1) == histogram.buckets(7) == {}
