"""Requests that have ended, added up in constant memory, in a live run or from elsewhere."""

from __future__ import annotations

from collections import Counter as Multiset
from collections.abc import Mapping, Sequence

import numpy as np

from trafficsplit.analysis.courses import Courses
from trafficsplit.analysis.histograms import LatencyHistogram, TimeHistogram
from trafficsplit.analysis.kinds import Codes, Kind, Kinds, Outcome
from trafficsplit.analysis.losses import Losses
from trafficsplit.analysis.order import Order, OrderRecorder
from trafficsplit.analysis.run import Counted, Gateway, LatencyKey, Stretch
from trafficsplit.analysis.tally import Tally
from trafficsplit.analysis.visits import UserKind, UserRecorder

MICROSECOND = 1e-6  # in seconds


class Accumulator:
    """Adds requests up by kind, by time and by latency, and keeps sums over their order.

    Times are microseconds since the epoch. The first stretch begins at `origin`, or with the first
    request if that is None. `cached` counts the responses that came out of a cache, `sent_again`
    the requests that were sent a second time, since the gateway had closed a kept connection, and
    `users` the users whose requests have all ended, where draws are users.
    """

    def __init__(self, kinds: Kinds, origin: int | None = None) -> None:
        self.kinds = kinds
        self.times = TimeHistogram(origin)
        self.latencies = LatencyHistogram()
        self.courses = Courses(kinds, origin)
        self.losses = Losses()
        self.cached = 0
        self.sent_again = 0
        self.users = UserRecorder()
        self._last_end: int | None = None
        self._recorders: dict[tuple[int, str], OrderRecorder] = {}
        self._merged_orders = [Order() for _ in range(kinds.gateways)]

    def add(self, codes: Codes, sent: Codes, latencies: Codes) -> None:
        """Add requests: codes of kinds, when each was sent, and how long it took."""
        number = len(self.kinds)
        self.times.add(codes, sent, number)
        self.latencies.add(codes, latencies, number)
        self.courses.add(codes, sent, latencies)
        self.reach(int((sent + np.maximum(latencies, 0)).max()))

    def reach(self, end: int) -> None:
        """Note that a request has ended at this time."""
        if self._last_end is None or end > self._last_end:
            self._last_end = end

    def add_in_order(self, codes: Codes, connections: Codes, worker: str = "") -> None:
        """Add requests in order of sending; gateways and workers have orders of their own."""
        for gateway in range(self.kinds.gateways):
            names, index_of = self._names_at(gateway)
            indices = index_of[codes]
            kept = indices >= 0
            recorder = self._recorder(gateway, worker)
            if kept.all():
                recorder.extend(names, indices, connections)
            else:
                recorder.extend(names, indices[kept], connections[kept])

    def add_users(self, users: Sequence[UserKind], first_codes: Codes) -> None:
        """Add users in order of their first requests, with the codes of these.

        The order that is kept is that of the users.
        """
        self.users.add(users)
        if len(first_codes):
            self.add_in_order(first_codes, np.zeros(len(first_codes), np.int64))

    def _names_at(self, gateway: int) -> tuple[list[str], Codes]:
        """Return the variants that a gateway's kinds name, and for each code its name's index.

        The index is −1 for codes of other kinds.
        """
        names: list[str] = []
        index_of = np.full(len(self.kinds), -1)
        for code, kind in enumerate(self.kinds):
            if kind.outcome is Outcome.IDENTIFIED and kind.gateway == gateway:
                index_of[code] = len(names)
                names.append(kind.variant)
        return names, index_of

    def _recorder(self, gateway: int, worker: str) -> OrderRecorder:
        return self._recorders.setdefault((gateway, worker), OrderRecorder())

    def merge_order(self, gateway: int, order: Order) -> None:
        """Add the order of another process's requests to a gateway, which came later."""
        self._merged_orders[gateway] = self._merged_orders[gateway].followed_by(order)

    @property
    def pairs_within_connections(self) -> int:
        """The pairs of successive responses on one connection, so far."""
        merged = sum(order.within_connections.pairs for order in self._merged_orders)
        own = sum(recorder.pairs_within_connections for recorder in self._recorders.values())
        return merged + own

    def order(self, gateway: int) -> Order:
        """Return what is kept of the order of a gateway's responses."""
        order = self._merged_orders[gateway]
        for (number, _), recorder in self._recorders.items():
            if number == gateway:
                order += recorder.order
        return order

    @property
    def totals(self) -> Codes:
        """Requests by code."""
        totals: Codes = self.times.rows.sum(axis=0)
        return totals

    @property
    def started(self) -> float:
        """The time at which the first stretch began, in seconds since the epoch."""
        return (self.times.origin or 0) * MICROSECOND

    @property
    def elapsed(self) -> float:
        """The seconds from there until the last request had ended."""
        if self._last_end is None:
            return 0.0
        return max(self._last_end - (self.times.origin or 0), 0) * MICROSECOND

    def counted(self, gateways: Sequence[str]) -> Counted:
        """Return what was counted, in all and, if there are several, by gateway.

        `gateways` are their names.
        """
        by_gateway = []
        if len(gateways) > 1:
            by_gateway = [self._gateway(number, name) for number, name in enumerate(gateways)]
        return Counted(
            stretches=self._stretches(None),
            latency=self.latency,
            losses=dict(self.losses),
            order=sum(map(self.order, range(self.kinds.gateways)), Order()),
            gateways=by_gateway,
            cached=self.cached,
            sent_again=self.sent_again,
            users=self.users.users if self.users.number else None,
            courses=self.courses.courses,
        )

    def _gateway(self, number: int, name: str) -> Gateway:
        return Gateway(name, self._stretches(number), self.order(number))

    def _stretches(self, gateway: int | None) -> list[Stretch]:
        """Return the counts of one gateway, or of all, by stretch of time, the empty ones too."""
        width = self.times.width * MICROSECOND
        elapsed = self.elapsed
        stretches = []
        for number, row in enumerate(self.times.rows):
            start = number * width
            end = start + width
            if start < elapsed < end:
                end = elapsed
            stretches.append(Stretch(start, end, self._tally(row, gateway)))
        return stretches

    def _tally(self, counts: Codes, gateway: int | None) -> Tally:
        if gateway is None:
            return self.kinds.tally(counts)
        return self.kinds.tallies(counts)[gateway]

    @property
    def latency(self) -> Mapping[LatencyKey, Mapping[int, int]]:
        """Requests by variant and class of status, and by bucket of latency."""
        by_key: dict[LatencyKey, Multiset[int]] = {}
        for code, kind in enumerate(self.kinds):
            buckets = self.latencies.buckets(code)
            if buckets:
                by_key.setdefault(key_of(kind), Multiset()).update(buckets)
        return by_key


def key_of(kind: Kind) -> LatencyKey:
    """Return the key under which the latencies of a kind are counted."""
    return LatencyKey(kind.variant, kind.status)
