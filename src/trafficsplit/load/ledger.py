"""The requests in order of sending, and how they have ended."""

from __future__ import annotations

from array import array

import numpy as np

from trafficsplit.analysis.kinds import Codes, Kinds
from trafficsplit.analysis.sequential import MANY

NO_MORE = -1  # instead of a ticket


class Ledger:
    """The requests in order of sending, at most `budget` of them (None: no bound).

    A request's ticket is its number in that order. All requests before the ticket `first` have
    ended, but for those that are passed over; from it on, `codes` and `connections` are kept. A
    request that is passed over is left out of the order, so that those after it need not wait for
    it; it may end later.
    """

    __slots__ = (
        "_passed_ends",
        "budget",
        "codes",
        "connections",
        "first",
        "left",
        "passed",
        "under_way",
    )

    def __init__(self, budget: int | None) -> None:
        self.budget = budget
        self.left = MANY
        if budget is not None:
            self.left = budget
        self.under_way = 0
        self.first = 0
        self.codes = array("H")
        self.connections = array("I")
        self.passed: dict[int, int] = {}  # connections of those under way, by ticket
        self._passed_ends: dict[int, int] = {}  # of those that have ended behind `first` since

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
        if self.passed and ticket in self.passed:
            self._end_passed(ticket, code)
        else:
            self.codes[ticket - self.first] = code
        self.under_way -= 1

    def change_connection(self, ticket: int, connection: int) -> None:
        """Note that a request under way has been sent again over another connection."""
        if ticket in self.passed:
            self.passed[ticket] = connection
        if ticket >= self.first:
            self.connections[ticket - self.first] = connection

    def _end_passed(self, ticket: int, code: int) -> None:
        """Note how a request that was passed over has ended, in its place where that is kept."""
        connection = self.passed.pop(ticket)
        if ticket >= self.first:
            self.codes[ticket - self.first] = code
        elif code != Kinds.LEFT_OUT:
            self._passed_ends[ticket] = connection

    def pass_over(self, ticket: int) -> None:
        """Leave a request that is under way out of the order."""
        index = ticket - self.first
        if index >= 0 and self.codes[index] == Kinds.UNDER_WAY:
            self.passed[ticket] = self.connections[index]
            self.codes[index] = Kinds.LEFT_OUT

    def give_up(self, ticket: int) -> None:
        """Note that what has become of a request will never be known; none after it is complete."""
        self.passed.pop(ticket, None)
        self.under_way -= 1

    def forget_ended(self) -> None:
        """Leave out all requests that have ended."""
        codes = np.asarray(self.codes)
        codes[codes != Kinds.UNDER_WAY] = Kinds.LEFT_OUT

    @property
    def complete(self) -> int:
        """The first ticket that is still under way, and is not passed over."""
        if not self.codes or self.codes[0] == Kinds.UNDER_WAY:
            return self.first
        under_way = np.flatnonzero(np.asarray(self.codes) == Kinds.UNDER_WAY)
        if not len(under_way):
            return self.first + len(self.codes)
        return self.first + int(under_way[0])

    @property
    def all_ended(self) -> int:
        """The first ticket that is still under way, passed over or not."""
        return min([*self.passed, self.complete])

    def connections_of(self, tickets: Codes) -> Codes:
        """Return the numbers of the connections of requests that have ended since the last call."""
        indices = tickets - self.first
        kept = indices >= 0
        if kept.all():
            return np.asarray(self.connections)[indices].astype(np.int64)
        connections = np.zeros(len(tickets), np.int64)
        connections[kept] = np.asarray(self.connections)[indices[kept]]
        for index in np.flatnonzero(~kept).tolist():
            connections[index] = self._passed_ends.pop(int(tickets[index]), 0)
        return connections

    def move_on(self, complete: int) -> tuple[Codes, Codes]:
        """Return codes and connections of all requests before a ticket, and forget them."""
        number = complete - self.first
        codes = np.array(self.codes[:number], np.int64)
        connections = np.array(self.connections[:number], np.int64)
        del self.codes[:number]
        del self.connections[:number]
        self.first = complete
        return codes, connections
