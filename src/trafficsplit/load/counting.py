"""The tally of a running test: what has been sent, what came back, when, and how fast.

A request costs a few appends to arrays; what they mean is worked out for many requests at once.

    Ledger   what has been sent, in order of sending, and what of it has ended
    Looks    when the judge is shown what is new
    Counter  both, and what all of it adds up to
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trafficsplit.analysis.accumulator import Accumulator
from trafficsplit.analysis.kinds import Codes, Kind, Kinds, Outcome
from trafficsplit.analysis.order import Order
from trafficsplit.analysis.sequential import MANY
from trafficsplit.analysis.split import Split
from trafficsplit.analysis.tally import Tally
from trafficsplit.text import one_line

MOST_AT_ONCE = 1024  # requests that have ended and are not yet counted
NO_MORE = -1  # instead of a ticket
MICROSECONDS = 1e6  # in a second


@dataclass(frozen=True)
class Ended:
    """Requests that have ended, in the order of their ends: an array element each.

    `codes` are of the counter's kinds, `sent_at` seconds since the start, `latencies` seconds,
    `sizes` bytes of the bodies, `tickets` in order of sending; all before `complete` have ended.
    """

    codes: Codes
    sent_at: NDArray[np.float64]
    latencies: NDArray[np.float64]
    sizes: Codes
    tickets: Codes
    connections: Codes
    complete: int


class Ledger:
    """What has been sent, in order of sending. At most `budget` requests are (None: no bound).

    A request's ticket is its place in that order. From the ticket `first` on, `codes` and
    `connections` are kept; all before it have ended.
    """

    __slots__ = ("budget", "codes", "connections", "first", "left", "under_way")

    def __init__(self, budget: int | None) -> None:
        self.budget = budget
        self.left = MANY if budget is None else budget
        self.under_way = 0
        self.first = 0
        self.codes = array("H")
        self.connections = array("I")

    def take(self, connection: int = 0) -> int:
        """Ask to send one request; return a ticket, or NO_MORE.

        `connection` is a number above 0, a new one for each connection, or 0 for a request that
        has a connection of its own.
        """
        if self.left <= 0:
            return NO_MORE
        self.left -= 1
        self.codes.append(Kinds.UNDER_WAY)
        self.connections.append(connection)
        self.under_way += 1
        return self.first + len(self.codes) - 1

    def end(self, ticket: int, code: int) -> None:
        """A request has ended."""
        self.codes[ticket - self.first] = code
        self.under_way -= 1

    @property
    def complete(self) -> int:
        """The first ticket that is still under way."""
        if not self.codes or self.codes[0] == Kinds.UNDER_WAY:
            return self.first
        still = np.flatnonzero(np.asarray(self.codes) == Kinds.UNDER_WAY)
        return self.first + (int(still[0]) if len(still) else len(self.codes))

    def connections_of(self, tickets: Codes) -> Codes:
        """Return the connections of some requests."""
        return np.asarray(self.connections)[tickets - self.first].astype(np.int64)

    def move_on(self, complete: int) -> tuple[Codes, Codes]:
        """Return codes and connections of all before a ticket, and forget them."""
        number = complete - self.first
        codes = np.array(self.codes[:number], np.int64)
        connections = np.array(self.connections[:number], np.int64)
        del self.codes[:number]
        del self.connections[:number]
        self.first = complete
        return codes, connections


class Looks:
    """When the judge is shown what is new, in order of sending.

    It says how many more responses it can do without another look. Lost requests, and variants that
    were to get nothing, it is shown at once.
    """

    def __init__(self, kinds: Kinds, expected: frozenset[str]) -> None:
        self._kinds = kinds
        self._expected = expected
        self._judge: Callable[[Sequence[Tally]], int] | None = None
        self._after = MANY  # so many ordinary responses
        self._new = np.zeros(len(kinds), np.int64)  # requests by code, since the last look
        self.at_once = MOST_AT_ONCE  # as many may have ended before anything is counted
        self.urgent: set[int] = set()  # codes of ends that are shown at once

    def judge_by(self, judge: Callable[[Sequence[Tally]], int]) -> None:
        """Show `judge` a tally for each gateway, again and again; 0 of it ends the run."""
        self._judge = judge
        self._after = 1
        self.at_once = 1

    def learn(self, code: int) -> None:
        """Take in a new kind of end."""
        kind = self._kinds[code]
        if kind.outcome is not Outcome.IDENTIFIED or kind.variant not in self._expected:
            self.urgent.add(code)

    def add(self, counts: Codes) -> None:
        """Add requests by code, in order of sending."""
        missing = len(counts) - len(self._new)
        if missing > 0:
            self._new = np.pad(self._new, (0, missing))
        self._new[: len(counts)] += counts

    def look(self) -> bool:
        """Show the judge what is new, if it is time; return whether the run goes on."""
        new = int(self._new.sum())
        if self._judge is None or not (new >= self._after or self._is_urgent()):
            return True
        batch = self._kinds.tallies(self._new)
        self._new[:] = 0
        self._after = self._judge(batch)
        self.at_once = min(max(self._after, 1), MOST_AT_ONCE)
        return self._after > 0

    def _is_urgent(self) -> bool:
        return any(self._new[code] for code in self.urgent if code < len(self._new))

    @property
    def new(self) -> Codes:
        """Requests by code that the judge has not been shown."""
        return self._new


class _Endings:
    """Requests that have ended since they were last counted, in the order of their ends."""

    __slots__ = ("codes", "latencies", "sent_at", "sizes", "tickets")

    def __init__(self) -> None:
        self.codes = array("H")
        self.tickets = array("q")
        self.sent_at = array("d")
        self.latencies = array("d")
        self.sizes = array("Q")

    def taken(self, ledger: Ledger, complete: int) -> Ended:
        """Return all of them, and forget them."""
        tickets = np.array(self.tickets)
        ended = Ended(
            codes=np.array(self.codes, np.int64),
            # What was sent before a reset belongs to its start.
            sent_at=np.maximum(np.array(self.sent_at), 0.0),
            latencies=np.array(self.latencies),
            sizes=np.array(self.sizes, np.int64),
            tickets=tickets,
            connections=ledger.connections_of(tickets),
            complete=complete,
        )
        for column in (self.codes, self.tickets, self.sent_at, self.latencies, self.sizes):
            del column[:]
        return ended


class Counter:
    """Counts requests in constant memory, and shows them to the judge in order of sending.

    An answer is held back until all requests that were sent before it have ended: counted in order
    of completion, a slower variant would look rarer than it is (DESIGN.md 4, "Order of counting").

    At most `budget` requests are sent (None: no bound); what is sent in the first `settle` seconds
    is not counted. `gateways` are the names of all that are asked. `on_ended` is shown what has
    ended, in batches. `on_complete` is called once, when no more are to be sent and the last has
    ended.
    """

    def __init__(
        self,
        split: Split | None = None,
        *,
        budget: int | None = None,
        settle: float = 0.0,
        gateways: Sequence[str] = ("",),
        on_complete: Callable[[], None] = lambda: None,
        on_ended: Callable[[Ended], None] = lambda _: None,
    ) -> None:
        self.gateways = tuple(gateways)
        self.kinds = Kinds(split or (), len(self.gateways))
        self.ledger = Ledger(budget)
        self.looks = Looks(self.kinds, frozenset(split.positive if split else ()))
        for code in range(2, len(self.kinds)):
            self.looks.learn(code)
        self.on_ended = on_ended
        self._on_complete = on_complete
        self._counts_from = settle or -math.inf
        self._endings = _Endings()
        self.began = 0.0  # on the clock by which requests are sent
        self.closed = False
        self.complete = False
        self.sums = Accumulator(self.kinds, origin=0)

    def reset(self, now: float) -> None:
        """Forget all that has ended, and begin again. What is under way will count."""
        self.flush()
        self.began = now
        self.sums = Accumulator(self.kinds, origin=0)

    def counts(self, sent_at: float) -> bool:
        """Return whether a request that was sent then is counted."""
        return sent_at >= self._counts_from

    def code_of(self, kind: Kind) -> int:
        """Return the code that a request's end is counted by."""
        known = len(self.kinds)
        code = self.kinds.code_of(kind)
        if code == known:
            self.looks.learn(code)
        return code

    # --- what clients call, for each request ---

    def take(self, connection: int = 0) -> int:
        """Ask to send one request, as `Ledger.take`."""
        return self.ledger.take(connection)

    def count(
        self,
        ticket: int,
        code: int,
        sent_at: float,
        latency: float,
        size: int = 0,
        reason: str = "",
    ) -> None:
        """One request has ended, sent `sent_at` seconds after the start, `latency` seconds later.

        `size` is its body's, in bytes; `reason` says why it is lost.
        """
        if sent_at < self._counts_from:
            self.give_back(ticket)
            return
        ledger = self.ledger
        ledger.codes[ticket - ledger.first] = code
        ledger.under_way -= 1
        endings = self._endings
        endings.codes.append(code)
        endings.tickets.append(ticket)
        endings.sent_at.append(sent_at)
        endings.latencies.append(latency)
        endings.sizes.append(size)
        if reason:
            self.sums.losses.lose(one_line(reason))
        last = ledger.under_way == 0 and ledger.left <= 0
        if last or len(endings.codes) >= self.looks.at_once or code in self.looks.urgent:
            self.flush()

    def give_back(self, ticket: int) -> None:
        """A request was never sent, or its answer will never be known."""
        self.ledger.end(ticket, Kinds.LEFT_OUT)
        self.ledger.left += not self.closed
        self.flush()

    def close(self) -> None:
        """Send no more; what is under way is still counted."""
        self.closed = True
        self.ledger.left = 0

    @property
    def under_way(self) -> int:
        """Requests that have been sent and have not ended."""
        return self.ledger.under_way

    @property
    def sent(self) -> int:
        """Requests that have been sent."""
        ended = int(self.sums.totals.sum())
        return ended + len(self._endings.codes) + self.ledger.under_way

    # --- what they mean ---

    def flush(self) -> None:
        """Count and judge what has ended; tell when all is done."""
        complete = self.ledger.complete
        if self._endings.codes:
            ended = self._endings.taken(self.ledger, complete)
            self._add(ended)
            self.on_ended(ended)
        if complete > self.ledger.first:
            codes, connections = self.ledger.move_on(complete)
            self.sums.add_in_order(codes, connections)
            counts = np.bincount(codes, minlength=len(self.kinds))
            counts[Kinds.LEFT_OUT] = 0
            self.looks.add(counts)
        self._look()

    def _add(self, ended: Ended) -> None:
        sent = (ended.sent_at * MICROSECONDS).astype(np.int64)
        latencies = (ended.latencies * MICROSECONDS).astype(np.int64)
        self.sums.add(ended.codes, sent, latencies)

    def _look(self) -> None:
        if not self.closed and not self.looks.look():
            self.close()
        if self.ledger.left <= 0 and self.ledger.under_way == 0 and not self.complete:
            self.complete = True
            self._on_complete()

    @property
    def elapsed(self) -> float:
        """Seconds from the start until the last request had ended."""
        return self.sums.elapsed

    @property
    def tally(self) -> Tally:
        """The counts so far."""
        self.flush()
        return self.counted_tally

    @property
    def counted_tally(self) -> Tally:
        """The counts that have been worked out."""
        return self.kinds.tally(self.sums.totals)

    # --- distributed: a worker's counts travel to the master with its statistics ---

    def drain(self) -> dict[str, Any]:
        """Return all counts since the last call, as plain data, and forget them."""
        self.flush()
        sums = self.sums
        totals = sums.totals
        ends = []
        for code, kind in enumerate(self.kinds):
            total = int(totals[code]) if code < len(totals) else 0
            judged = int(self.looks.new[code]) if code < len(self.looks.new) else 0
            if total or judged:
                buckets = sums.latencies.buckets(code)
                ends.append([_plain(kind), total, judged, buckets])
        message = {
            "ends": ends,
            "orders": [sums.order(number).as_plain() for number in range(len(self.gateways))],
            "cached": sums.cached,
            "losses": dict(sums.losses),
            "complete": self.complete,
        }
        self.sums = Accumulator(self.kinds, origin=0)
        self.looks.new[:] = 0
        return message

    def absorb(self, message: Mapping[str, Any], now: float) -> None:
        """Add what a worker has drained; it all goes into the present stretch of time.

        Raises KeyError, TypeError or ValueError for what is no such message.
        """
        sums = self.sums
        if any(total for _, total, _, _ in message["ends"]):
            sums.reach(int(now * MICROSECONDS))  # workers go on reporting when all is done
        at = int(min(now, sums.elapsed) * MICROSECONDS)
        codes = [self.code_of(self._admitted(kind)) for kind, _, _, _ in message["ends"]]
        totals = np.zeros(len(self.kinds), np.int64)
        judged = np.zeros(len(self.kinds), np.int64)
        for code, (_, total, new, buckets) in zip(codes, message["ends"], strict=True):
            totals[code] += total
            judged[code] += new
            known = {int(bucket): count for bucket, count in buckets.items()}
            sums.latencies.add_counts(code, known, len(self.kinds))
        sums.times.add_counts(totals, at)
        self.looks.add(judged)
        # All have the same gateways: they come from the same options.
        for gateway, order in enumerate(message["orders"]):
            sums.merge_order(gateway, Order.from_plain(order))
        sums.cached += message["cached"]
        for reason, count in message["losses"].items():
            sums.losses.lose(reason, count)
        self._look()

    def _admitted(self, plain: Sequence[Any]) -> Kind:
        outcome, variant, status, gateway, answer = plain
        kind = Kind(Outcome(outcome), variant, status, gateway, answer)
        if kind.outcome is Outcome.IDENTIFIED and not self.kinds.admits(variant):
            return Kind(Outcome.UNIDENTIFIED, "", status, gateway, answer)
        return kind


def _plain(kind: Kind) -> list[Any]:
    return [kind.outcome.value, kind.variant, kind.status, kind.gateway, kind.answer]
