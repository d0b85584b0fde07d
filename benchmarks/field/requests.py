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

# As in the load engine, whose modules bring gevent with them.
SPARE = 32  # connections to each gateway beside those of its users
AVERAGE = 50  # requests that a connection sends before it is renewed

CLOSES = 1  # requests of a connection where the gateway closes each one
FOR_EVER = 0  # instead of the requests of a connection
ENDLESS = 2**62  # requests


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

    Connections send `lasts` requests on average, then they are renewed (`FOR_EVER`: never). As in
    the load engine, each request goes over one that is picked at random, of the user's last one and
    the `spare` ones of its gateway. They send `rate` requests a second together. After each answer
    any user may be the next one, as where latencies are exponential; users `in_step` take turns.
    With `sessions` each request has a connection of its own. User number u asks gateway u modulo
    `gateways`.
    """

    users: int = 16
    rate: float = 4000.0
    lasts: int = AVERAGE
    in_step: bool = False
    sessions: bool = False
    gateways: int = 1
    spare: int = SPARE

    def batches(self, rng: Generator) -> Iterator[Requests]:
        """Yield batches of requests without end, in order of sending."""
        connections = Connections(self)
        size = FIRST_BATCH
        first = 0
        while True:
            numbers = np.arange(first, first + size)
            users = numbers % self.users
            if not self.in_step:
                users = rng.integers(self.users, size=size)
            used = np.zeros(size, np.int64)
            if not self.sessions:
                picks = rng.integers(self.spare + 1, size=size).tolist()
                used = np.array(list(map(connections.pick, users.tolist(), picks)))
            yield Requests(numbers, numbers / self.rate, used, users % self.gateways)
            first += size
            size = min(2 * size, LARGEST_BATCH)


class Connection:
    """A connection: its number above 0, and the requests that it may still send."""

    __slots__ = ("left", "number")

    def __init__(self) -> None:
        self.number = 0
        self.left = 0


class Connections:
    """The connections of all users, and the spare ones of each gateway."""

    def __init__(self, load: Load) -> None:
        self._load = load
        self._spare = load.spare
        self._number = 0
        self._own = [Connection() for _ in range(load.users)]
        self._free = [[Connection() for _ in range(load.spare)] for _ in range(load.gateways)]

    def pick(self, user: int, picked: int) -> int:
        """Return the number of the connection of a user's next request.

        `picked` is the number of a spare one, or that of spare ones for the user's last.
        """
        own = self._own[user]
        if picked < self._spare:
            free = self._free[user % self._load.gateways]
            own, free[picked] = free[picked], own
            self._own[user] = own
        if not own.left:
            self._begin(own)
        own.left -= 1
        return own.number

    def _begin(self, connection: Connection) -> None:
        self._number += 1
        connection.number = self._number
        connection.left = requests_of(self._number, self._load.lasts)


def requests_of(number: int, average: int) -> int:
    """Return how many requests a connection sends, half as many more or less than on average.

    They are scattered as in the load engine.
    """
    if average == FOR_EVER:
        return ENDLESS
    fewest = (average + 1) // 2
    most = average + average // 2
    return fewest + (number * 2654435761 % 2**32) * (most - fewest + 1) // 2**32
