"""The tally of a running test: what has been sent, what came back, when, and how fast."""

from __future__ import annotations

from collections import Counter as Multiset
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from analysis.independence import Order, OrderRecorder
from analysis.latency import bucket_of
from analysis.run import LatencyKey, Stretch
from analysis.sequential import MANY
from analysis.split import Split
from analysis.tally import Tally

# The keys of what is lost, in one namespace with variants: no variant's name is a tuple.
ERRORS = ("errors",)
UNIDENTIFIED = ("unidentified",)
Outcome = str | tuple[str]

FIRST_WIDTH = 0.001  # seconds of a stretch; doubled whenever there are too many of them
MOST_STRETCHES = 512
# A gateway must not fill our memory with names and reasons that it makes up.
MOST_STRANGERS = 20
MOST_REASONS = 50


class Recent:
    """Remembers the last things seen, a bounded number of them."""

    def __init__(self, most: int = 1024) -> None:
        self._seen: dict[int, None] = {}
        self._most = most

    def seen(self, thing: int) -> bool:
        """Whether it is among the last; it is from now on."""
        if thing in self._seen:
            return True
        self._seen[thing] = None
        if len(self._seen) > self._most:
            del self._seen[next(iter(self._seen))]
        return False


@dataclass(frozen=True, slots=True)
class Ticket:
    """A request on its way: its place in the order of sending, and when it was sent."""

    number: int
    sent_at: float  # seconds since the start


class Counter:
    """Counts requests in constant memory, and shows them to the judge in order of sending.

    An answer is held back until all requests that were sent before it have ended: counted in order
    of completion, a slower variant would look rarer than it is (DESIGN.md 4, "order of counting").

    At most `budget` requests are sent (None: no bound); what is sent in the first `settle` seconds
    is not counted. `on_complete` is called once, when no more are to be sent and the last has
    ended.
    """

    def __init__(
        self,
        split: Split | None = None,
        budget: int | None = None,
        settle: float = 0.0,
        on_complete: Callable[[], None] = lambda: None,
    ) -> None:
        self.variants = tuple(split or ())
        self._expected = frozenset(split.positive if split else ())
        self.budget = budget
        self.settle = settle
        self.cached = 0
        self._recorder = OrderRecorder()
        self._orders = Order()  # of workers
        self.sent = 0
        self.under_way = 0
        self.closed = False
        self.complete = False
        self.elapsed = 0.0
        self.losses: Multiset[str] = Multiset()
        self.latency: dict[LatencyKey, Multiset[int]] = {}
        self._judge: Callable[[Tally], int] = lambda _: MANY
        self._look_after = MANY  # so many ordinary responses
        self._on_complete = on_complete
        self._totals: Multiset[Outcome] = Multiset(dict.fromkeys(self.variants, 0))
        self._tickets = 0
        self._next = 0  # the first ticket that has not ended
        self._held: dict[int, tuple[Outcome, int | None] | None] = {}
        self._unjudged: Multiset[Outcome] = Multiset()
        self._width = FIRST_WIDTH
        self._stretches: dict[int, Multiset[Outcome]] = {}

    def judge_by(self, judge: Callable[[Tally], int]) -> None:
        """Show `judge` the counts since its last look, in order of sending, again and again.

        It says how many more responses it can do without another look; 0 ends the run. Lost
        requests, and variants that were to get nothing, it is shown at once.
        """
        self._judge, self._look_after = judge, 1

    def take(self, now: float) -> Ticket | None:
        """Ask to send one request, `now` seconds after the start. None: no more are to be sent."""
        if self.closed or (self.budget is not None and self.sent >= self.budget):
            return None
        ticket = Ticket(self._tickets, now)
        self._tickets += 1
        self.sent += 1
        self.under_way += 1
        return ticket

    def close(self) -> None:
        """Send no more; what is under way is still counted."""
        self.closed = True

    def give_back(self, ticket: Ticket) -> None:
        """A request was never sent, or its answer will never be known."""
        self.sent -= 1
        self.under_way -= 1
        self._ended(ticket, None)

    def variant_or_stranger(self, variant: str) -> Outcome:
        """The outcome that a variant's name counts as: its own, unless there are too many names."""
        totals = self._totals
        if variant in totals or len(totals) < len(self.variants) + MOST_STRANGERS:
            return variant
        return UNIDENTIFIED

    def count(
        self,
        ticket: Ticket,
        outcome: Outcome,
        latency: float,
        *,
        variant: str = "",
        reason: str = "",
        connection: int | None = None,
    ) -> None:
        """One request has ended, `latency` seconds after it was sent.

        `variant` is who answered, where that is known of an error too; `reason` why it is lost;
        `connection` which one it went over, where it is not one of its own.
        """
        if ticket.sent_at < self.settle:
            self.give_back(ticket)
            return
        self.under_way -= 1
        self.elapsed = max(self.elapsed, ticket.sent_at + latency)
        self._totals[outcome] += 1
        self._stretch(ticket.sent_at)[outcome] += 1
        key = LatencyKey(variant, "error" if outcome == ERRORS else "2xx")
        self.latency.setdefault(key, Multiset())[bucket_of(int(latency * 1e6))] += 1
        if reason:
            known = reason in self.losses or len(self.losses) < MOST_REASONS
            self.losses[reason if known else "other reasons"] += 1
        self._ended(ticket, (outcome, connection))

    def _ended(self, ticket: Ticket, ended: tuple[Outcome, int | None] | None) -> None:
        """Judge what is now complete up to the first request still under way."""
        self._held[ticket.number] = ended
        while self._next in self._held:
            ordered = self._held.pop(self._next)
            self._next += 1
            if ordered is not None:
                outcome, connection = ordered
                self._unjudged[outcome] += 1
                if isinstance(outcome, str):
                    self._recorder.add(outcome, connection)
        self._look()
        self._finish()

    def _look(self) -> None:
        """Show the judge what is new, if there is something to see."""
        due = self._unjudged.total() >= self._look_after or any(
            outcome not in self._expected for outcome in self._unjudged
        )
        if due and not self.closed:
            batch, self._unjudged = _tally(self._unjudged), Multiset()
            self._look_after = self._judge(batch)
            self.closed = not self._look_after

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
    def pairs_within_connections(self) -> int:
        """Pairs of responses in a row on one connection, so far."""
        workers = self._orders.within_connections.pairs
        return workers + self._recorder.pairs_within_connections

    @property
    def order(self) -> Order:
        """What is kept of the order of sending."""
        return self._orders + self._recorder.order

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
            "totals": _plain(self._totals),
            "judged": _plain(self._unjudged),
            "cached": self.cached,
            "order": self.order.as_plain(),
            "losses": self.losses,
            "latency": [[key.variant, key.status, n] for key, n in self.latency.items()],
        }
        self._totals = Multiset(dict.fromkeys(self.variants, 0))
        self.losses, self.latency, self._stretches = Multiset(), {}, {}
        self._unjudged, self.cached, self._recorder = Multiset(), 0, OrderRecorder()
        return message

    def absorb(self, message: dict[str, Any], now: float) -> None:
        """Add what a worker has drained; it all goes into the present stretch of time."""
        self.elapsed = max(self.elapsed, now)
        stretch = self._stretch(now)
        for name, target in (("totals", self._totals), ("judged", self._unjudged)):
            for key, count in message[name]:
                outcome = key if isinstance(key, str) else (key[0],)
                if isinstance(outcome, str):
                    outcome = self.variant_or_stranger(outcome)
                target[outcome] += count
                if name == "totals":
                    stretch[outcome] += count
                    self.sent += count
        self.cached += message["cached"]
        self._orders += Order.from_plain(message["order"])
        self.losses.update(message["losses"])
        for variant, status, buckets in message["latency"]:
            known = self.latency.setdefault(LatencyKey(variant, status), Multiset())
            known.update({int(bucket): count for bucket, count in buckets.items()})
        self._look()
        self._finish()


def _plain(counts: Multiset[Outcome]) -> list[list[Any]]:
    return [[k if isinstance(k, str) else list(k), count] for k, count in counts.items() if count]


def _tally(counts: Multiset[Outcome]) -> Tally:
    variants = {key: count for key, count in counts.items() if isinstance(key, str)}
    return Tally(variants, errors=counts[ERRORS], unidentified=counts[UNIDENTIFIED])
