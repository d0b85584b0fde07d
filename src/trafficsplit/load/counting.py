"""The tally of a running test: what has been sent, what came back, when, and how fast.

A request costs a few appends to arrays; what they mean is worked out for many requests at once.
"""

from __future__ import annotations

import math
from array import array
from collections import Counter as Multiset
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analysis.bounds import MOST_STRANGERS, MOST_STRETCHES, lose
from analysis.latency import buckets_of
from analysis.order import Codes, Order, OrderRecorder
from analysis.run import Gateway, LatencyKey, Stretch
from analysis.sequential import MANY
from analysis.split import Split
from analysis.tally import Tally
from analysis.text import one_line

# The keys of what is lost, in one namespace with variants: no variant's name is a tuple.
ERRORS = ("errors",)
UNIDENTIFIED = ("unidentified",)
Outcome = str | tuple[str]

MOST_AT_ONCE = 1024  # requests that have ended and are not yet looked at
FIRST_WIDTH = 0.001  # seconds of a stretch; doubled whenever there are too many of them
NO_MORE = -1  # instead of a ticket


@dataclass(frozen=True)
class Kind:
    """A way in which a request can end: what it counts as, who answered, how, and where.

    `variant` is empty where nobody said; `status` is `2xx` … `5xx`, or `none` without an answer;
    `gateway` is the number of the one that was asked, `answer` the exact HTTP status, 0 for none.
    """

    outcome: Outcome
    variant: str = ""
    status: str = "2xx"
    gateway: int = 0
    answer: int = 200


# Codes of requests that have not ended, and of those that are left out.
UNDER_WAY, LEFT_OUT = 0, 1


@dataclass(frozen=True)
class Ended:
    """Requests that have ended, in the order of their ends: an array element each.

    `codes` are of `Counter.kinds`, `sent_at` seconds since the start, `latencies` seconds, `sizes`
    bytes of the bodies, `tickets` in order of sending; all before `complete` have ended by now.
    """

    codes: NDArray[np.int64]
    sent_at: NDArray[np.float64]
    latencies: NDArray[np.float64]
    sizes: NDArray[np.int64]
    tickets: NDArray[np.int64]
    connections: NDArray[np.int64]
    complete: int


class AtGateway:
    """What is counted of one gateway."""

    def __init__(self, variants: Iterable[str]) -> None:
        self.totals: Multiset[Outcome] = Multiset(dict.fromkeys(variants, 0))
        self.unjudged: Multiset[Outcome] = Multiset()
        self.stretches: dict[int, Multiset[Outcome]] = {}
        self.recorder = OrderRecorder()
        self.workers = Order()

    @property
    def order(self) -> Order:
        """What is kept of the order of sending."""
        return self.workers + self.recorder.order


class Counter:
    """Counts requests in constant memory, and shows them to the judge in order of sending.

    An answer is held back until all requests that were sent before it have ended: counted in order
    of completion, a slower variant would look rarer than it is (DESIGN.md 4, "order of counting").

    At most `budget` requests are sent (None: no bound); what is sent in the first `settle` seconds
    is not counted. `gateways` are the names of all that are asked. `on_ended` is shown what has
    ended, in batches. `on_complete` is called once, when no more are to be sent and the last has
    ended.
    """

    def __init__(
        self,
        split: Split | None = None,
        budget: int | None = None,
        settle: float = 0.0,
        on_complete: Callable[[], None] = lambda: None,
        on_ended: Callable[[Ended], None] = lambda _: None,
        gateways: Sequence[str] = ("",),
    ) -> None:
        self.gateways = tuple(gateways)
        self.variants = tuple(split or ())
        self._expected = frozenset(split.positive if split else ())
        self.budget = budget
        self.settle = settle
        self._counts_from = settle or -math.inf
        self.began = 0.0  # on the clock by which requests are sent
        self.closed = False
        self.complete = False
        self.on_ended = on_ended
        self._on_complete = on_complete
        self._judge: Callable[[Sequence[Tally]], int] = lambda _: MANY
        self._look_after = MANY  # so many ordinary responses
        self._at_once = MOST_AT_ONCE  # as many may have ended before we look
        self._left = MANY if budget is None else budget
        # How requests end; a code is an index.
        self.kinds: list[Kind] = []
        self._codes_of: dict[Kind, int] = {}
        self._lost: set[int] = set()  # codes, and those of variants that were to get nothing
        numbers = range(len(self.gateways))
        ordinary = [Kind(v, v, gateway=number) for number in numbers for v in self.variants]
        self._most_kinds = 2 + len(ordinary) + 6 * MOST_STRANGERS * len(self.gateways)
        for kind in (Kind(("under way",)), Kind(("left out",)), *ordinary):
            self.code_of(kind)
        # In order of sending, from the ticket `_first` on.
        self._first = 0
        self._codes = array("H")
        self._connections = array("I")
        # In order of ending, since the last look.
        self._ended_codes = array("H")
        self._ended_tickets = array("q")
        self._ended_sent_at = array("d")
        self._ended_latencies = array("d")
        self._ended_sizes = array("Q")
        self._under_way = 0
        self._forget()

    def _forget(self) -> None:
        """Start again at nothing, but for what is under way."""
        self.cached = 0
        self.elapsed = 0.0
        self.losses: Multiset[str] = Multiset()
        self.latency: dict[LatencyKey, Multiset[int]] = {}
        self._at = [AtGateway(self.variants) for _ in self.gateways]
        self._width = FIRST_WIDTH

    def reset(self, now: float) -> None:
        """Forget all that has ended, and begin again. What is under way will count."""
        self.flush()
        self.began = now
        self._forget()

    def counts(self, sent_at: float) -> bool:
        """Whether a request that was sent then is counted."""
        return sent_at >= self._counts_from

    def judge_by(self, judge: Callable[[Sequence[Tally]], int]) -> None:
        """Show `judge` the counts since its last look, in order of sending, again and again.

        It gets a tally for each gateway.

        It says how many more responses it can do without another look; 0 ends the run. Lost
        requests, and variants that were to get nothing, it is shown at once.
        """
        self._judge, self._look_after, self._at_once = judge, 1, 1

    def code_of(self, kind: Kind) -> int:
        """The code that a request's end is counted by.

        Beyond a number of strange names there is only one more, of nobody.
        """
        code = self._codes_of.get(kind)
        if code is None:
            if len(self.kinds) >= self._most_kinds:
                outcome = UNIDENTIFIED if isinstance(kind.outcome, str) else kind.outcome
                kind = Kind(outcome, gateway=kind.gateway)
            code = self._codes_of.setdefault(kind, len(self.kinds))
            if code == len(self.kinds):
                self.kinds.append(kind)
                if kind.outcome not in self._expected:
                    self._lost.add(code)
        return code

    def variant_or_stranger(self, variant: str) -> Outcome:
        """The outcome that a variant's name counts as: its own, unless there are too many names."""
        known = {kind.outcome for kind in self.kinds if isinstance(kind.outcome, str)}
        if variant in known or len(known) < len(self.variants) + MOST_STRANGERS:
            return variant
        return UNIDENTIFIED

    # --- what clients call, for each request ---

    def take(self, connection: int = 0) -> int:
        """Ask to send one request; a ticket, or NO_MORE.

        `connection` is a number above 0, a new one for each connection, or 0 for a request that
        has a connection of its own.
        """
        if self._left <= 0:
            return NO_MORE
        self._left -= 1
        self._codes.append(UNDER_WAY)
        self._connections.append(connection)
        self._under_way += 1
        return self._first + len(self._codes) - 1

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
        self._codes[ticket - self._first] = code
        self._under_way -= 1
        ended = self._ended_codes
        ended.append(code)
        self._ended_tickets.append(ticket)
        self._ended_sent_at.append(sent_at)
        self._ended_latencies.append(latency)
        self._ended_sizes.append(size)
        if reason:
            lose(self.losses, one_line(reason))
        last = self._under_way == 0 and self._left <= 0
        if last or len(ended) >= self._at_once or code in self._lost:
            self.flush()

    def give_back(self, ticket: int) -> None:
        """A request was never sent, or its answer will never be known."""
        self._codes[ticket - self._first] = LEFT_OUT
        self._under_way -= 1
        self._left += not self.closed
        self.flush()

    def close(self) -> None:
        """Send no more; what is under way is still counted."""
        self.closed, self._left = True, 0

    @property
    def under_way(self) -> int:
        """Requests that have been sent and have not ended."""
        return self._under_way

    @property
    def sent(self) -> int:
        """Requests that have been sent."""
        ended = sum(at.totals.total() for at in self._at)
        return ended + len(self._ended_codes) + self._under_way

    # --- what they mean ---

    def flush(self) -> None:
        """Count and judge what has ended; tell when all is done."""
        complete = self._complete()
        if self._ended_codes:
            self._count_ended(complete)
        self._take_in_order(complete - self._first)
        self._look()
        self._finish()

    def _count_ended(self, complete: int) -> None:
        tickets = np.array(self._ended_tickets)
        ended = Ended(
            np.array(self._ended_codes, np.int64),
            # What was sent before a reset belongs to its start.
            np.maximum(np.array(self._ended_sent_at), 0.0),
            np.array(self._ended_latencies),
            np.array(self._ended_sizes, np.int64),
            tickets,
            np.asarray(self._connections)[tickets - self._first].astype(np.int64),
            complete,
        )
        del self._ended_codes[:], self._ended_tickets[:], self._ended_sent_at[:]
        del self._ended_latencies[:], self._ended_sizes[:]
        self.elapsed = max(self.elapsed, float((ended.sent_at + ended.latencies).max()))
        for code, count in _counted(ended.codes):
            kind = self.kinds[code]
            self._at[kind.gateway].totals[kind.outcome] += count
        self._widen(float(ended.sent_at.max()))
        places = (ended.sent_at / self._width).astype(np.int64)
        for (code, place), count in _counted_pairs(ended.codes, places):
            kind = self.kinds[code]
            self._stretch(kind.gateway, place)[kind.outcome] += count
        microseconds = (ended.latencies * 1e6).astype(np.int64)
        for (code, bucket), count in _counted_pairs(ended.codes, buckets_of(microseconds)):
            kind = self.kinds[code]
            key = LatencyKey(kind.variant, kind.status)
            self.latency.setdefault(key, Multiset())[bucket] += count
        self.on_ended(ended)

    def _complete(self) -> int:
        """The first ticket that is still under way."""
        if not self._codes or self._codes[0] == UNDER_WAY:
            return self._first
        still = np.flatnonzero(np.asarray(self._codes) == UNDER_WAY)
        return self._first + (int(still[0]) if len(still) else len(self._codes))

    def _take_in_order(self, complete: int) -> None:
        """Move on, beyond so many requests that have all ended."""
        if not complete:
            return
        codes = np.array(self._codes[:complete], np.int64)
        connections = np.array(self._connections[:complete], np.int64)
        del self._codes[:complete], self._connections[:complete]
        self._first += complete
        for code, count in _counted(codes):
            if code != LEFT_OUT:
                kind = self.kinds[code]
                self._at[kind.gateway].unjudged[kind.outcome] += count
        for gateway, at in enumerate(self._at):
            named = [
                code
                for code, kind in enumerate(self.kinds)
                if isinstance(kind.outcome, str) and kind.gateway == gateway
            ]
            place = np.full(len(self.kinds), -1)
            place[named] = np.arange(len(named))
            its, on = place[codes], connections
            if (its < 0).any():
                its, on = its[its >= 0], on[its >= 0]
            at.recorder.extend([self.kinds[k].variant for k in named], its, on)

    def _look(self) -> None:
        """Show the judge what is new, if there is something to see."""
        new = sum(at.unjudged.total() for at in self._at)
        due = new >= self._look_after or any(
            outcome not in self._expected for at in self._at for outcome in at.unjudged
        )
        if due and not self.closed:
            batch = [_tally(at.unjudged) for at in self._at]
            for at in self._at:
                at.unjudged = Multiset()
            self._look_after = self._judge(batch)
            self._at_once = min(self._look_after, MOST_AT_ONCE)
            if not self._look_after:
                self.close()

    def _finish(self) -> None:
        if self._left <= 0 and self._under_way == 0 and not self.complete:
            self.complete = True
            self._on_complete()

    def _widen(self, now: float) -> None:
        """Make the stretches as wide as they must be to reach until now."""
        while int(now / self._width) >= MOST_STRETCHES:
            for at in self._at:
                merged: dict[int, Multiset[Outcome]] = {}
                for old, counts in at.stretches.items():
                    merged.setdefault(old // 2, Multiset()).update(counts)
                at.stretches = merged
            self._width *= 2

    def _stretch(self, gateway: int, index: int) -> Multiset[Outcome]:
        return self._at[gateway].stretches.setdefault(index, Multiset())

    @property
    def pairs_within_connections(self) -> int:
        """Pairs of responses in a row on one connection, so far."""
        return sum(
            at.workers.within_connections.pairs + at.recorder.pairs_within_connections
            for at in self._at
        )

    @property
    def order(self) -> Order:
        """What is kept of the order of sending."""
        return sum((at.order for at in self._at), Order())

    @property
    def counted(self) -> Tally:
        """The counts that have been looked at."""
        return sum((_tally(at.totals) for at in self._at), Tally())

    @property
    def tally(self) -> Tally:
        """The counts so far."""
        self.flush()
        return self.counted

    @property
    def stretches(self) -> list[Stretch]:
        """The counts by time, the empty stretches in between included."""
        self.flush()
        return self._stretches_of(self._at)

    def _stretches_of(self, gateways: Sequence[AtGateway]) -> list[Stretch]:
        width = self._width
        last = max((index for at in self._at for index in at.stretches), default=-1)
        return [
            Stretch(
                index * width,
                min((index + 1) * width, self.elapsed),
                sum((_tally(at.stretches.get(index, Multiset())) for at in gateways), Tally()),
            )
            for index in range(last + 1)
        ]

    @property
    def by_gateway(self) -> list[Gateway]:
        """What each of several gateways did, none where there is one."""
        if len(self._at) == 1:
            return []
        self.flush()
        return [
            Gateway(name, self._stretches_of([at]), at.order)
            for name, at in zip(self.gateways, self._at, strict=True)
        ]

    # --- distributed: a worker's counts travel to the master with its statistics ---

    def drain(self) -> dict[str, Any]:
        """All counts since the last call, as plain data, and forget them."""
        self.flush()
        message = {
            "gateways": [
                {
                    "totals": _plain(at.totals),
                    "judged": _plain(at.unjudged),
                    "order": at.recorder.order.as_plain(),
                }
                for at in self._at
            ],
            "cached": self.cached,
            "losses": dict(self.losses),
            "latency": [
                [key.variant, key.status, dict(buckets.items())]
                for key, buckets in self.latency.items()
            ],
            "complete": self.complete,
        }
        self._forget()
        return message

    def absorb(self, message: dict[str, Any], now: float) -> None:
        """Add what a worker has drained; it all goes into the present stretch of time."""
        # Workers go on reporting when all is done.
        if any(told["totals"] for told in message["gateways"]):
            self.elapsed = max(self.elapsed, now)
        self._widen(min(now, self.elapsed))
        index = int(min(now, self.elapsed) / self._width)
        # All have the same gateways: they come from the same options.
        for number, (at, told) in enumerate(zip(self._at, message["gateways"], strict=True)):
            stretch = self._stretch(number, index)
            for name, target in (("totals", at.totals), ("judged", at.unjudged)):
                for key, count in told[name]:
                    outcome = key if isinstance(key, str) else (key[0],)
                    if isinstance(outcome, str):
                        outcome = self.variant_or_stranger(outcome)
                        self.code_of(Kind(outcome, outcome if isinstance(outcome, str) else ""))
                    target[outcome] += count
                    if name == "totals":
                        stretch[outcome] += count
            at.workers += Order.from_plain(told["order"])
        self.cached += message["cached"]
        self.losses.update(message["losses"])
        for variant, status, buckets in message["latency"]:
            known = self.latency.setdefault(LatencyKey(variant, status), Multiset())
            known.update({int(bucket): count for bucket, count in buckets.items()})
        self._look()
        self._finish()


def _counted(codes: Codes) -> list[tuple[int, int]]:
    """The codes that occur, each with its count."""
    counts = np.bincount(codes)
    return [(int(code), int(counts[code])) for code in np.flatnonzero(counts)]


def _counted_pairs(codes: Codes, numbers: Codes) -> list[tuple[tuple[int, int], int]]:
    """The pairs of code and number (below 2^40) that occur, each with its count."""
    pairs, counts = np.unique(codes << 40 | numbers, return_counts=True)
    return [
        ((pair >> 40, pair & (1 << 40) - 1), count)
        for pair, count in zip(pairs.tolist(), counts.tolist(), strict=True)
    ]


def _plain(counts: Multiset[Outcome]) -> list[list[Any]]:
    return [[k if isinstance(k, str) else list(k), count] for k, count in counts.items() if count]


def _tally(counts: Multiset[Outcome]) -> Tally:
    variants = {key: count for key, count in counts.items() if isinstance(key, str)}
    return Tally(variants, errors=counts[ERRORS], unidentified=counts[UNIDENTIFIED])
