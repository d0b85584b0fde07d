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
        self._pace = rate
        self._began = began  # at this pace
        self._taken = 0  # at this pace
        self._sent = 0  # before, at the full rate
        self._lasted = 0.0  # seconds, likewise
        self.late = 0  # requests that were taken late, as no connection was free
        self.next_at = began
        self._last = began

    def keep_pace(self, pace: float | None, now: float) -> None:
        """Send fewer requests a second from now on; None: as many as at first."""
        self._sent, self._lasted = self._at_full_rate()
        self._pace = min(pace or self.rate, self.rate)
        self._began = self.next_at = self._last = now
        self._taken = 0

    def take(self) -> float:
        """Take the next request; return the time at which it is due."""
        due = self.next_at
        self._last = time.monotonic()
        self.late += self._last - due > LATE
        self._taken += 1
        self.next_at = self._began + self._taken / self._pace
        return due

    @property
    def achieved(self) -> float:
        """The requests a second that were really sent, while as many as `rate` were to be."""
        sent, lasted = self._at_full_rate()
        if lasted <= 0:
            return self.rate
        return min(sent / lasted, self.rate)

    def _at_full_rate(self) -> tuple[int, float]:
        """Return the requests, after a first one, that were sent at the full rate, and how long."""
        if self._pace < self.rate or not self._taken:
            return self._sent, self._lasted
        return self._sent + self._taken - 1, self._lasted + self._last - self._began
