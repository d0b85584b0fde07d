"""Functions that are called when they are due."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable
from time import monotonic as clock

import gevent
from gevent.event import Event


class Alarms:
    """A greenlet that calls functions when they are due, in seconds of the monotonic clock.

    `on_broken` is called with an exception of such a function.
    """

    def __init__(self, on_broken: Callable[[BaseException], None]) -> None:
        self._on_broken = on_broken
        self._due: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = itertools.count(1)  # functions for one time are called in their order
        self._new = Event()
        self._greenlet = gevent.spawn(self._ring)

    def at(self, due: float, call: Callable[[], None]) -> None:
        """Call a function when the clock shows `due`."""
        heapq.heappush(self._due, (due, next(self._numbers), call))
        if self._due[0][0] == due:
            self._new.set()

    def _ring(self) -> None:
        while True:
            self._new.clear()
            now = clock()
            while self._due and self._due[0][0] <= now:
                call = heapq.heappop(self._due)[2]
                try:
                    call()
                except Exception as error:
                    self._on_broken(error)
            left = None
            if self._due:
                left = max(self._due[0][0] - clock(), 0.0)
            self._new.wait(left)

    def close(self) -> None:
        """Call no more functions."""
        self._greenlet.kill()
