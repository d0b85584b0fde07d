"""What the judge of a run is shown: what is new since its last look, and how the run stands."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from trafficsplit.analysis.losses import Hanging
from trafficsplit.analysis.order import Order
from trafficsplit.analysis.tally import Tally
from trafficsplit.analysis.visits import Users


@dataclass(frozen=True)
class Look:
    """One look at a run.

    `tallies` are the counts since the last look, in order of sending, one for each gateway. The
    rest is how the run stands now: `late` are the requests of each gateway that were sent before
    the last one of the tallies and are under way for longer than is usual, which may be any
    variant's (empty: none). `orders` returns what is kept of the order of all responses so far, one
    for each gateway (empty: not known). `elapsed` are the seconds since the run's start. `users`
    are those so far whose requests have ended, None where draws are not users.

    `late` includes what connections without an answer kept from being sent. Losses are shown as
    they come, before their turn: `waiting` are the requests that were sent and are in no tally
    yet, so that a lost one is not compared with too few. `hanging` is what was lost in time at each
    gateway (empty: not known). `cached` are the responses so far that came out of a cache.
    """

    tallies: Sequence[Tally]
    late: Sequence[int] = ()
    orders: Callable[[], Sequence[Order]] = tuple
    elapsed: float = 0.0
    users: Users | None = None
    waiting: int = 0
    hanging: Sequence[Hanging] = ()
    cached: int = 0
