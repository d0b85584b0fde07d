"""The counts of a running test: requests sent, how each ended, when, and how fast.

A request costs a few appends to arrays; sums are made of many requests at once.

    Ledger   the requests in order of sending, and how they have ended
    Looks    when the judge is shown new counts
    Counter  both, and the sums of all requests
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trafficsplit.analysis.accumulator import Accumulator
from trafficsplit.analysis.kinds import Codes, Kind, Kinds, Outcome
from trafficsplit.analysis.look import Look
from trafficsplit.analysis.sequential import MANY
from trafficsplit.analysis.split import Split
from trafficsplit.analysis.tally import Tally
from trafficsplit.analysis.user_book import UserBook
from trafficsplit.text import one_line

MOST_AT_ONCE = 1024  # ended requests that wait to be added up
NO_MORE = -1  # instead of a ticket
MICROSECONDS = 1e6  # in a second


@dataclass(frozen=True)
class Ended:
    """Requests that have ended, in the order of their ends, an element of each array for each.

    `codes` are those of the counter's kinds, `sent_at` is in seconds since the start, `latencies`
    are in seconds, `sizes` are bytes of the bodies, `tickets` numbers in order of sending. All
    requests with tickets below `complete` have ended.
    """

    codes: Codes
    sent_at: NDArray[np.float64]
    latencies: NDArray[np.float64]
    sizes: Codes
    tickets: Codes
    connections: Codes
    complete: int


class Ledger:
    """The requests in order of sending, at most `budget` of them (None: no bound).

    A request's ticket is its number in that order. All requests before the ticket `first` have
    ended; from it on, `codes` and `connections` are kept.
    """

    __slots__ = ("budget", "codes", "connections", "first", "left", "under_way")

    def __init__(self, budget: int | None) -> None:
        self.budget = budget
        self.left = MANY
        if budget is not None:
            self.left = budget
        self.under_way = 0
        self.first = 0
        self.codes = array("H")
        self.connections = array("I")

    def take(self, connection: int = 0) -> int:
        """Take a ticket to send one request; return NO_MORE where the budget is used up.

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
        """Note that a request has ended, and how."""
        self.codes[ticket - self.first] = code
        self.under_way -= 1

    @property
    def complete(self) -> int:
        """The first ticket that is still under way."""
        if not self.codes or self.codes[0] == Kinds.UNDER_WAY:
            return self.first
        under_way = np.flatnonzero(np.asarray(self.codes) == Kinds.UNDER_WAY)
        if not len(under_way):
            return self.first + len(self.codes)
        return self.first + int(under_way[0])

    def connections_of(self, tickets: Codes) -> Codes:
        """Return the numbers of the connections of some requests."""
        return np.asarray(self.connections)[tickets - self.first].astype(np.int64)

    def move_on(self, complete: int) -> tuple[Codes, Codes]:
        """Return codes and connections of all requests before a ticket, and forget them."""
        number = complete - self.first
        codes = np.array(self.codes[:number], np.int64)
        connections = np.array(self.connections[:number], np.int64)
        del self.codes[:number]
        del self.connections[:number]
        self.first = complete
        return codes, connections


class Looks:
    """The looks of the judge at new counts, which come in order of sending.

    The judge says after how many more responses it wants to look again. It looks at once when a
    request was lost, or when a variant has answered that was to get no traffic (`expected` are the
    others). `look_at` makes a look of the new tallies, with how the run stands.
    """

    def __init__(
        self,
        kinds: Kinds,
        expected: frozenset[str],
        look_at: Callable[[Sequence[Tally]], Look] = Look,
    ) -> None:
        self._kinds = kinds
        self._expected = expected
        self._look_at = look_at
        self._judge: Callable[[Look], int] | None = None
        self._after = MANY  # responses until the next look
        self._new = np.zeros(len(kinds), np.int64)  # requests by code, since the last look
        self.at_once = MOST_AT_ONCE  # ended requests that may wait to be added up
        self.urgent: set[int] = set()  # codes of ends that the judge looks at at once

    def judge_by(self, judge: Callable[[Look], int]) -> None:
        """Let `judge` look at the counts of all gateways; it returns 0 to end the run."""
        self._judge = judge
        self._after = 1
        self.at_once = 1

    def learn(self, code: int) -> None:
        """Note whether a new kind of end is urgent."""
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
        """Let the judge look at the new counts, if it is time; return whether the run goes on."""
        new = int(self._new.sum())
        if self._judge is None or not (new >= self._after or self._is_urgent()):
            return True
        batch = self._kinds.tallies(self._new)
        self.forget()
        self._after = self._judge(self._look_at(batch))
        self.at_once = min(max(self._after, 1), MOST_AT_ONCE)
        return self._after > 0

    def _is_urgent(self) -> bool:
        return any(self._new[code] for code in self.urgent if code < len(self._new))

    @property
    def new(self) -> Codes:
        """The requests by code that the judge has not looked at."""
        return self._new

    def forget(self) -> None:
        """Forget the new counts, which another judge looks at."""
        self._new[:] = 0


class _Endings:
    """Requests that have ended and wait to be added up, in the order of their ends."""

    __slots__ = ("codes", "latencies", "sent_at", "sizes", "tickets")

    def __init__(self) -> None:
        self.codes = array("H")
        self.tickets = array("q")
        self.sent_at = array("d")
        self.latencies = array("d")
        self.sizes = array("Q")

    def take_all(self, ledger: Ledger, complete: int) -> Ended:
        """Return all of them, and forget them."""
        tickets = np.array(self.tickets)
        ended = Ended(
            codes=np.array(self.codes, np.int64),
            # A request that was sent before a reset counts as sent at the reset.
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

    At most `budget` requests are sent (None: no bound); those of the first `settle` seconds are not
    counted. `gateways` are the names of all gateways. `user_requests` are those of each user where
    draws are users, 0 where they are requests; a user's number takes its connection's place.
    `on_ended` is called with batches of requests that have ended; `on_complete` is called once,
    when no more are to be sent and the last has ended.
    """

    def __init__(
        self,
        split: Split | None = None,
        *,
        budget: int | None = None,
        settle: float = 0.0,
        gateways: Sequence[str] = ("",),
        user_requests: int = 0,
        on_complete: Callable[[], None] = lambda: None,
        on_ended: Callable[[Ended], None] = lambda _: None,
    ) -> None:
        self.gateways = tuple(gateways)
        self.kinds = Kinds(split or (), len(self.gateways))
        self.ledger = Ledger(budget)
        expected = split.positive if split else ()
        self.looks = Looks(self.kinds, frozenset(expected), self._look_at)
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
        self._users = UserBook(self.kinds, user_requests) if user_requests else None

    def _look_at(self, tallies: Sequence[Tally]) -> Look:
        sums = self.sums
        orders = list(map(sums.order, range(len(self.gateways))))
        users = sums.users.users if self._users is not None else None
        return Look(tallies, orders=orders, elapsed=sums.elapsed, users=users)

    def reset(self, now: float) -> None:
        """Forget the requests that have ended, and begin again; those under way will count."""
        self.flush()
        self.began = now
        self.sums = Accumulator(self.kinds, origin=0)

    def forget(self) -> None:
        """Forget all sums, and the counts that no judge here looks at."""
        self.sums = Accumulator(self.kinds, origin=0)
        self.looks.forget()

    def counts(self, sent_at: float) -> bool:
        """Return whether a request is counted that was sent `sent_at` seconds after the start."""
        return sent_at >= self._counts_from

    def code_of(self, kind: Kind) -> int:
        """Return the code that a request's end is counted by."""
        known = len(self.kinds)
        code = self.kinds.code_of(kind)
        if code == known:
            self.looks.learn(code)
        return code

    # --- called by clients, for each request ---

    def take(self, connection: int = 0) -> int:
        """Take a ticket to send one request, as `Ledger.take`."""
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
        """Count one request that has ended.

        It was sent `sent_at` seconds after the start, and ended `latency` seconds later. `size` is
        that of the answer's body, in bytes; `reason` says why it is lost, empty where it is not.
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
        """Leave out a request that was never sent, or whose answer will never be known."""
        self.ledger.end(ticket, Kinds.LEFT_OUT)
        self.ledger.left += not self.closed
        self.flush()

    def close(self) -> None:
        """Let no more requests be sent; those under way are still counted."""
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

    # --- sums ---

    def flush(self) -> None:
        """Add up and judge the requests that have ended; say when the last one has."""
        complete = self.ledger.complete
        if self._endings.codes:
            ended = self._endings.take_all(self.ledger, complete)
            self._add(ended)
            self.on_ended(ended)
        if complete > self.ledger.first:
            codes, connections = self.ledger.move_on(complete)
            self._add_in_order(codes, connections)
            counts = np.bincount(codes, minlength=len(self.kinds))
            counts[Kinds.LEFT_OUT] = 0
            self.looks.add(counts)
        self.judge()

    def _add_in_order(self, codes: Codes, connections: Codes) -> None:
        """Add requests in order of sending, or the users whose requests have ended by them."""
        if self._users is None:
            self.sums.add_in_order(codes, connections)
            return
        ended = self._users.add(codes, connections)
        self.sums.add_users(ended.kinds, ended.first_codes)

    def leave(self, user: int) -> None:
        """Note that a user will send no more requests."""
        if self._users is not None:
            self._users.leave(user)

    def _add(self, ended: Ended) -> None:
        sent = (ended.sent_at * MICROSECONDS).astype(np.int64)
        latencies = (ended.latencies * MICROSECONDS).astype(np.int64)
        self.sums.add(ended.codes, sent, latencies)

    def judge(self) -> None:
        """Let the judge look, if it is time; say when the last request has ended."""
        if not self.closed and not self.looks.look():
            self.close()
        if self.ledger.left <= 0 and self.ledger.under_way == 0 and not self.complete:
            self.complete = True
            self._on_complete()

    @property
    def elapsed(self) -> float:
        """The seconds from the start until the last request had ended."""
        return self.sums.elapsed

    @property
    def rate(self) -> float:
        """The requests a second, of those that have been added up."""
        if not self.elapsed:
            return 0.0
        return self.counted_tally.requests / self.elapsed

    @property
    def tally(self) -> Tally:
        """The counts of all requests that have ended."""
        self.flush()
        return self.counted_tally

    @property
    def counted_tally(self) -> Tally:
        """The counts of the requests that have been added up."""
        return self.kinds.tally(self.sums.totals)
