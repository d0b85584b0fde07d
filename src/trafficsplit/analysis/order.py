"""What is kept of the order of the responses, in one pass and constant memory.

That is how often successive responses agree, overall and within connections, sums over groups of
responses, which are blocks of successive ones and connections, and the course of the counts.
`analysis.independence` and `analysis.dependence` say what they mean.
"""

from __future__ import annotations

from collections import Counter as Multiset
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

BLOCK = 40  # responses of a block
STEP = 10  # responses of a step of a course, at first
MOST_STEPS = 1024  # of a course: beyond, two steps become one
MOST_CONNECTIONS = 4096  # that are kept apart; beyond, the oldest are summed up

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
        squares = Multiset(self.squares)
        squares.update(other.squares)
        counts = Multiset(self.counts)
        counts.update(other.counts)
        return Clusters(self.groups + other.groups, dict(squares), dict(counts))


@dataclass(frozen=True)
class Course:
    """The counts of successive responses, in steps of `step` responses.

    `columns` has the counts of each variant, one for each step.
    """

    step: int = STEP
    columns: Mapping[str, Sequence[int]] = field(default_factory=dict)

    @property
    def steps(self) -> int:
        """The number of steps."""
        return max(map(len, self.columns.values()), default=0)

    @property
    def table(self) -> Codes:
        """The counts, steps × variants that have answered."""
        table = np.zeros((self.steps, len(self.columns)), np.int64)
        for index, column in enumerate(self.columns.values()):
            table[: len(column), index] = column
        return table

    def __add__(self, other: Course) -> Course:
        """Return the course of two that went on at once, step by step, while both did."""
        if not self.columns or not other.columns:
            return other if other.columns else self
        step = max(self.step, other.step)
        one = self.in_steps_of(step)
        two = other.in_steps_of(step)
        number = min(one.steps, two.steps)
        columns: dict[str, Sequence[int]] = {}
        for name in dict.fromkeys([*one.columns, *two.columns]):
            ours = one.columns.get(name, [0] * number)
            theirs = two.columns.get(name, [0] * number)
            columns[name] = [x + y for x, y in zip(ours[:number], theirs[:number], strict=True)]
        return Course(step * 2, columns)  # a step of the sum has the responses of both

    def followed_by(self, other: Course) -> Course:
        """Return the course of two of which the other came later."""
        step = max(self.step, other.step)
        one = self.in_steps_of(step)
        two = other.in_steps_of(step)
        columns: dict[str, Sequence[int]] = {}
        for name in dict.fromkeys([*one.columns, *two.columns]):
            before = one.columns.get(name, [0] * one.steps)
            columns[name] = [*before, *two.columns.get(name, [0] * two.steps)]
        whole = Course(step, columns)
        while whole.steps > MOST_STEPS:
            whole = whole.in_steps_of(whole.step * 2)
        return whole

    def in_steps_of(self, step: int) -> Course:
        """Return the course in longer steps; what does not fill one is left out."""
        many = step // self.step
        if many <= 1:
            return self
        number = self.steps // many
        columns = {}
        for name, column in self.columns.items():
            whole = np.zeros(number * many, np.int64)
            whole[: len(column)] = column[: len(whole)]
            columns[name] = whole.reshape(number, many).sum(axis=1).tolist()
        return Course(step, columns)


@dataclass(frozen=True)
class Order:
    """What is kept of the order of the responses. Orders of several workers add up."""

    successive: Agreement = Agreement()
    within_connections: Agreement = Agreement()
    blocks: Clusters = Clusters()
    connections: Clusters = Clusters()
    course: Course = Course()

    def __add__(self, other: Order) -> Order:
        return Order(
            self.successive + other.successive,
            self.within_connections + other.within_connections,
            self.blocks + other.blocks,
            self.connections + other.connections,
            self.course + other.course,
        )

    def followed_by(self, other: Order) -> Order:
        """Return the order of responses of which the others came later."""
        return replace(self + other, course=self.course.followed_by(other.course))

    def as_plain(self) -> dict[str, Any]:
        """Return it as data that JSON can hold."""
        return {
            "successive": vars(self.successive),
            "within_connections": vars(self.within_connections),
            "blocks": _clusters_as_plain(self.blocks),
            "connections": _clusters_as_plain(self.connections),
            "course": {"step": self.course.step, "columns": dict(self.course.columns)},
        }

    @classmethod
    def from_plain(cls, data: Mapping[str, Any]) -> Order:
        """Return the order that `as_plain` wrote. Raises KeyError, TypeError or ValueError."""
        return cls(
            Agreement(**data["successive"]),
            Agreement(**data["within_connections"]),
            Clusters(**data["blocks"]),
            Clusters(**data["connections"]),
            Course(**data["course"]),
        )


def _clusters_as_plain(clusters: Clusters) -> dict[str, Any]:
    return {
        "groups": clusters.groups,
        "squares": dict(clusters.squares),
        "counts": dict(clusters.counts),
    }


class OrderRecorder:
    """Takes responses in order of sending, each with its connection, in batches."""

    def __init__(self) -> None:
        self._names: list[str] = []
        self._successive = _Successive()
        self._blocks = _Blocks()
        self._course = _Course()
        self._connections = _Connections()

    def add(self, variant: str, connection: int = 0) -> None:
        """Add one response; `connection` is above 0, or 0 if each response has one of its own."""
        self.extend([variant], np.zeros(1, np.int64), np.array([connection]))

    def extend(self, variants: Sequence[str], codes: Codes, connections: Codes) -> None:
        """Add responses. `codes` are indices into `variants`, `connections` are as for `add`."""
        if not len(codes):
            return
        codes = self._own_codes(variants)[codes]
        self._successive.add(codes)
        self._blocks.add(codes, len(self._names))
        self._course.add(codes, len(self._names))
        if connections.any():
            kept = connections != 0
            self._connections.add(codes[kept], connections[kept], len(self._names))

    def _own_codes(self, variants: Sequence[str]) -> Codes:
        """Return our own codes of some names."""
        for name in variants:
            if name not in self._names:
                self._names.append(name)
        return np.array(list(map(self._names.index, variants)), np.int64)

    @property
    def pairs_within_connections(self) -> int:
        """The pairs of successive responses on one connection, so far."""
        return self._connections.pairs

    @property
    def order(self) -> Order:
        """What is known so far; a block that is not full yet is left out."""
        connections = self._connections
        return Order(
            successive=Agreement(self._successive.pairs, self._successive.agreed),
            within_connections=Agreement(connections.pairs, connections.agreed),
            blocks=self._blocks.sums.clusters(self._names),
            connections=connections.sums.clusters(self._names) + connections.kept(self._names),
            course=self._course.course(self._names),
        )


class _GroupSums:
    """Sums over groups of responses, by code: what `Clusters` has by name."""

    def __init__(self) -> None:
        self._groups = 0
        self._squares = np.zeros(0)
        self._counts = np.zeros(0, np.int64)

    def add(self, table: Codes) -> None:
        """Add groups: the rows of a table, with a column for each code. None is empty."""
        missing = table.shape[1] - len(self._counts)
        if missing:
            self._squares = np.pad(self._squares, (0, missing))
            self._counts = np.pad(self._counts, (0, missing))
        sizes = table.sum(axis=1, keepdims=True)
        self._groups += len(table)
        self._squares += (table * table / sizes).sum(axis=0)
        self._counts += table.sum(axis=0)

    def clusters(self, names: Sequence[str]) -> Clusters:
        """Return the sums, by name."""
        squares = {}
        counts = {}
        for code in np.flatnonzero(self._counts).tolist():
            squares[names[code]] = float(self._squares[code])
            counts[names[code]] = int(self._counts[code])
        return Clusters(self._groups, squares, counts)


class _Successive:
    """How often a response agrees with the one before it."""

    def __init__(self) -> None:
        self.pairs = 0
        self.agreed = 0
        self._last = -1  # code, −1: there is none yet

    def add(self, codes: Codes) -> None:
        agreed = codes[1:] == codes[:-1]
        self.pairs += len(agreed) + (self._last >= 0)
        self.agreed += int(np.count_nonzero(agreed)) + (self._last == int(codes[0]))
        self._last = int(codes[-1])


class _Blocks:
    """Sums over blocks of successive responses."""

    def __init__(self) -> None:
        self.sums = _GroupSums()
        self._begun: Codes = np.empty(0, np.int64)  # since the last whole block

    def add(self, codes: Codes, number_of_codes: int) -> None:
        codes = np.concatenate([self._begun, codes])
        whole = len(codes) // BLOCK * BLOCK
        self._begun = codes[whole:]
        if whole:
            blocks = codes[:whole].reshape(-1, BLOCK)
            columns = [np.count_nonzero(blocks == code, axis=1) for code in range(number_of_codes)]
            self.sums.add(np.stack(columns, axis=1))


class _Course:
    """The counts of successive responses in steps, which grow longer as a run does."""

    def __init__(self) -> None:
        self._step = STEP
        self._table = np.zeros((MOST_STEPS, 0), np.int64)
        self._steps = 0  # rows of the table that are used
        self._begun: Codes = np.empty(0, np.int64)  # since the last whole step

    def add(self, codes: Codes, number_of_codes: int) -> None:
        missing = number_of_codes - self._table.shape[1]
        if missing:
            self._table = np.pad(self._table, ((0, 0), (0, missing)))
        codes = np.concatenate([self._begun, codes])
        while len(codes) >= self._step:
            if self._steps == MOST_STEPS:
                self._join_steps()
            codes = self._add_steps(codes)
        self._begun = codes

    def _add_steps(self, codes: Codes) -> Codes:
        """Add as many whole steps as there is room for; return the codes that are left."""
        number = min(len(codes) // self._step, MOST_STEPS - self._steps)
        whole = number * self._step
        steps = codes[:whole].reshape(number, self._step)
        rows = self._table[self._steps : self._steps + number]
        for code in range(rows.shape[1]):
            rows[:, code] = np.count_nonzero(steps == code, axis=1)
        self._steps += number
        return codes[whole:]

    def _join_steps(self) -> None:
        half = MOST_STEPS // 2
        self._table[:half] = self._table[::2] + self._table[1::2]
        self._steps = half
        self._step *= 2

    def course(self, names: Sequence[str]) -> Course:
        """Return the course, by name."""
        table = self._table[: self._steps]
        columns = {}
        for code in np.flatnonzero(table.any(axis=0)).tolist():
            columns[names[code]] = table[:, code].tolist()
        return Course(self._step, columns)


class _Connections:
    """Sums over connections, and how often successive responses of a connection agree.

    The counts of a connection stand in row `number % rows` of a table, so that connections whose
    numbers are given in a row have rows of their own. A connection that needs the row of another
    one takes it, and the other's counts are summed up.
    """

    def __init__(self) -> None:
        self.pairs = 0
        self.agreed = 0
        self.sums = _GroupSums()
        self._owner = np.zeros(MOST_CONNECTIONS, np.int64)  # the row's connection, 0: none
        self._latest = np.zeros(MOST_CONNECTIONS, np.int64)  # code of its latest response
        self._counts = np.zeros((MOST_CONNECTIONS, 0), np.int64)

    def kept(self, names: Sequence[str]) -> Clusters:
        """Return the sums over the connections that still have a row."""
        sums = _GroupSums()
        sums.add(self._counts[self._owner != 0])
        return sums.clusters(names)

    def add(self, codes: Codes, connections: Codes, number_of_codes: int) -> None:
        missing = number_of_codes - self._counts.shape[1]
        if missing:
            self._counts = np.pad(self._counts, ((0, 0), (0, missing)))
        order = np.argsort(connections, kind="stable")
        self._add_sorted(codes[order], connections[order])

    def _add_sorted(self, codes: Codes, connections: Codes) -> None:
        """Add responses that stand by connection, and for each in order of sending."""
        first = np.flatnonzero(np.diff(connections, prepend=-1))
        present = connections[first]
        rows = present % MOST_CONNECTIONS
        if len(np.unique(rows)) < len(rows):  # two need one row: the older connections first
            older = connections < np.median(present)
            self._add_sorted(codes[older], connections[older])
            self._add_sorted(codes[~older], connections[~older])
            return
        known = self._take_rows(rows, present)
        self._count_pairs(codes, connections, known & (self._latest[rows] == codes[first]))
        self.pairs += int(np.count_nonzero(known))
        np.add.at(self._counts, (connections % MOST_CONNECTIONS, codes), 1)
        self._latest[rows] = codes[np.append(first[1:], len(codes)) - 1]

    def _take_rows(self, rows: Codes, connections: Codes) -> NDArray[np.bool_]:
        """Give each connection its row; return which of them had it already."""
        owners = self._owner[rows]
        known: NDArray[np.bool_] = owners == connections
        stale = ~known & (owners != 0)
        if stale.any():
            self.sums.add(self._counts[rows[stale]])
        self._counts[rows[~known]] = 0
        self._owner[rows] = connections
        return known

    def _count_pairs(
        self, codes: Codes, connections: Codes, agreed_before: NDArray[np.bool_]
    ) -> None:
        """Count pairs within the batch, and agreement with the response before it."""
        same = np.diff(connections) == 0
        agreed = same & (np.diff(codes) == 0)
        self.pairs += int(np.count_nonzero(same))
        self.agreed += int(np.count_nonzero(agreed) + np.count_nonzero(agreed_before))
