"""Locust's own statistics, filled in batches.

`StatsEntry.log` costs 3 µs a request; `StatsEntry.extend` adds what a few hundred of them have come
to. Lost requests fire Locust's `request` event one by one, as from any client.
"""

from __future__ import annotations

import math
import time

import locust.stats
import numpy as np
from locust.env import Environment
from locust.exception import CatchResponseError
from locust.stats import StatsEntry

from trafficsplit.analysis.kinds import Outcome
from trafficsplit.load.counting import Counter, Ended
from trafficsplit.locust.patches import two_digits


class Statistics:
    """Adds what a counter has seen to an environment's statistics, a row for each variant."""

    def __init__(self, environment: Environment, counter: Counter, path: str) -> None:
        self._environment, self._counter, self._path = environment, counter, path
        self._epoch = time.time() - time.monotonic()

    def add(self, ended: Ended) -> None:
        """Requests that have ended; lost ones are left out, `lost` has told of them."""
        kinds = self._counter.kinds
        stats = self._environment.stats
        for code in np.flatnonzero(np.bincount(ended.codes)).tolist():
            kind = kinds[code]
            if kind.outcome is not Outcome.IDENTIFIED:
                continue
            its = ended.codes == code
            began = self._epoch + self._counter.began
            name = self._name(kind.variant)
            entry = _entry(ended.latencies[its] * 1000, ended.sent_at[its] + began, stats, name)
            entry.total_content_length = int(ended.sizes[its].sum())
            stats.get(name, "GET").extend(entry)
            stats.total.extend(entry)

    def lost(self, reason: str, seconds: float, size: int, row: str) -> None:
        """One request that counts as an error or as unidentified."""
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
    milliseconds: np.ndarray[tuple[int], np.dtype[np.float64]],
    sent_at: np.ndarray[tuple[int], np.dtype[np.float64]],
    stats: locust.stats.RequestStats,
    name: str,
) -> StatsEntry:
    entry = StatsEntry(stats, name, "GET")
    ended_at = sent_at + milliseconds / 1000
    entry.num_requests = len(milliseconds)
    entry.last_request_timestamp = float(ended_at.max())
    entry.total_response_time = float(milliseconds.sum())  # type: ignore[assignment]
    entry.min_response_time = float(milliseconds.min())  # type: ignore[assignment]
    entry.max_response_time = float(milliseconds.max())  # type: ignore[assignment]
    # To two digits each, then to how many of each.
    digits = np.floor(np.log10(np.maximum(milliseconds, 1e-3)))
    steps = np.rint(milliseconds / 10.0 ** (digits - 1))
    values, counts = np.unique(digits * 1000 + steps, return_counts=True)
    for value, count in zip(values.tolist(), counts.tolist(), strict=True):
        digit = math.floor(value / 1000)
        key = two_digits((value - digit * 1000) * 10.0 ** (digit - 1))
        entry.response_times[key] += count  # type: ignore[index]
    for second, count in zip(*np.unique(ended_at.astype(int), return_counts=True), strict=True):
        entry.num_reqs_per_sec[int(second)] = int(count)
    return entry
