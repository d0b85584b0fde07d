"""The counts of a running test: requests sent, how each ended, when, and how fast.

A request costs a few appends to arrays; sums are made of many requests at once.

    ledger   the requests in order of sending, and how they have ended
    looks    when the judge is shown new counts
    hangs    what is late, and what was lost in time
    Counter  all of these, and the sums of all requests
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from trafficsplit.analysis.accumulator import Accumulator
from trafficsplit.analysis.kinds import Codes, Kind, Kinds, Outcome
from trafficsplit.analysis.latency import quantile
from trafficsplit.analysis.look import Look
from trafficsplit.analysis.order import Order
from trafficsplit.analysis.run import Counted
from trafficsplit.analysis.split import Split
from trafficsplit.analysis.tally import Tally
from trafficsplit.analysis.user_book import UserBook
from trafficsplit.load.hangs import Hangs, KindFlags, Standing, UnderWay
from trafficsplit.load.ledger import Ledger
from trafficsplit.load.looks import Looks
from trafficsplit.text import one_line

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


class _Endings:
    """Requests that have ended and wait to be added up, in the order of their ends."""

    __slots__ = ("codes", "latencies", "sent_at", "sizes", "tickets")

    def __init__(self) -> None:
        self.codes = array("H")
        self.tickets = array("q")
        self.sent_at = array("d")
        self.latencies = array("d")
        self.sizes = array("Q")

    def take_all(self, ledger: Ledger) -> Ended:
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
            complete=ledger.all_ended,
        )
        for column in (self.codes, self.tickets, self.sent_at, self.latencies, self.sizes):
            del column[:]
        return ended


class Counter:
    """Counts requests in constant memory, and shows them to the judge in order of sending.

    An answer is held back until all requests that were sent before it have ended: counted in order
    of completion, a slower variant would look rarer than it is (DESIGN.md 4, "Order of counting").
    A request that is late, which takes far longer than is usual, is passed over: the judge is told
    how many are late, and is shown how each has ended when it has. Lost requests are shown at once.

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
        self._flags = KindFlags(self.kinds)
        self.hangs = Hangs(self.kinds, self._flags)
        self.workers: dict[str, Standing] = {}  # of a master, by worker
        self._added = 0  # ended requests that were added up since the start
        self._users = UserBook(self.kinds, user_requests) if user_requests else None

    def _look_at(self, tallies: Sequence[Tally]) -> Look:
        sums = self.sums
        standing = self.standing
        return Look(
            tallies,
            late=standing.late,
            orders=self._orders,
            elapsed=sums.elapsed,
            users=sums.users.users if self._users is not None else None,
            waiting=standing.waiting,
            hanging=standing.hanging,
            cached=sums.cached,
        )

    def _orders(self) -> Sequence[Order]:
        return list(map(self.sums.order, range(len(self.gateways))))

    @property
    def standing(self) -> Standing:
        """How the requests stand that are in no tally yet, or that were lost."""
        if self.workers:
            first, *others = self.workers.values()
            return sum(others, first)
        sent = self._added + len(self._endings.codes) + self.ledger.under_way
        return Standing(
            waiting=max(sent - int(self.looks.all.sum()), 0),
            late=self.hangs.late,
            hanging=self.hangs.each(ended=self.closed),
        )

    @property
    def counted(self) -> Counted:
        """Everything that was counted, with what of it may be judged."""
        self.flush()
        return replace(
            self.sums.counted(self.gateways),
            hanging=self.standing.hanging,
            judged=self.kinds.tallies(self.looks.all),
        )

    def reset(self, now: float) -> None:
        """Forget the requests that have ended, and begin again; those under way will count."""
        self.flush()
        self.began = now
        self.sums = Accumulator(self.kinds, origin=0)
        self.hangs = self.hangs.begin_anew()
        self.workers = {}
        self._added = 0
        self.ledger.forget_ended()
        self.looks.begin_anew()

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
        if ledger.passed:
            ledger.end(ticket, code)
        else:
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
        """Leave out a request that was never sent, or that does not count."""
        self.ledger.end(ticket, Kinds.LEFT_OUT)
        self.ledger.left += not self.closed
        self.flush()

    def give_up(self, ticket: int, gateway: int = 0) -> None:
        """Leave out a request whose answer will never be known: as a rule a slow one.

        While the run goes on, it may have been any variant's. Where the run has been closed,
        nothing that was sent after it is judged.
        """
        if not self.closed:
            self.ledger.pass_over(ticket)
            self.ledger.left += 1
            self.hangs.give_up(ticket, gateway)
        self.ledger.give_up(ticket)
        self.flush()

    def watch(self, under_way: Sequence[UnderWay], users: int, now: float) -> None:
        """Pass over the requests that have become late; to be called a few times a second.

        `under_way` are all that wait for an answer since `LEAST_LATE` or longer; each of `users`
        may have one. `now` is on the clock by which requests are sent.
        """
        self.flush()
        counted = [one for one in under_way if self.counts(one.since)]
        late = self.hangs.watch(counted, users, now - self.began, self._usual_latency)
        # What was sent before it counts is lost for nothing, and holds nothing up.
        late += [one for one in under_way if not self.counts(one.since)]
        if late and self._users is None:  # a user is judged when all of its requests have ended
            for one in late:
                self.ledger.pass_over(one.ticket)
            self.flush()

    def _usual_latency(self) -> float:
        """Return the 99th percentile of latency, in seconds, of the slowest kind of good answer."""
        usual = 0.0
        for code, kind in enumerate(self.kinds):
            if kind.outcome is Outcome.IDENTIFIED:
                milliseconds = quantile(self.sums.latencies.buckets(code), 0.99)
                usual = max(usual, (milliseconds or 0.0) / 1000)
        return usual

    def close(self) -> None:
        """Let no more requests be sent; those under way are still counted."""
        if not self.closed:
            self.hangs.close()
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
        if self._endings.codes:
            ended = self._endings.take_all(self.ledger)
            self._add(ended)
            self._show_at_once(ended)
            self.on_ended(ended)
        complete = self.ledger.complete
        if complete > self.ledger.first:
            codes, connections = self.ledger.move_on(complete)
            self._add_in_order(codes, connections)
            self.hangs.add_in_order(codes)
            counts = np.bincount(codes, minlength=len(self.kinds))
            counts[Kinds.LEFT_OUT] = 0
            counts[list(self.looks.urgent)] = 0  # these were shown before
            self.looks.add(counts)
        self.judge()

    def _show_at_once(self, ended: Ended) -> None:
        """Show the ends that are urgent, and those that others did not wait for."""
        passed = ended.tickets < self.ledger.first
        shown = passed | self.looks.urgent_among(ended.codes)
        if shown.any():
            self.looks.add(np.bincount(ended.codes[shown], minlength=len(self.kinds)))
            self.hangs.add_in_order(ended.codes[passed])

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
        self._added += len(ended.codes)
        self.hangs.answer(ended.tickets)
        self.hangs.end(ended.codes, ended.sent_at + ended.latencies)

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
