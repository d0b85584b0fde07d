"""Requests that somebody else has sent: counted in batches, in constant memory, into a run.

Recordings and access logs of any size come down to what a live run keeps: counts by stretch of
time, latencies in buckets, and what the order says.
"""

from __future__ import annotations

from collections import Counter as Multiset
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from operator import add
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analysis.bounds import MOST_STRANGERS, MOST_STRETCHES, lose
from analysis.latency import bucket_of, buckets_of
from analysis.order import Order, OrderRecorder
from analysis.run import LatencyKey, Stretch
from analysis.tally import Tally

Ints = NDArray[np.int64]
FIRST_WIDTH = 1000  # microseconds of a stretch; doubled whenever there are too many of them
# Of an order so much is looked at: what a gateway does it does from the start.
MOST_ORDERED = 1_000_000
# Latencies below this are counted one by one, in microseconds; above, one at a time.
COMMON = 1 << 17
MOST_NAMES = 1000  # in one batch, before strangers are put together
CLASSES = ("none", "1xx", "2xx", "3xx", "4xx", "5xx")


@dataclass(frozen=True)
class Batch:
    """Requests that have ended: an array element each.

    `codes` are indices into `names`, −1 where no variant is named; `statuses` are HTTP's, 0
    without an answer; `sent` and `latencies` are microseconds, `sent` since the epoch. Where
    `ordered`, they stand in order of sending, on `connections` (0: one of its own; None: not
    known).
    """

    names: Sequence[str]
    codes: NDArray[Any]
    statuses: NDArray[Any]
    sent: Ints
    latencies: NDArray[Any]
    connections: NDArray[Any] | None = None
    ordered: bool = False


def _fewer(batch: Batch, names: Sequence[str]) -> tuple[Batch, list[str]]:
    """The same with each name once, and none for nobody."""
    distinct = [name for name in dict.fromkeys(names) if name]
    index = {name: code for code, name in enumerate(distinct)} | {"": -1}
    codes = np.array([*(index[name] for name in names), -1])[batch.codes]
    return replace(batch, names=distinct, codes=codes), distinct


class Gathering:
    """Adds batches up. `variants` are those that the split has."""

    def __init__(self, variants: Iterable[str]) -> None:
        self._variants = list(variants)
        self._keys: list[LatencyKey] = []
        self._table: dict[int, Ints] = {}  # by place in time: counts by key
        self._width = FIRST_WIDTH
        self._origin: int | None = None
        self._last = 0
        self._common: dict[int, Ints] = {}  # by key: requests by microseconds
        self._slow: Multiset[tuple[int, int]] = Multiset()  # by key and bucket
        self._losses: Multiset[str] = Multiset()
        self._recorders: dict[str, OrderRecorder] = {}
        self._ordered: Multiset[str] = Multiset()

    def add(self, batch: Batch, worker: str = "") -> None:
        """Add requests; each `worker` has an order of its own."""
        if not len(batch.codes):
            return
        names = self._admitted(batch.names)
        if len(names) > MOST_NAMES:
            batch, names = _fewer(batch, names)
        combined = (batch.codes.astype(np.int16) + 1) * np.int16(len(CLASSES))
        combined += np.minimum(batch.statuses // 100, 5).astype(np.int16)
        present = np.flatnonzero(np.bincount(combined))
        codes = np.zeros(int(present[-1]) + 1, np.int16)
        for pair in present.tolist():
            name, status = divmod(pair, len(CLASSES))
            codes[pair] = self._code(LatencyKey(names[name - 1] if name else "", CLASSES[status]))
        keys = codes[combined]
        self._add_times(keys, batch)
        self._add_latencies(keys, batch.latencies)
        self._add_losses(keys, batch.statuses)
        if batch.ordered and self.wants_order(worker):
            self._add_order(keys[:MOST_ORDERED], batch, worker)

    def wants_order(self, worker: str) -> bool:
        """Whether the order of more of a worker's requests is of use."""
        return self._ordered[worker] < MOST_ORDERED

    def _admitted(self, names: Sequence[str]) -> list[str]:
        """The names, without those of too many strangers."""
        known = {key.variant for key in self._keys} | set(self._variants)
        admitted = []
        for name in names:
            if name in known or len(known) < len(self._variants) + MOST_STRANGERS:
                known.add(name)
                admitted.append(name)
            else:
                admitted.append("")
        return admitted

    def _code(self, key: LatencyKey) -> int:
        if key not in self._keys:
            self._keys.append(key)
        return self._keys.index(key)

    def _add_times(self, keys: NDArray[Any], batch: Batch) -> None:
        first, last = int(batch.sent.min()), int(batch.sent.max())
        if self._origin is None:
            self._origin = first
        self._last = max(self._last, last)
        places = [*self._table, (first - self._origin) // self._width]
        while (last - self._origin) // self._width - min(places) >= MOST_STRETCHES or (
            max(places) - min(places) >= MOST_STRETCHES
        ):
            self._widen()
            places = [*self._table, (first - self._origin) // self._width]
        low = (first - self._origin) // self._width
        number = len(self._keys)
        flat = (batch.sent - (self._origin + low * self._width)) // self._width
        flat *= number
        flat += keys
        table = np.bincount(flat)
        table = np.pad(table, (0, -len(table) % number)).reshape(-1, number)
        for row in np.flatnonzero(table.any(axis=1)).tolist():
            self._merge(self._table, low + row, table[row])

    @staticmethod
    def _merge(table: dict[int, Ints], place: int, counts: Ints) -> None:
        before = table.get(place)
        if before is not None:
            counts = counts.copy()
            counts[: len(before)] += before
        table[place] = counts

    def _widen(self) -> None:
        merged: dict[int, Ints] = {}
        for place, counts in self._table.items():
            longer = np.pad(counts, (0, len(self._keys) - len(counts)))
            self._merge(merged, place // 2, longer)
        self._table, self._width = merged, 2 * self._width

    def _add_latencies(self, keys: NDArray[Any], latencies: NDArray[Any]) -> None:
        flat = keys.astype(np.int32) * np.int32(COMMON)
        flat += np.clip(latencies, 0, COMMON - 1).astype(np.int32)
        counts = np.bincount(flat)
        counts = np.pad(counts, (0, -len(counts) % COMMON)).reshape(-1, COMMON)
        for code in np.flatnonzero(counts.any(axis=1)).tolist():
            before = self._common.get(code)
            self._common[code] = counts[code] if before is None else before + counts[code]
        slow = latencies >= COMMON - 1
        for code, latency in zip(keys[slow].tolist(), latencies[slow].tolist(), strict=True):
            self._slow[code, bucket_of(latency)] += 1

    def _add_losses(self, keys: NDArray[Any], statuses: NDArray[Any]) -> None:
        lost = [code for code, key in enumerate(self._keys) if key.status != "2xx"]
        nobody = [code for code, key in enumerate(self._keys) if key == LatencyKey("", "2xx")]
        counts = np.bincount(keys, minlength=len(self._keys))
        if counts[lost].sum():
            values, times = np.unique(statuses[np.isin(keys, lost)], return_counts=True)
            for value, count in zip(values.tolist(), times.tolist(), strict=True):
                lose(self._losses, f"HTTP {value}" if value else "no answer", count)
        if unnamed := int(counts[nobody].sum()):
            lose(self._losses, "no variant is named", unnamed)

    def _add_order(self, keys: NDArray[Any], batch: Batch, worker: str) -> None:
        named = [code for code, key in enumerate(self._keys) if key.status == "2xx" and key.variant]
        place = np.full(len(self._keys), -1)
        place[named] = np.arange(len(named))
        codes = place[keys]
        its = codes >= 0
        connections = np.zeros(len(codes), np.int64)
        if batch.connections is not None:
            connections[:] = batch.connections[: len(codes)]
        recorder = self._recorders.setdefault(worker, OrderRecorder())
        recorder.extend([self._keys[k].variant for k in named], codes[its], connections[its])
        self._ordered[worker] += len(codes)

    @property
    def started(self) -> float:
        """When the first was sent, in seconds since the epoch."""
        return self._begin / 1e6

    @property
    def _begin(self) -> int:
        return (self._origin or 0) + min(self._table, default=0) * self._width

    @property
    def elapsed(self) -> float:
        """Seconds until the last was sent."""
        return max(self._last - self._begin, 0) / 1e6

    @property
    def stretches(self) -> list[Stretch]:
        """The counts by time."""
        low, width = min(self._table, default=0), self._width / 1e6
        return [
            Stretch((place - low) * width, (place - low + 1) * width, self._tally(counts))
            for place, counts in sorted(self._table.items())
        ]

    def _tally(self, counts: Ints) -> Tally:
        named = dict.fromkeys(self._variants, 0)
        errors = unidentified = 0
        for key, count in zip(self._keys, counts.tolist(), strict=False):
            if key.status != "2xx":
                errors += count
            elif not key.variant:
                unidentified += count
            elif count or key.variant in named:
                named[key.variant] = named.get(key.variant, 0) + count
        return Tally(named, errors, unidentified)

    @property
    def latency(self) -> Mapping[LatencyKey, Mapping[int, int]]:
        """Buckets of `analysis.latency`."""
        found: dict[LatencyKey, Multiset[int]] = {}
        for code, counts in self._common.items():
            there = np.flatnonzero(counts[:-1])
            buckets = found.setdefault(self._keys[code], Multiset())
            for bucket, count in zip(
                buckets_of(there).tolist(), counts[there].tolist(), strict=True
            ):
                buckets[bucket] += count
        for (code, bucket), count in self._slow.items():
            found.setdefault(self._keys[code], Multiset())[bucket] += count
        return {key: dict(buckets) for key, buckets in found.items()}

    @property
    def losses(self) -> Mapping[str, int]:
        """Why requests were lost."""
        return dict(self._losses)

    @property
    def order(self) -> Order:
        """What is kept of the order of sending, of all workers."""
        return reduce(add, (recorder.order for recorder in self._recorders.values()), Order())
