"""Requests that have ended, added up in constant memory: of a live run, or of others."""

from __future__ import annotations

from collections import Counter as Multiset
from collections.abc import Mapping, Sequence

import numpy as np

from trafficsplit.analysis.histograms import LatencyHistogram, TimeHistogram
from trafficsplit.analysis.kinds import Codes, Kind, Kinds, Outcome
from trafficsplit.analysis.losses import Losses
from trafficsplit.analysis.order import Order, OrderRecorder
from trafficsplit.analysis.run import Counted, Gateway, LatencyKey, Stretch
from trafficsplit.analysis.tally import Tally

MICROSECOND = 1e-6  # in seconds


class Accumulator:
    """Adds requests up by kind, time and latency, and keeps what their order says.

    Times are microseconds since `origin`, or since the epoch where that is None. `cached` counts
    the responses that came out of a cache.
    """

    def __init__(self, kinds: Kinds, origin: int | None = None) -> None:
        self.kinds = kinds
        self.times = TimeHistogram(origin)
        self.latencies = LatencyHistogram()
        self.losses = Losses()
        self.cached = 0
        self._last_end: int | None = None
        self._recorders: dict[tuple[int, str], OrderRecorder] = {}
        self._merged_orders = [Order() for _ in range(kinds.gateways)]

    def add(self, codes: Codes, sent: Codes, latencies: Codes) -> None:
        """Add requests: codes of kinds, when each was sent, and how long it took."""
        number = len(self.kinds)
        self.times.add(codes, sent, number)
        self.latencies.add(codes, latencies, number)
        self.reach(int((sent + np.maximum(latencies, 0)).max()))

    def reach(self, end: int) -> None:
        """Take note that a request has ended then."""
        self._last_end = end if self._last_end is None else max(self._last_end, end)

    def add_in_order(self, codes: Codes, connections: Codes, worker: str = "") -> None:
        """Add requests in order of sending; gateways and workers have orders of their own."""
        for gateway in range(self.kinds.gateways):
            self._recorder(gateway, worker).extend(*self._named(gateway, codes, connections))

    def _named(
        self, gateway: int, codes: Codes, connections: Codes
    ) -> tuple[list[str], Codes, Codes]:
        """Return the names that a gateway's responses have, and of each the name's index."""
        named = [
            code
            for code, kind in enumerate(self.kinds)
            if kind.outcome is Outcome.IDENTIFIED and kind.gateway == gateway
        ]
        index_of = np.full(len(self.kinds), -1)
        index_of[named] = np.arange(len(named))
        indices = index_of[codes]
        kept = indices >= 0
        if not kept.all():
            indices = indices[kept]
            connections = connections[kept]
        return [self.kinds[code].variant for code in named], indices, connections

    def _recorder(self, gateway: int, worker: str) -> OrderRecorder:
        return self._recorders.setdefault((gateway, worker), OrderRecorder())

    def merge_order(self, gateway: int, order: Order) -> None:
        """Add what another process has kept of the order of its requests."""
        self._merged_orders[gateway] += order

    @property
    def pairs_within_connections(self) -> int:
        """Pairs of successive responses on one connection, so far."""
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
        """When the first stretch began, in seconds."""
        return (self.times.origin or 0) * MICROSECOND

    @property
    def elapsed(self) -> float:
        """Seconds from there until the last request had ended."""
        if self._last_end is None:
            return 0.0
        return max(self._last_end - (self.times.origin or 0), 0) * MICROSECOND

    def counted(self, gateways: Sequence[str]) -> Counted:
        """Return all of it; `gateways` are their names, where there are several."""
        several = len(gateways) > 1
        return Counted(
            stretches=self._stretches(None),
            latency=self.latency,
            losses=dict(self.losses),
            order=sum((self.order(number) for number in range(self.kinds.gateways)), Order()),
            gateways=[self._gateway(i, name) for i, name in enumerate(gateways)] if several else [],
            cached=self.cached,
        )

    def _gateway(self, number: int, name: str) -> Gateway:
        return Gateway(name, self._stretches(number), self.order(number))

    def _stretches(self, gateway: int | None) -> list[Stretch]:
        """Return the counts by time, of one gateway or of all; empty stretches are in between."""
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
        """Requests by whose they are and how they were answered, and by bucket of latency."""
        found: dict[LatencyKey, Multiset[int]] = {}
        for code, kind in enumerate(self.kinds):
            buckets = self.latencies.buckets(code)
            if buckets:
                found.setdefault(key_of(kind), Multiset()).update(buckets)
        return found


def key_of(kind: Kind) -> LatencyKey:
    """Return whose latencies those of a kind are."""
    return LatencyKey(kind.variant, kind.status)
