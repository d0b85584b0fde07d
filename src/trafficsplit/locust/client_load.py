"""The load of the sending process itself: its CPU time, and the delays of its event loop.

A client that has no time left measures itself and not the gateway.
"""

from __future__ import annotations

import time
from collections import Counter as Multiset

import gevent

from trafficsplit.analysis.latency import bucket_of, quantile

BEAT = 0.05  # seconds
MICROSECONDS = 1e6  # in a second


class ClientLoad:
    """A greenlet that wakes up at intervals, and notes how late it does."""

    def __init__(self) -> None:
        self._lags: Multiset[int] = Multiset()  # by bucket
        self._greenlet: gevent.Greenlet | None = None
        self._cpu_at_start = 0.0  # seconds
        self._wall_at_start = 0.0  # seconds
        self.cpu = 0.0  # of one core, from 0 to 1

    def start(self) -> None:
        """Begin to measure."""
        self._cpu_at_start = time.process_time()
        self._wall_at_start = time.monotonic()
        self._greenlet = gevent.spawn(self._beat)

    def stop(self) -> None:
        """Stop measuring."""
        if self._greenlet:
            self._measure()
            self._greenlet.kill()
            self._greenlet = None

    def _beat(self) -> None:
        while True:
            due = time.monotonic() + BEAT
            gevent.sleep(BEAT)
            late = max(time.monotonic() - due, 0.0)
            self._lags[bucket_of(int(late * MICROSECONDS))] += 1
            self._measure()

    def _measure(self) -> None:
        wall = time.monotonic() - self._wall_at_start
        if wall > 0:
            self.cpu = (time.process_time() - self._cpu_at_start) / wall

    @property
    def lag(self) -> float:
        """The 99th percentile of the delays, in seconds."""
        return (quantile(self._lags, 0.99) or 0.0) / 1000
