"""Requests that are counted without any being sent, and a judge that looks at them."""

from __future__ import annotations

import itertools

from trafficsplit.analysis.kinds import Kind, Outcome
from trafficsplit.analysis.look import Look
from trafficsplit.analysis.tally import Tally
from trafficsplit.load.counting import Counter
from trafficsplit.load.ledger import NO_MORE

GREEN = Kind(Outcome.IDENTIFIED, "green")
BLUE = Kind(Outcome.IDENTIFIED, "blue")
ERROR = Kind(Outcome.ERROR, "", "5xx")
UNIDENTIFIED = Kind(Outcome.UNIDENTIFIED)


def taken(counter: Counter, connection: int = 0) -> int:
    """Return the ticket of a request that may be sent."""
    ticket = counter.take(connection)
    assert ticket != NO_MORE
    return ticket


def count(
    counter: Counter,
    ticket: int,
    kind: Kind | str,
    sent_at: float = 0.0,
    *,
    latency: float = 0.001,
    reason: str = "",
) -> None:
    """Count a request that has ended so, or with an ordinary answer of a variant."""
    if isinstance(kind, str):
        kind = Kind(Outcome.IDENTIFIED, kind)
    counter.count(ticket, counter.code_of(kind), sent_at, latency, reason=reason)


class Judge:
    """Keeps what it is shown, and does without a look for as long as it says."""

    def __init__(self, after: int = 1) -> None:
        self.after = after
        self.shown: list[list[Tally]] = []
        self.looks: list[Look] = []

    def __call__(self, look: Look) -> int:
        self.shown.append(list(look.tallies))
        self.looks.append(look)
        return self.after

    @property
    def total(self) -> Tally:
        """All that it has been shown."""
        return sum(itertools.chain.from_iterable(self.shown), Tally())
