"""Answers that do not come: when a request is late, and what is lost at each gateway in time.

All of it in constant memory, beside the counts: a request that hangs also keeps its connection from
sending others, which no count of what was sent shows (DESIGN.md 4, "Losses").
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trafficsplit.analysis.kinds import Codes, Kinds, Outcome
from trafficsplit.analysis.losses import MOST_LATEST, Hanging

Flags = NDArray[np.bool_]
Floats = NDArray[np.float64]
LEAST_LATE = 0.25  # seconds after which a request may be late at the earliest
TIMES_USUAL = 10.0  # of the 99th percentile of latency, after which it is late


@dataclass(frozen=True)
class UnderWay:
    """A request that waits for its answer: its ticket, its gateway's number, and when it was sent.

    `since` is in seconds since the run's start; `left` are the further requests that its connection
    would send before it makes room for a new one.
    """

    ticket: int
    gateway: int
    since: float
    left: int = 0


@dataclass(frozen=True)
class Standing:
    """How the requests of one process stand that are in no tally, or that were lost.

    `waiting` were sent and are in no tally; `late` and `hanging` are by gateway, as in a `Look`.
    """

    waiting: int
    late: Sequence[int]
    hanging: Sequence[Hanging]

    def __add__(self, other: Standing) -> Standing:
        return Standing(
            self.waiting + other.waiting,
            [one + two for one, two in zip(self.late, other.late, strict=True)],
            [one + two for one, two in zip(self.hanging, other.hanging, strict=True)],
        )

    def as_plain(self) -> dict[str, Any]:
        """Return it as plain data, which travels to a master."""
        hanging = [one.as_plain() for one in self.hanging]
        return {"waiting": self.waiting, "late": list(self.late), "hanging": hanging}

    @classmethod
    def from_plain(cls, data: Mapping[str, Any], gateways: int) -> Standing:
        """Return what `as_plain` wrote. Raises KeyError, TypeError or ValueError for other data."""
        hanging = list(map(Hanging.from_plain, data["hanging"]))
        late = list(map(int, data["late"]))
        if len(hanging) != gateways or len(late) != gateways:
            raise ValueError(f"not as many gateways: {len(hanging)}")
        return cls(int(data["waiting"]), late, hanging)


def limit_of(usual: float) -> float:
    """Return the seconds after which a request is late, from the 99th percentile of latency."""
    return max(TIMES_USUAL * usual, LEAST_LATE)


class KindFlags:
    """Arrays by code of what kinds of end are, which grow with the kinds."""

    def __init__(self, kinds: Kinds) -> None:
        self._kinds = kinds
        self._lost: Flags = np.zeros(0, np.bool_)
        self._gateways: Codes = np.zeros(0, np.int64)

    @property
    def lost(self) -> Flags:
        """Whether a request of each code says nothing about the split."""
        self._grow()
        return self._lost

    @property
    def gateways(self) -> Codes:
        """The number of each code's gateway."""
        self._grow()
        return self._gateways

    def _grow(self) -> None:
        if len(self._lost) == len(self._kinds):
            return
        lost = [kind.outcome in (Outcome.ERROR, Outcome.UNIDENTIFIED) for kind in self._kinds]
        self._lost = np.array(lost, np.bool_)
        self._gateways = np.array([kind.gateway for kind in self._kinds], np.int64)


class Latest:
    """Whether each of the last few was lost, in the order in which they are added."""

    __slots__ = ("_bits", "_number")

    def __init__(self) -> None:
        self._bits = 0  # the latest is the lowest
        self._number = 0

    def add(self, lost: bool) -> None:
        """Add one."""
        self._bits = (self._bits << 1 | lost) & (1 << MOST_LATEST) - 1
        self._number = min(self._number + 1, MOST_LATEST)

    def extend(self, lost: Flags) -> None:
        """Add several."""
        number = len(lost)
        if not lost.any():
            self._bits = self._bits << min(number, MOST_LATEST) & (1 << MOST_LATEST) - 1
            self._number = min(self._number + number, MOST_LATEST)
            return
        for one in lost[-MOST_LATEST:].tolist():
            self.add(one)

    @property
    def flags(self) -> tuple[bool, ...]:
        """All that are kept, the oldest first."""
        return tuple(bool(self._bits >> index & 1) for index in reversed(range(self._number)))


class _OneGateway:
    """What was lost at one gateway."""

    def __init__(self) -> None:
        self.requests = 0
        self.lost = 0
        self.connections = 0
        self.hung = 0
        self.kept_back = 0.0
        self.given_up = 0  # late requests whose answers will never be known
        self.users = 0
        self.stuck = 0  # of these
        self.latest = Latest()
        self.answered = -1.0  # seconds since the start
        self.unanswered = 0  # requests that were lost since then

    def end(self, lost: Flags, ends: Floats) -> None:
        """Add requests in the order of their ends: whether each is lost, and when it ended."""
        self.requests += len(lost)
        good = np.flatnonzero(~lost)
        if len(good) == len(lost):
            self.unanswered = 0
            self.answered = max(self.answered, float(ends.max()))
            return
        self.lost += len(lost) - len(good)
        if len(good):
            self.unanswered = len(lost) - 1 - int(good[-1])
            self.answered = max(self.answered, float(ends[good].max()))
        else:
            self.unanswered += len(lost)


class Hangs:
    """What is late, and what was lost in time, at each gateway.

    Times are seconds since the run's start.
    """

    def __init__(self, kinds: Kinds, flags: KindFlags) -> None:
        self._kinds = kinds
        self._flags = flags
        self._gateways = [_OneGateway() for _ in range(kinds.gateways)]
        self._late: dict[int, UnderWay] = {}  # by ticket
        self._now = 0.0  # of the last search for late ones
        self._last_end = 0.0
        self._asked_until = math.inf  # no more requests are sent from then on
        self._limit = LEAST_LATE
        self._answered = 0
        self._sending = 0.0  # seconds of all users in which they did not wait in vain

    def begin_anew(self) -> Hangs:
        """Return one without anything that was lost so far, and with the same users."""
        anew = Hangs(self._kinds, self._flags)
        for one, before in zip(anew._gateways, self._gateways, strict=True):
            one.users = before.users
            one.stuck = before.stuck
        return anew

    # --- while the run goes on ---

    def end(self, codes: Codes, ends: Floats) -> None:
        """Add requests in the order of their ends: their codes, and when they ended."""
        lost = self._flags.lost[codes]
        self._answered += len(lost) - int(np.count_nonzero(lost))
        self._last_end = max(self._last_end, float(ends.max()))
        if len(self._gateways) == 1:
            self._gateways[0].end(lost, ends)
            return
        gateways = self._flags.gateways[codes]
        for number, gateway in enumerate(self._gateways):
            there = gateways == number
            if there.any():
                gateway.end(lost[there], ends[there])

    def add_in_order(self, codes: Codes) -> None:
        """Add requests in order of sending; those that are left out do not count."""
        codes = codes[codes != Kinds.LEFT_OUT]
        lost = self._flags.lost[codes]
        gateways = self._flags.gateways[codes]
        for number, gateway in enumerate(self._gateways):
            gateway.latest.extend(lost[gateways == number])

    def close(self) -> None:
        """Note that no more requests are sent: a gateway that is not asked is not silent."""
        self._asked_until = max(self._now, self._last_end)

    def open_connection(self, gateway: int) -> None:
        """Note that a connection has been opened."""
        self._gateways[gateway].connections += 1

    def hang(self, gateway: int, left: int, waited: float) -> None:
        """Note that a connection has lost its answer, after it had waited for so many seconds.

        It would have sent `left` further requests before it had made room for a new one.
        """
        one = self._gateways[gateway]
        one.hung += 1
        one.kept_back += self._kept_back(left, waited)

    def add_users(self, gateway: int, number: int) -> None:
        """Note that there are more users, or fewer."""
        self._gateways[gateway].users += number

    def stick(self, gateway: int, number: int) -> None:
        """Note that more users have lost the answer to their last request, or fewer."""
        self._gateways[gateway].stuck += number

    def _kept_back(self, left: int, waited: float) -> float:
        """Return the requests that a connection would have sent while it waited, as others did."""
        if waited < self._limit:
            return 0.0
        if self._sending <= 0:  # they have all waited in vain
            return float(left)
        return min(float(left), waited * self._answered / self._sending)

    def watch(
        self, under_way: Sequence[UnderWay], users: int, now: float, usual: Callable[[], float]
    ) -> list[UnderWay]:
        """Return the requests that have become late.

        All of those under way are given, or all that are older than `LEAST_LATE`. `users` may have
        one under way each; `usual` returns the 99th percentile of latency, in seconds.
        """
        passed = max(now - self._now, 0.0)
        self._now = now
        self._sending += max(users - len(self._late), 0) * passed
        if under_way:
            self._limit = limit_of(usual())
        new = []
        for one in under_way:
            if one.ticket not in self._late and now - one.since > self._limit:
                self._late[one.ticket] = one
                new.append(one)
        return new

    def answer(self, tickets: Codes) -> None:
        """Note that requests have ended: those that were late are so no more."""
        if self._late:
            for ticket in tickets.tolist():
                self._late.pop(ticket, None)

    def give_up(self, ticket: int, gateway: int) -> None:
        """Note that what has become of a request will never be known."""
        self._late.pop(ticket, None)
        self._gateways[gateway].given_up += 1

    # --- how it stands ---

    @property
    def late(self) -> list[int]:
        """Requests of each gateway that are late now, with all that was kept back there."""
        late = [gateway.given_up + gateway.kept_back for gateway in self._gateways]
        for one in self._late.values():
            late[one.gateway] += 1 + self._kept_back(one.left, self._now - one.since)
        return [round(number) for number in late]

    def each(self, *, ended: bool) -> Sequence[Hanging]:
        """Return what was lost at each gateway so far.

        When the run has `ended`, late requests count as lost; before, their answers may yet come.
        """
        late: list[list[UnderWay]] = [[] for _ in self._gateways]
        if ended:
            for one in self._late.values():
                late[one.gateway].append(one)
        return list(map(self._hanging, self._gateways, late))

    def _hanging(self, gateway: _OneGateway, late: Sequence[UnderWay]) -> Hanging:
        kept_back = gateway.kept_back
        for one in late:
            kept_back += self._kept_back(one.left, self._now - one.since)
        silent = self._silent(gateway, late)
        return Hanging(
            requests=gateway.requests + len(late),
            lost=gateway.lost + len(late),
            connections=gateway.connections,
            hung=gateway.hung + len(late),
            kept_back=round(kept_back),
            users=gateway.users,
            stuck=min(gateway.stuck + len(late), gateway.users),
            latest=gateway.latest.flags,
            answered=gateway.answered,
            silent=silent,
            unanswered=gateway.unanswered + len(late) if silent else 0,
        )

    def _silent(self, gateway: _OneGateway, late: Sequence[UnderWay]) -> float:
        """Return the seconds to the end in which a gateway has answered nothing, 0 for few."""
        if not late and not gateway.unanswered:
            return 0.0
        end = self._last_end
        if late:
            end = max(end, self._now)
        silent = min(end, self._asked_until) - max(gateway.answered, 0.0)
        return silent if silent > self._limit else 0.0
