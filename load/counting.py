"""The tally of a running test: what has been sent, what came back, when, and how fast."""

from __future__ import annotations

from collections import Counter as Multiset
from collections.abc import Callable
from typing import Any

from analysis.latency import bucket_of
from analysis.run import LatencyKey, Stretch
from analysis.split import Split
from analysis.tally import Tally

# The keys of what is lost, in one namespace with variants: no variant's name is a tuple.
ERRORS = ("errors",)
UNIDENTIFIED = ("unidentified",)
Outcome = str | tuple[str]

FIRST_WIDTH = 0.05  # seconds of a stretch; doubled whenever there are too many of them
MOST_STRETCHES = 512
# A gateway must not fill our memory with names and reasons that it makes up.
MOST_STRANGERS = 20
MOST_REASONS = 50


class Counter:
    """Counts requests in constant memory.

    At most `budget` requests are sent (None: no bound). `on_complete` is called once, when the
    last of them has ended, or when `enough` says of the tally so far that no more are needed and
    the requests under way have ended. `enough` is asked only after a request that was lost or that
    a variant of weight 0 answered: nothing else may settle a fixed-sample test before its end.
    """

    def __init__(
        self,
        split: Split | None = None,
        budget: int | None = None,
        enough: Callable[[Tally], bool] = lambda _: False,
        on_complete: Callable[[], None] = lambda: None,
    ) -> None:
        self.variants = tuple(split or ())
        self._expected = frozenset(split.positive if split else ())
        self.budget = budget
        self.sent = 0
        self.under_way = 0
        self.closed = False
        self.complete = False
        self.elapsed = 0.0
        self.losses: Multiset[str] = Multiset()
        self.latency: dict[LatencyKey, Multiset[int]] = {}
        self._enough = enough
        self._on_complete = on_complete
        self._totals: Multiset[Outcome] = Multiset(dict.fromkeys(self.variants, 0))
        self._width = FIRST_WIDTH
        self._stretches: dict[int, Multiset[Outcome]] = {}

    def take(self) -> bool:
        """Ask to send one request. False: no more are to be sent."""
        if self.closed or (self.budget is not None and self.sent >= self.budget):
            return False
        self.sent += 1
        self.under_way += 1
        return True

    def close(self) -> None:
        """Send no more; what is under way is still counted."""
        self.closed = True

    def give_back(self) -> None:
        """A request that was taken was never sent, or its answer will never be known."""
        self.sent -= 1
        self.under_way -= 1
        self._finish()

    def variant_or_stranger(self, variant: str) -> Outcome:
        """The outcome that a variant's name counts as: its own, unless there are too many names."""
        totals = self._totals
        if variant in totals or len(totals) < len(self.variants) + MOST_STRANGERS:
            return variant
        return UNIDENTIFIED

    def count(
        self, outcome: Outcome, now: float, latency: float, *, variant: str = "", reason: str = ""
    ) -> None:
        """One request has ended, `now` seconds after the start, after `latency` seconds.

        `variant` is who answered, where that is known of an error too; `reason` why it is lost.
        """
        self.under_way -= 1
        self.elapsed = max(self.elapsed, now)
        self._totals[outcome] += 1
        self._stretch(now)[outcome] += 1
        key = LatencyKey(variant, "error" if outcome == ERRORS else "2xx")
        self.latency.setdefault(key, Multiset())[bucket_of(int(latency * 1e6))] += 1
        if reason:
            known = reason in self.losses or len(self.losses) < MOST_REASONS
            self.losses[reason if known else "other reasons"] += 1
        if outcome not in self._expected and not self.closed:
            self.closed = self._enough(self.tally)
        self._finish()

    def _finish(self) -> None:
        exhausted = self.closed or (self.budget is not None and self.sent >= self.budget)
        if exhausted and self.under_way == 0 and not self.complete:
            self.complete = True
            self._on_complete()

    def _stretch(self, now: float) -> Multiset[Outcome]:
        index = int(now / self._width)
        while index >= MOST_STRETCHES:
            merged: dict[int, Multiset[Outcome]] = {}
            for old, counts in self._stretches.items():
                merged.setdefault(old // 2, Multiset()).update(counts)
            self._stretches, self._width = merged, self._width * 2
            index = int(now / self._width)
        if index not in self._stretches:
            self._stretches[index] = Multiset()
        return self._stretches[index]

    @property
    def tally(self) -> Tally:
        """The counts so far."""
        return _tally(self._totals)

    @property
    def stretches(self) -> list[Stretch]:
        """The counts by time, the empty stretches in between included."""
        width = self._width
        return [
            Stretch(
                index * width,
                min((index + 1) * width, self.elapsed),
                _tally(self._stretches.get(index, Multiset())),
            )
            for index in range(max(self._stretches, default=-1) + 1)
        ]

    # --- distributed: a worker's counts travel to the master with its statistics ---

    def drain(self) -> dict[str, Any]:
        """All counts since the last call, as plain data, and forget them."""
        message = {
            "totals": [
                [key if isinstance(key, str) else list(key), count]
                for key, count in self._totals.items()
                if count
            ],
            "losses": self.losses,
            "latency": [[key.variant, key.status, n] for key, n in self.latency.items()],
        }
        self._totals = Multiset(dict.fromkeys(self.variants, 0))
        self.losses, self.latency, self._stretches = Multiset(), {}, {}
        return message

    def absorb(self, message: dict[str, Any], now: float) -> None:
        """Add what a worker has drained; it all goes into the present stretch of time."""
        self.elapsed = max(self.elapsed, now)
        stretch = self._stretch(now)
        for key, count in message["totals"]:
            outcome = key if isinstance(key, str) else (key[0],)
            if isinstance(outcome, str):
                outcome = self.variant_or_stranger(outcome)
            self._totals[outcome] += count
            stretch[outcome] += count
            self.sent += count
        self.losses.update(message["losses"])
        for variant, status, buckets in message["latency"]:
            known = self.latency.setdefault(LatencyKey(variant, status), Multiset())
            known.update({int(bucket): count for bucket, count in buckets.items()})
        self.closed = self.closed or self._enough(self.tally)
        self._finish()


def _tally(counts: Multiset[Outcome]) -> Tally:
    variants = {key: count for key, count in counts.items() if isinstance(key, str)}
    return Tally(variants, errors=counts[ERRORS], unidentified=counts[UNIDENTIFIED])
