"""A schedule of requests: each is due at a fixed time, however slow the answers are."""

from __future__ import annotations

import time

LATE = 0.01  # seconds after which a request counts as late


class Schedule:
    """A schedule of `rate` requests a second from `began` on, in seconds of the monotonic clock.

    Latency is measured from the time at which a request was due. Measured from its sending, a stall
    of the gateway would show in the one request that met it, and not in those that could not be
    sent meanwhile (coordinated omission).
    """

    def __init__(self, rate: float, began: float) -> None:
        self.rate = rate
        self._began = began
        self._taken = 0
        self.late = 0  # requests that were taken late, as no connection was free
        self.next_at = began
        self._last = began

    def take(self) -> float:
        """Take the next request; return the time at which it is due."""
        due = self.next_at
        self._last = time.monotonic()
        self.late += self._last - due > LATE
        self._taken += 1
        self.next_at = self._began + self._taken / self.rate
        return due

    @property
    def achieved(self) -> float:
        """The requests a second that were really sent."""
        lasted = self._last - self._began
        if lasted <= 0:
            return self.rate
        return min((self._taken - 1) / lasted, self.rate)
