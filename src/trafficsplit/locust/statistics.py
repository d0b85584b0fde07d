"""Locust's own statistics, filled in batches.

`StatsEntry.log` costs 3 µs a request; `StatsEntry.extend` adds the sums of some hundred requests.
Lost requests fire Locust's `request` event one by one, as with any client.
"""

from __future__ import annotations

import math
import time

import locust.stats
import numpy as np
from locust.env import Environment
from locust.exception import CatchResponseError
from locust.stats import StatsEntry
from numpy.typing import NDArray

from trafficsplit.analysis.kinds import Outcome
from trafficsplit.load.counting import Counter, Ended
from trafficsplit.locust.patches import two_digits

Milliseconds = NDArray[np.float64]
SMALLEST = 1e-3  # milliseconds; a latency of 0 has no logarithm


class Statistics:
    """Adds the requests of a counter to an environment's statistics, with a row a variant."""

    def __init__(self, environment: Environment, counter: Counter, path: str) -> None:
        self._environment = environment
        self._counter = counter
        self._path = path
        self._epoch = time.time() - time.monotonic()

    def add(self, ended: Ended) -> None:
        """Add requests that have ended, but for the lost ones, which `add_lost` has added."""
        kinds = self._counter.kinds
        stats = self._environment.stats
        for code in np.flatnonzero(np.bincount(ended.codes)).tolist():
            kind = kinds[code]
            if kind.outcome is not Outcome.IDENTIFIED:
                continue
            of_kind = ended.codes == code
            milliseconds = ended.latencies[of_kind] * 1000
            sent_at = ended.sent_at[of_kind] + (self._epoch + self._counter.began)
            name = self._name(kind.variant)
            entry = _entry(milliseconds, sent_at, stats, name)
            entry.total_content_length = int(ended.sizes[of_kind].sum())
            stats.get(name, "GET").extend(entry)
            stats.total.extend(entry)

    def add_lost(self, reason: str, seconds: float, size: int, row: str) -> None:
        """Add one request that counts as an error or as unidentified."""
        self._environment.events.request.fire(
            request_type="GET",
            name=self._name(row),
            response_time=seconds * 1000,
            response_length=size,
            exception=CatchResponseError(reason),
            context={},
            response=None,
        )

    def _name(self, row: str) -> str:
        return f"{self._path} [{row}]" if row else self._path


def _entry(
    milliseconds: Milliseconds,
    sent_at: NDArray[np.float64],
    stats: locust.stats.RequestStats,
    name: str,
) -> StatsEntry:
    """Return an entry for requests with these latencies; `sent_at` is seconds since the epoch."""
    entry = StatsEntry(stats, name, "GET")
    ended_at = sent_at + milliseconds / 1000
    entry.num_requests = len(milliseconds)
    entry.last_request_timestamp = float(ended_at.max())
    entry.total_response_time = float(milliseconds.sum())  # type: ignore[assignment]
    entry.min_response_time = float(milliseconds.min())  # type: ignore[assignment]
    entry.max_response_time = float(milliseconds.max())  # type: ignore[assignment]
    _add_response_times(entry, milliseconds)
    for second, count in zip(*np.unique(ended_at.astype(int), return_counts=True), strict=True):
        entry.num_reqs_per_sec[int(second)] = int(count)
    return entry


def _add_response_times(entry: StatsEntry, milliseconds: Milliseconds) -> None:
    """Count latencies by their value with two significant digits, as `two_digits` rounds it."""
    exponents = np.floor(np.log10(np.maximum(milliseconds, SMALLEST)))
    steps = np.rint(milliseconds / 10.0 ** (exponents - 1))
    values, counts = np.unique(exponents * 1000 + steps, return_counts=True)
    for value, count in zip(values.tolist(), counts.tolist(), strict=True):
        exponent = math.floor(value / 1000)
        key = two_digits((value - exponent * 1000) * 10.0 ** (exponent - 1))
        entry.response_times[key] += count  # type: ignore[index]
