"""What is kept of the order of the responses, in one pass and constant memory.

Agreements of successive responses, overall and within connections, and sums over groups: blocks of
successive responses, and connections. `analysis.independence` says what they mean.
"""

from __future__ import annotations

from collections import Counter as Multiset
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

BLOCK = 40  # responses
MOST_CONNECTIONS = 4096  # kept apart; beyond, the oldest are summed up

Codes = NDArray[np.int64]


@dataclass(frozen=True)
class Agreement:
    """How often two responses in a row name the same variant: `agreed` of `pairs`."""

    pairs: int = 0
    agreed: int = 0

    def __add__(self, other: Agreement) -> Agreement:
        return Agreement(self.pairs + other.pairs, self.agreed + other.agreed)


@dataclass(frozen=True)
class Clusters:
    """Sums over groups of responses: blocks, or connections.

    `groups` of at least one response; `squares` is Σ x²/n over the groups, by variant.
    """

    groups: int = 0
    squares: Mapping[str, float] = field(default_factory=dict)
    counts: Mapping[str, int] = field(default_factory=dict)

    def __add__(self, other: Clusters) -> Clusters:
        squares, counts = Multiset(self.squares), Multiset(self.counts)
        squares.update(other.squares)
        counts.update(other.counts)
        return Clusters(self.groups + other.groups, dict(squares), dict(counts))


@dataclass(frozen=True)
class Order:
    """What is kept of the order of the responses. Orders of several workers add up."""

    successive: Agreement = Agreement()
    within_connections: Agreement = Agreement()
    blocks: Clusters = Clusters()
    connections: Clusters = Clusters()

    def __add__(self, other: Order) -> Order:
        return Order(
            self.successive + other.successive,
            self.within_connections + other.within_connections,
            self.blocks + other.blocks,
            self.connections + other.connections,
        )

    def as_plain(self) -> dict[str, Any]:
        """Plain data, for a file or a message."""
        return {
            "successive": vars(self.successive),
            "within_connections": vars(self.within_connections),
            "blocks": {k: dict(v) if isinstance(v, Mapping) else v for k, v in
                       vars(self.blocks).items()},
            "connections": {k: dict(v) if isinstance(v, Mapping) else v for k, v in
                            vars(self.connections).items()},
        }  # fmt: skip

    @classmethod
    def from_plain(cls, data: Mapping[str, Any]) -> Order:
        """The order that `as_plain` wrote. Raises KeyError, TypeError or ValueError."""
        return cls(
            Agreement(**data["successive"]),
            Agreement(**data["within_connections"]),
            Clusters(**data["blocks"]),
            Clusters(**data["connections"]),
        )


class OrderRecorder:
    """Takes responses in order of sending, each with its connection, in batches.

    Counts by connection stand in rows of a table, a connection's in row `number % rows`: numbers
    given in a row need no two the same one. What stood there before is summed up.
    """

    def __init__(self) -> None:
        self._names: list[str] = []
        self._order = Order()
        self._pairs = self._agreed = self._pairs_within = self._agreed_within = 0
        self._last = -1
        self._block: Codes = np.empty(0, np.int64)  # since the last whole block
        self._owner = np.zeros(MOST_CONNECTIONS, np.int64)  # a connection, 0: none
        self._latest = np.zeros(MOST_CONNECTIONS, np.int64)
        self._counts = np.zeros((MOST_CONNECTIONS, 0), np.int64)

    def add(self, variant: str, connection: int = 0) -> None:
        """One response; `connection` is above 0, or 0 where each response has one of its own."""
        self.extend([variant], np.zeros(1, np.int64), np.array([connection]))

    def extend(self, variants: Sequence[str], codes: Codes, connections: Codes) -> None:
        """Several responses. `codes` are indices into `variants`, `connections` as for `add`."""
        if not len(codes):
            return
        codes = self._own(variants)[codes]
        agreed = codes[1:] == codes[:-1]
        self._pairs += len(agreed) + (self._last >= 0)
        self._agreed += int(np.count_nonzero(agreed)) + (self._last == int(codes[0]))
        self._last = int(codes[-1])
        self._add_blocks(codes)
        if connections.any():
            kept = connections != 0
            self._add_connections(codes[kept], connections[kept])

    def _own(self, variants: Sequence[str]) -> Codes:
        """Our own codes of some names."""
        for name in variants:
            if name not in self._names:
                self._names.append(name)
        missing = len(self._names) - self._counts.shape[1]
        if missing:
            self._counts = np.pad(self._counts, ((0, 0), (0, missing)))
        return np.array([self._names.index(name) for name in variants], np.int64)

    def _add_blocks(self, codes: Codes) -> None:
        codes = np.concatenate([self._block, codes])
        whole = len(codes) // BLOCK * BLOCK
        self._block = codes[whole:]
        if whole:
            blocks = codes[:whole].reshape(-1, BLOCK)
            table = np.stack(
                [np.count_nonzero(blocks == code, axis=1) for code in range(len(self._names))], 1
            )
            self._order += Order(blocks=self._clusters(table))

    def _add_connections(self, codes: Codes, connections: Codes) -> None:
        order = np.argsort(connections, kind="stable")
        codes, connections = codes[order], connections[order]
        first = np.flatnonzero(np.diff(connections, prepend=-1))
        present = connections[first]
        rows = present % MOST_CONNECTIONS
        if len(np.unique(rows)) < len(rows):  # two that want one row: the older first
            older = connections < np.median(present)
            self._add_connections(codes[older], connections[older])
            self._add_connections(codes[~older], connections[~older])
            return
        stale = (self._owner[rows] != present) & (self._owner[rows] != 0)
        if stale.any():
            gone = rows[stale]
            self._order += Order(connections=self._clusters(self._counts[gone]))
        new = self._owner[rows] != present
        self._counts[rows[new]] = 0
        known = ~new
        agreed_before = known & (self._latest[rows] == codes[first])
        same = np.diff(connections) == 0
        agreed = same & (np.diff(codes) == 0)
        self._pairs_within += int(np.count_nonzero(same) + np.count_nonzero(known))
        self._agreed_within += int(np.count_nonzero(agreed) + np.count_nonzero(agreed_before))
        np.add.at(self._counts, (connections % MOST_CONNECTIONS, codes), 1)
        self._owner[rows] = present
        self._latest[rows] = codes[np.append(first[1:], len(codes)) - 1]

    def _clusters(self, table: NDArray[Any]) -> Clusters:
        """Sums over the rows of a table of groups × variants."""
        sizes = table.sum(axis=1, keepdims=True)
        squares = (table * table / sizes).sum(axis=0)
        counts = table.sum(axis=0)
        seen = [code for code, count in enumerate(counts) if count]
        return Clusters(
            len(table),
            {self._names[code]: float(squares[code]) for code in seen},
            {self._names[code]: int(counts[code]) for code in seen},
        )

    @property
    def pairs_within_connections(self) -> int:
        """Pairs of responses in a row on one connection, so far."""
        return self._pairs_within

    @property
    def order(self) -> Order:
        """All so far; a block that is not full yet is left out."""
        return self._order + Order(
            Agreement(self._pairs, self._agreed),
            Agreement(self._pairs_within, self._agreed_within),
            connections=self._clusters(self._counts[self._owner != 0]),
        )
