"""Open load: requests are due at fixed times, whatever the answers do."""

from __future__ import annotations

import time

LATE = 0.01  # seconds


class Schedule:
    """`rate` requests a second from `began` on. Latency counts from the time each was due.

    Measured from the sending, a stall of the gateway would show in the one request that met it,
    and not in those that could not be sent meanwhile (coordinated omission).
    """

    def __init__(self, rate: float, began: float) -> None:
        self.rate, self._began = rate, began
        self._taken = 0
        self.late = 0  # requests that were taken after their time: no connection was free
        self.next_at = began
        self._last = began

    def take(self) -> float:
        """The time at which the next request is due; the one after it is next."""
        due = self.next_at
        self._last = time.monotonic()
        self.late += self._last - due > LATE
        self._taken += 1
        self.next_at = self._began + self._taken / self.rate
        return due

    @property
    def achieved(self) -> float:
        """Requests a second that were really sent."""
        lasted = self._last - self._began
        return min((self._taken - 1) / lasted, self.rate) if lasted > 0 else self.rate
