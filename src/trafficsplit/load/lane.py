"""What all connections to one gateway share."""

from __future__ import annotations

from random import random
from typing import TYPE_CHECKING

from trafficsplit.load.endpoint import Endpoint
from trafficsplit.load.hangs import Hangs
from trafficsplit.load.outcomes import row_of

if TYPE_CHECKING:
    from trafficsplit.load.connection import Connection
    from trafficsplit.load.engine import Engine

# Connections beside those in use. A gateway that deals requests out in turn, and callers in step
# with it, give each connection the same turn again and again, as if the gateway kept it on one
# variant. The more are free to be picked from, the less of that is left.
SPARE = 32


class Lane:
    """One gateway, with everything that each request to it needs in attributes of its own.

    `good_address` is the index of an address that has taken a connection. `free` are connections
    that are not in use, open or not.
    """

    __slots__ = (
        "_callers",
        "_engine",
        "codes",
        "count",
        "counter",
        "endpoint",
        "free",
        "gateway",
        "good_address",
        "heads",
        "outcomes",
        "read",
        "take",
    )

    def __init__(self, engine: Engine, gateway: int, endpoint: Endpoint) -> None:
        self._engine = engine
        self._callers = 0
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
        self.free: list[Connection] = []

    @property
    def hangs(self) -> Hangs:
        """What is lost in time, at all gateways."""
        return self.counter.hangs

    # --- connections ---

    def add_caller(self, *, shares: bool) -> None:
        """Make room for one more request at a time, over connections that are shared or not."""
        self._callers += 1
        self.hangs.add_users(self.gateway, 1)
        if not shares:
            return
        if not self.free and not self._engine.waiting.one_each:
            self.free = [self.new_connection(shared=True) for _ in range(SPARE)]
        self.free.append(self.new_connection(shared=True))

    def remove_caller(self, own: Connection | None, *, stuck: bool) -> None:
        """Close a connection for a caller that has left, its `own` or one that is free."""
        connection = own or self.take_free()
        connection.close()
        if not self.counter.closed:  # else its end says how the run has ended
            self.hangs.add_users(self.gateway, -1)
            self.hangs.stick(self.gateway, -stuck)
        self._callers -= 1
        if not self._callers:
            self.close()

    def new_connection(self, *, shared: bool) -> Connection:
        """Return a connection that is not open yet; if it is shared, any caller may use it."""
        return self._engine.new_connection(self, shared=shared)

    def take_free(self) -> Connection:
        """Return one of the free connections, picked at random, which is not free any more."""
        free = self.free
        index = int(random() * len(free))
        connection = free[index]
        free[index] = free[-1]
        free.pop()
        return connection

    def close(self) -> None:
        """Close the connections that are not in use."""
        for connection in self.free:
            connection.close()
        self.free = []

    # --- counting ---

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
