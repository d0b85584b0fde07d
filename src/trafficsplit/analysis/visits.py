"""What was counted of users: how each was answered, in order of their first requests.

A user asks several times, with cookies of its own, and makes room for a new one. Memory is bounded:
users are counted by kind and by block, and the blocks grow with the run.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

Counts = NDArray[np.int64]
FIRST_WIDTH = 32  # users of a block, at first
MOST_BLOCKS = 128  # then two and two become one
MOST_KINDS = 1000  # that are kept apart; beyond, a user counts as one that was not answered


@dataclass(frozen=True)
class UserKind:
    """How one user was answered: by which variants, how often each, sorted by name.

    `lost` of its requests were errors, or named no variant. `first` and `last` are the first and
    the last variant that answered, empty where none did. `gateway` is the number of the one that it
    asked.
    """

    counts: tuple[tuple[str, int], ...] = ()
    lost: int = 0
    first: str = ""
    last: str = ""
    gateway: int = 0

    @classmethod
    def of(cls, answers: Sequence[str], gateway: int = 0) -> UserKind:
        """Return the kind of a user with these answers in turn, a lost one being empty."""
        named = [variant for variant in answers if variant]
        counts = tuple((variant, named.count(variant)) for variant in sorted(set(named)))
        lost = len(answers) - len(named)
        if not named:
            return cls((), lost, gateway=gateway)
        return cls(counts, lost, named[0], named[-1], gateway)

    @property
    def requests(self) -> int:
        """The requests of such a user."""
        return self.lost + sum(count for _, count in self.counts)

    @property
    def changed(self) -> bool:
        """Whether several variants have answered the user."""
        return len(self.counts) > 1

    @property
    def may_have_changed(self) -> bool:
        """Whether several variants have answered, or may have if the lost requests were theirs."""
        return self.changed or self.lost > 0

    def share(self, variants: Iterable[str], *, lost: bool = False) -> float:
        """Return the fraction of the requests that these variants answered.

        With `lost` those without an answer count as theirs.
        """
        wanted = set(variants)
        own = sum(count for variant, count in self.counts if variant in wanted)
        return (own + lost * self.lost) / self.requests


@dataclass(frozen=True, eq=False)
class Users:
    """The users so far: a row of `rows` for each block, in order, and a column for each kind.

    All blocks but the last have about as many users; a row is a block's users by kind.
    """

    kinds: Sequence[UserKind] = ()
    rows: Counts = field(default_factory=lambda: np.zeros((0, 0), np.int64))
    width: int = FIRST_WIDTH

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Users):
            return NotImplemented
        return self.as_plain() == other.as_plain()

    def __hash__(self) -> int:
        return hash((tuple(self.kinds), self.width))

    @property
    def totals(self) -> Counts:
        """The users of each kind."""
        totals: Counts = self.rows.sum(axis=0)
        return totals

    @property
    def by_kind(self) -> list[tuple[UserKind, int]]:
        """The users of each kind, with it."""
        return list(zip(self.kinds, self.totals.tolist(), strict=True))

    @property
    def number(self) -> int:
        """All users whose requests have ended."""
        return int(self.rows.sum())

    @property
    def changed(self) -> int:
        """The users that several variants have answered."""
        return self._of(kind.changed for kind in self.kinds)

    @property
    def with_losses(self) -> int:
        """The users that lost at least one request."""
        return self._of(kind.lost > 0 for kind in self.kinds)

    def _of(self, are_counted: Iterable[bool]) -> int:
        return int(self.totals @ np.fromiter(are_counted, np.int64, len(self.kinds)))

    def sum_of_shares(self, variant: str) -> float:
        """Return the sum over all users of the fraction of its requests that a variant answered."""
        shares = [kind.share([variant]) for kind in self.kinds]
        return float(self.totals @ np.array(shares, dtype=float))

    def moves(self) -> dict[tuple[str, str], int]:
        """Return how many users have begun with one variant and ended with another."""
        moves: dict[tuple[str, str], int] = {}
        for kind, count in self.by_kind:
            if count and kind.first != kind.last:
                way = (kind.first, kind.last)
                moves[way] = moves.get(way, 0) + count
        return moves

    def answered_first(self, variant: str) -> int:
        """Return the users whose first answer a variant gave."""
        return self._of(kind.first == variant for kind in self.kinds)

    def answered_last(self, variant: str) -> int:
        """Return the users whose last answer a variant gave."""
        return self._of(kind.last == variant for kind in self.kinds)

    def at(self, gateway: int) -> Users:
        """Return the users of one gateway."""
        return self._those(kind.gateway == gateway for kind in self.kinds)

    @property
    def without_losses(self) -> Users:
        """The users that lost no request."""
        return self._those(not kind.lost for kind in self.kinds)

    def _those(self, are_wanted: Iterable[bool]) -> Users:
        chosen = [index for index, is_wanted in enumerate(are_wanted) if is_wanted]
        return Users([self.kinds[index] for index in chosen], self.rows[:, chosen], self.width)

    def as_plain(self) -> dict[str, Any]:
        """Return them as data that JSON can hold."""
        return {
            "kinds": [kind_as_plain(kind) for kind in self.kinds],
            "rows": self.rows.tolist(),
            "width": self.width,
        }

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> Users:
        """Return the users that `as_plain` wrote. Raises KeyError, TypeError or ValueError."""
        kinds = [kind_from_plain(kind) for kind in plain["kinds"]]
        rows = np.array(plain["rows"], np.int64).reshape(len(plain["rows"]), len(kinds))
        return cls(kinds, rows, int(plain["width"]))


def kind_as_plain(kind: UserKind) -> list[Any]:
    """Return a kind as data that JSON can hold."""
    return [dict(kind.counts), kind.lost, kind.first, kind.last, kind.gateway]


def kind_from_plain(plain: Sequence[Any]) -> UserKind:
    """Return the kind that `kind_as_plain` wrote. Raises TypeError or ValueError."""
    counts, lost, first, last, gateway = plain
    return UserKind(tuple(sorted(counts.items())), lost, first, last, gateway)


class UserRecorder:
    """Takes users in order of their first requests, and counts them by kind and by block."""

    def __init__(self) -> None:
        self._kinds: list[UserKind] = []
        self._codes: dict[UserKind, int] = {}
        self._rows = np.zeros((0, 0), np.int64)
        self._width = FIRST_WIDTH
        self._last = 0  # users of the last block

    def add(self, kinds: Iterable[UserKind]) -> None:
        """Add users one after the other."""
        codes = np.array(list(map(self._code_of, kinds)), np.int64)
        while len(codes):
            counts = np.bincount(codes[: self._room()], minlength=len(self._kinds))
            codes = codes[int(counts.sum()) :]
            self._add_counts(counts)

    def add_counts(self, users: Mapping[UserKind, int]) -> None:
        """Add users of which the order is not known."""
        codes = np.array([self._code_of(kind) for kind in users], np.int64)
        if len(codes):
            self._room()
            counts = np.bincount(codes, list(users.values()), len(self._kinds))
            self._add_counts(counts.astype(np.int64))

    def _code_of(self, kind: UserKind) -> int:
        code = self._codes.get(kind)
        if code is None and len(self._kinds) >= MOST_KINDS:
            kind = UserKind((), kind.requests, gateway=kind.gateway)
            code = self._codes.get(kind)
        if code is None:
            code = len(self._kinds)
            self._codes[kind] = code
            self._kinds.append(kind)
            self._rows = np.pad(self._rows, ((0, 0), (0, 1)))
        return code

    def _room(self) -> int:
        """Return how many users the last block still takes, a new one where it is full."""
        if not len(self._rows) or self._last >= self._width:
            if len(self._rows) >= MOST_BLOCKS:
                self._rows = self._rows[0::2] + self._rows[1::2]
                self._width *= 2
            self._rows = np.pad(self._rows, ((0, 1), (0, 0)))
            self._last = 0
        return self._width - self._last

    def _add_counts(self, counts: Counts) -> None:
        self._rows[-1] += counts
        self._last += int(counts.sum())

    @property
    def number(self) -> int:
        """All users so far."""
        return int(self._rows.sum())

    @property
    def users(self) -> Users:
        """What was counted of them."""
        return Users(list(self._kinds), self._rows.copy(), self._width)
