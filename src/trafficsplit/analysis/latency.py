"""Latencies as counts in buckets: they add up, and every value is known to 1 %."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

# Leading bits that are kept of every value: a bucket is at most 1/64 of its value wide, so its
# middle is at most 1/128 = 0.8 % off.
_BITS = 7


def bucket_of(microseconds: int) -> int:
    """Return the bucket of a latency: an integer that grows with it."""
    shift = max(microseconds.bit_length() - _BITS, 0)
    return shift << _BITS | microseconds >> shift


def buckets_of(microseconds: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the buckets of many latencies, as `bucket_of` gives them; those below 0 are 0."""
    latencies = np.maximum(microseconds, 0)
    buckets = _COMMON[np.minimum(latencies, len(_COMMON) - 1)]
    slow = latencies >= len(_COMMON)
    if slow.any():
        buckets[slow] = _compute_buckets(latencies[slow])
    return buckets


def _compute_buckets(microseconds: NDArray[np.int64]) -> NDArray[np.int64]:
    # frexp's exponent is the bit length (latencies are far below 2^53)
    exponents = np.frexp(microseconds.astype(float))[1].astype(np.int64)
    shift: NDArray[np.int64] = np.maximum(exponents - _BITS, 0)
    buckets: NDArray[np.int64] = shift << _BITS | microseconds >> shift
    return buckets


# The buckets of latencies up to 131 ms: looking one up is ten times as fast as computing it.
_COMMON = _compute_buckets(np.arange(1 << 17))


def bounds_of(bucket: int) -> tuple[int, int]:
    """Return the latencies [low, high) of a bucket, in microseconds."""
    shift = bucket >> _BITS
    low = (bucket & (1 << _BITS) - 1) << shift
    return low, low + (1 << shift)


def quantile(buckets: Mapping[int, int], q: float) -> float | None:
    """Return the `q` quantile (0 to 1) in milliseconds, within 1 %; None without latencies."""
    total = sum(buckets.values())
    if not total:
        return None
    return at_rank(buckets, max(math.ceil(q * total), 1))


def at_rank(buckets: Mapping[int, int], rank: int) -> float:
    """Return the latency of a rank (the smallest has rank 1), in milliseconds, within 1 %."""
    seen = 0
    for bucket in sorted(buckets):
        seen += buckets[bucket]
        if seen >= rank:
            return middle_of(bucket) / 1000
    raise AssertionError("a rank beyond the total")


def middle_of(bucket: int) -> float:
    """Return the middle of a bucket, in microseconds, which stands for its latencies."""
    low, high = bounds_of(bucket)
    return (low + high - 1) / 2
