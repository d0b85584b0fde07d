"""Requests in order of sending, as users send them: on which connections, when, to which gateway.

Latencies do not matter here: `benchmarks.field.closed` is for gateways whose latencies do.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

Codes = NDArray[np.int64]
Floats = NDArray[np.float64]

FIRST_BATCH = 256  # requests; a quick verdict needs no more
LARGEST_BATCH = 8192  # requests

CLOSES = 1  # requests that a connection lasts where the gateway closes each one
FOR_EVER = 0  # instead of the requests that a connection lasts


@dataclass(frozen=True)
class Requests:
    """Requests in order of sending, an element of each array for each.

    `numbers` count from 0, `times` are seconds since the start. `connections` are above 0, or all 0
    where each request has a connection of its own. `gateways` are numbers from 0.
    """

    numbers: Codes
    times: Floats
    connections: Codes
    gateways: Codes

    def __len__(self) -> int:
        return len(self.numbers)

    def __getitem__(self, kept: NDArray[np.bool_] | slice) -> Requests:
        """Return some of them."""
        return Requests(
            self.numbers[kept], self.times[kept], self.connections[kept], self.gateways[kept]
        )


@dataclass(frozen=True)
class Load:
    """Who sends, and how.

    `users` have a connection each, of `lasts` requests on average (`FOR_EVER`: it is kept). They
    send `rate` requests a second together. After each answer any of them may be the next one, as
    where latencies are exponential; users `in_step` take turns. With `sessions` each request has a
    connection of its own. User number u asks gateway u modulo `gateways`.
    """

    users: int = 16
    rate: float = 4000.0
    lasts: int = 50
    in_step: bool = False
    sessions: bool = False
    gateways: int = 1

    def batches(self, rng: Generator) -> Iterator[Requests]:
        """Yield batches of requests without end, in order of sending."""
        connections = _Connections(self, rng)
        size = FIRST_BATCH
        first = 0
        while True:
            numbers = np.arange(first, first + size)
            users = numbers % self.users
            if not self.in_step:
                users = rng.integers(self.users, size=size)
            yield Requests(
                numbers, numbers / self.rate, connections.of(users), users % self.gateways
            )
            first += size
            size = min(2 * size, LARGEST_BATCH)


class _Connections:
    """The connections of all users, which are renewed at different times.

    The first connection of each user ends somewhere within its life.
    """

    def __init__(self, load: Load, rng: Generator) -> None:
        self._load = load
        self._sent = np.zeros(load.users, np.int64)  # requests by each user
        if load.lasts > 1:
            self._sent += rng.integers(load.lasts, size=load.users)

    def of(self, users: Codes) -> Codes:
        """Return the connections of requests by some users."""
        load = self._load
        if load.sessions:
            return np.zeros(len(users), np.int64)
        if load.lasts == FOR_EVER:
            return users + 1
        order = np.argsort(users, kind="stable")
        counts = np.bincount(users, minlength=load.users)
        starts = np.cumsum(counts) - counts
        by_user = users[order]
        turn = self._sent[by_user] + np.arange(len(users)) - starts[by_user]
        self._sent += counts
        connections = np.empty(len(users), np.int64)
        connections[order] = 1 + by_user + load.users * (turn // load.lasts)
        return connections
