"""Requests that others sent, counted in batches: recordings and logs of any size.

What is kept of them is what a live run keeps: counts by stretch of time, latencies in buckets, and
sums over their order.
"""

from __future__ import annotations

from collections import Counter as Multiset
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from trafficsplit.analysis.accumulator import Accumulator
from trafficsplit.analysis.kinds import STATUSES, Codes, Kind, Kinds, Outcome
from trafficsplit.analysis.run import Counted
from trafficsplit.analysis.user_book import UserBook
from trafficsplit.analysis.visits import UserKind

Integers = NDArray[np.integer]  # of any size
# Responses of a worker whose order is kept: what a gateway does, it does from the start.
MOST_ORDERED = 1_000_000
MOST_NAMES = 1000  # of one batch, before unknown names are put together


@dataclass(frozen=True)
class Batch:
    """Requests that have ended, an element of each array for each.

    `codes` are indices into `names`, −1 if no variant is named. `statuses` are HTTP's, 0 without an
    answer. `sent` and `latencies` are microseconds, `sent` since the epoch. `ordered` says that
    they stand in order of sending, on `connections` (0: one of its own; None: not known).
    """

    names: Sequence[str]
    codes: Integers
    statuses: Integers
    sent: Codes
    latencies: Integers
    connections: Integers | None = None
    ordered: bool = False


class BatchCounter:
    """Adds batches up to what a run keeps. `variants` are those of the split.

    `user_requests` are those of each user where draws are users, whose numbers are those of their
    connections then; 0 where draws are requests. `on_users` is called with users that have ended.
    """

    def __init__(
        self,
        variants: Iterable[str],
        user_requests: int = 0,
        on_users: Callable[[Sequence[UserKind]], None] | None = None,
    ) -> None:
        self.kinds = Kinds(variants)
        self._user_requests = user_requests
        self._on_users = on_users
        self._books: dict[str, UserBook] = {}  # by worker
        self._sums = Accumulator(self.kinds)
        self._ordered: Multiset[str] = Multiset()  # responses whose order is kept, by worker

    def add(self, batch: Batch, worker: str = "") -> None:
        """Add requests; each `worker` has an order of its own."""
        if not len(batch.codes):
            return
        batch = self._admit_names(batch)
        codes = self._codes_of(batch)
        self._sums.add(codes, batch.sent, batch.latencies.astype(np.int64))
        self._add_losses(codes, batch.statuses)
        if batch.ordered and self._user_requests:
            self._add_users(codes, batch, worker)
        elif batch.ordered and self.wants_order(worker):
            self._add_order(codes[:MOST_ORDERED], batch, worker)

    def wants_order(self, worker: str) -> bool:
        """Return whether the order of more of a worker's requests is of use."""
        return self._user_requests > 0 or self._ordered[worker] < MOST_ORDERED

    def _admit_names(self, batch: Batch) -> Batch:
        """Return the batch without the names of too many unknown variants."""
        names = [name if self.kinds.admits(name) else "" for name in batch.names]
        if len(names) <= MOST_NAMES:
            return replace(batch, names=names)
        distinct = [name for name in dict.fromkeys(names) if name]
        code_of = {name: code for code, name in enumerate(distinct)} | {"": -1}
        # One more element, at the end, stands for −1, no name.
        new_codes = np.array([*map(code_of.__getitem__, names), -1])
        return replace(batch, names=distinct, codes=new_codes[batch.codes])

    def _codes_of(self, batch: Batch) -> Codes:
        """Return the code of each request's kind."""
        # A number for each pair of a name (0: none) and a class of status.
        pairs = (batch.codes.astype(np.int64) + 1) * len(STATUSES)
        pairs += np.clip(batch.statuses // 100, 0, len(STATUSES) - 1)
        present = np.flatnonzero(np.bincount(pairs))
        code_of = np.zeros(int(present[-1]) + 1, np.int64)
        names = ["", *batch.names]
        for pair in present.tolist():
            name, status = divmod(pair, len(STATUSES))
            code_of[pair] = self.kinds.code_of(_kind(names[name], STATUSES[status]))
        codes: Codes = code_of[pairs]
        return codes

    def _add_losses(self, codes: Codes, statuses: Integers) -> None:
        counts = np.bincount(codes)
        for code in np.flatnonzero(counts).tolist():
            kind = self.kinds[code]
            if kind.outcome is Outcome.UNIDENTIFIED:
                self._sums.losses.lose("no variant is named", int(counts[code]))
            elif kind.outcome is Outcome.ERROR:
                self._add_errors(statuses[codes == code])

    def _add_errors(self, statuses: Integers) -> None:
        values, counts = np.unique(statuses, return_counts=True)
        for status, count in zip(values.tolist(), counts.tolist(), strict=True):
            self._sums.losses.lose(f"HTTP {status}" if status else "no answer", count)

    def _add_order(self, codes: Codes, batch: Batch, worker: str) -> None:
        connections = np.zeros(len(codes), np.int64)
        if batch.connections is not None:
            connections[:] = batch.connections[: len(codes)]
        self._sums.add_in_order(codes, connections, worker)
        self._ordered[worker] += len(codes)

    def _add_users(self, codes: Codes, batch: Batch, worker: str) -> None:
        """Add the users whose requests have ended; each worker numbers its own."""
        book = self._books.get(worker)
        if book is None:
            book = UserBook(self.kinds, self._user_requests)
            self._books[worker] = book
        if batch.connections is not None:
            ended = book.add(codes, batch.connections.astype(np.int64))
            self._sums.add_users(ended.kinds, ended.first_codes)
            if self._on_users:
                self._on_users(ended.kinds)

    @property
    def started(self) -> float:
        """The time at which the first request was sent, in seconds since the epoch."""
        return self._sums.started

    @property
    def elapsed(self) -> float:
        """The seconds from there until the last request had ended."""
        return self._sums.elapsed

    @property
    def counted(self) -> Counted:
        """What was counted, in all."""
        return self._sums.counted(("",))


def _kind(variant: str, status: str) -> Kind:
    if status != "2xx":
        return Kind(Outcome.ERROR, variant, status, answer=0)
    outcome = Outcome.IDENTIFIED if variant else Outcome.UNIDENTIFIED
    return Kind(outcome, variant, status)
