"""Counts by kind of end in constant memory: over time, and over latency.

Both are tables that grow with the kinds and not with the requests. A live run, and requests that
were recorded elsewhere, are counted in the same two.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from trafficsplit.analysis.kinds import Codes
from trafficsplit.analysis.latency import buckets_of

Table = NDArray[np.int64]
MOST_STRETCHES = 512  # of time; if more are needed, all get twice as wide
FIRST_WIDTH = 1000  # microseconds of a stretch
MOST_BUCKETS = 1 << 13  # of latency: enough for 64 bits of microseconds


class TimeHistogram:
    """Requests by kind and by the stretch of time in which they were sent.

    Times are microseconds. The first stretch begins at `origin`, or when the first request was
    sent. Stretches get twice as wide whenever there are too many of them.
    """

    def __init__(self, origin: int | None = None) -> None:
        self.origin = origin
        self.width = FIRST_WIDTH
        self._table: Table = np.zeros((0, 0), np.int64)

    def add(self, codes: Codes, sent: Codes, kinds: int) -> None:
        """Add requests, of codes below `kinds`."""
        self._cover(int(sent.min()), int(sent.max()), kinds)
        assert self.origin is not None
        rows = (sent - self.origin) // self.width
        np.add.at(self._table.reshape(-1), rows * self._table.shape[1] + codes, 1)

    def add_counts(self, counts: Codes, sent: int) -> None:
        """Add counts by code, of requests that were sent at one time."""
        self._cover(sent, sent, len(counts))
        assert self.origin is not None
        self._table[(sent - self.origin) // self.width, : len(counts)] += counts

    @property
    def rows(self) -> Table:
        """The counts, a row for each stretch up to the last that is not empty."""
        used = np.flatnonzero(self._table.any(axis=1))
        if not len(used):
            return self._table[:0]
        return self._table[: int(used[-1]) + 1]

    def _cover(self, first: int, last: int, kinds: int) -> None:
        """Make room for requests of some kinds that were sent between two times."""
        if self.origin is None:
            self.origin = first
        if first < self.origin:
            self._begin_at(first)
        while (last - self.origin) // self.width >= MOST_STRETCHES:
            self._widen()
        rows = (last - self.origin) // self.width + 1
        if rows > len(self._table):  # twice as many, so that it does not grow with each stretch
            rows = min(max(rows, 2 * len(self._table)), MOST_STRETCHES)
        missing = (max(rows - len(self._table), 0), max(kinds - self._table.shape[1], 0))
        if any(missing):
            self._table = np.pad(self._table, ((0, missing[0]), (0, missing[1])))

    def _begin_at(self, first: int) -> None:
        """Move the origin back, by whole stretches."""
        assert self.origin is not None
        self._table = self.rows
        while len(self._table) + self._stretches_before(first) > MOST_STRETCHES:
            self._widen()
        more = self._stretches_before(first)
        self._table = np.pad(self._table, ((more, 0), (0, 0)))
        self.origin -= more * self.width

    def _stretches_before(self, first: int) -> int:
        assert self.origin is not None
        return max(-((first - self.origin) // self.width), 0)

    def _widen(self) -> None:
        """Make stretches twice as wide."""
        if len(self._table) % 2:
            self._table = np.pad(self._table, ((0, 1), (0, 0)))
        self._table = self._table[0::2] + self._table[1::2]
        self.width *= 2


class LatencyHistogram:
    """Requests by kind and by the bucket of their latency."""

    def __init__(self) -> None:
        self._table: Table = np.zeros((0, MOST_BUCKETS), np.int64)

    def add(self, codes: Codes, microseconds: Codes, kinds: int) -> None:
        """Add requests, of codes below `kinds`."""
        self._grow(kinds)
        np.add.at(self._table.reshape(-1), codes * MOST_BUCKETS + buckets_of(microseconds), 1)

    def add_counts(self, code: int, buckets: Mapping[int, int], kinds: int) -> None:
        """Add requests of one kind, by bucket."""
        self._grow(kinds)
        for bucket, count in buckets.items():
            self._table[code, bucket] += count

    def buckets(self, code: int) -> dict[int, int]:
        """Return the requests of a kind, by bucket."""
        if code >= len(self._table):
            return {}
        row = self._table[code]
        used = np.flatnonzero(row)
        return dict(zip(used.tolist(), row[used].tolist(), strict=True))

    def _grow(self, kinds: int) -> None:
        missing = kinds - len(self._table)
        if missing > 0:
            self._table = np.pad(self._table, ((0, missing), (0, 0)))
