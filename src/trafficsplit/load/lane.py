"""What all connections to one gateway share."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trafficsplit.load.endpoint import Endpoint
from trafficsplit.load.outcomes import row_of

if TYPE_CHECKING:
    from trafficsplit.load.engine import Engine


class Lane:
    """One gateway, with everything that each request to it needs in attributes of its own.

    `good_address` is the index of an address that has taken a connection.
    """

    __slots__ = (
        "_engine",
        "codes",
        "count",
        "counter",
        "endpoint",
        "gateway",
        "good_address",
        "heads",
        "outcomes",
        "read",
        "take",
    )

    def __init__(self, engine: Engine, gateway: int, endpoint: Endpoint) -> None:
        self._engine = engine
        self.gateway = gateway
        self.endpoint = endpoint
        self.good_address = 0
        self.outcomes = engine.outcomes
        self.read = engine.outcomes.read
        self.codes = engine.outcomes.codes[gateway]
        self.counter = engine.counter
        self.count = engine.counter.count
        self.take = engine.counter.ledger.take
        self.heads = engine.heads.known

    def count_unusual(
        self, ticket: int, code: int, since: float, latency: float, size: int = 0, reason: str = ""
    ) -> None:
        """Count a request that may be lost, and report a lost one to `on_failure` of the engine.

        It was sent at `since`, by the monotonic clock; the rest is as for `Counter.count`.
        """
        counter = self.counter
        sent_at = since - counter.began
        if reason and counter.counts(sent_at):
            self._engine.on_failure(reason, latency, size, row_of(counter.kinds[code]))
        counter.count(ticket, code, sent_at, latency, size, reason)
