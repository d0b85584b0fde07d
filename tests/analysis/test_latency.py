import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trafficsplit.analysis.latency import bounds_of, bucket_of, buckets_of, quantile


@given(st.integers(0, 10**10))
def test_a_bucket_holds_its_latency_to_one_percent(microseconds: int) -> None:
    low, high = bounds_of(bucket_of(microseconds))
    assert low <= microseconds < high
    assert abs((low + high - 1) / 2 - microseconds) <= 0.01 * microseconds


@given(st.lists(st.integers(0, 10**9), min_size=1, max_size=200), st.floats(0, 1))
def test_quantiles_are_those_of_the_samples_to_one_percent(samples: list[int], q: float) -> None:
    buckets = Counter(map(bucket_of, samples))
    exact = sorted(samples)[max(math.ceil(q * len(samples)), 1) - 1] / 1000
    assert quantile(buckets, q) == pytest.approx(exact, rel=0.01, abs=1e-9)


@given(st.lists(st.integers(0, 10**12), max_size=50))
def test_many_are_put_into_buckets_as_one_is(microseconds: list[int]) -> None:
    together = buckets_of(np.array(microseconds, np.int64))
    assert together.tolist() == [bucket_of(one) for one in microseconds]


def test_nothing_has_no_quantile() -> None:
    assert quantile({}, 0.5) is None
