"""Puts the requests of each user together, in order of the users' first requests."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from trafficsplit.analysis.kinds import Codes, Kinds, Outcome
from trafficsplit.analysis.visits import UserKind

MOST_REMEMBERED = 4096  # ways in which a user's requests ended


@dataclass(frozen=True)
class EndedUsers:
    """Users whose requests have all ended, in order, with the codes of their first requests."""

    kinds: list[UserKind]
    first_codes: Codes


class UserBook:
    """Takes requests in order of sending, `each` of every user.

    A user is held back until all users that came before it have ended, as requests are (DESIGN.md
    4, "Order of counting"). One of which a request is left out is left out.
    """

    def __init__(self, kinds: Kinds, each: int) -> None:
        self._kinds = kinds
        self._each = each
        self._codes: dict[int, list[int]] = {}  # of users that have not been handed on, by number
        self._waiting: deque[int] = deque()  # their numbers, in order of their first requests
        self._gone: set[int] = set()  # those that will not send the rest of their requests
        self._known: dict[tuple[int, ...], UserKind | None] = {}

    def add(self, codes: Codes, users: Codes) -> EndedUsers:
        """Add requests and return the users that have ended now. `users` are their numbers."""
        for code, user in zip(codes.tolist(), users.tolist(), strict=True):
            before = self._codes.get(user)
            if before is None:
                self._codes[user] = [code]
                self._waiting.append(user)
            else:
                before.append(code)
        return self._ended()

    def leave(self, user: int) -> None:
        """Wait no longer for a user."""
        self._gone.add(user)

    def _ended(self) -> EndedUsers:
        ended: list[UserKind] = []
        first: list[int] = []
        while self._waiting:
            user = self._waiting[0]
            codes = self._codes[user]
            if len(codes) >= self._each:
                kind = self._kind_of(tuple(codes))
                if kind is not None:
                    ended.append(kind)
                    first.append(codes[0])
            elif user not in self._gone:
                break
            self._waiting.popleft()
            del self._codes[user]
            self._gone.discard(user)
        return EndedUsers(ended, np.array(first, np.int64))

    def _kind_of(self, codes: tuple[int, ...]) -> UserKind | None:
        """Return how a user was answered, None where it is left out."""
        if codes not in self._known:
            if len(self._known) >= MOST_REMEMBERED:
                self._known.clear()
            self._known[codes] = self._new_kind(codes)
        return self._known[codes]

    def _new_kind(self, codes: Iterable[int]) -> UserKind | None:
        kinds = [self._kinds[code] for code in codes]
        if any(kind.outcome is Outcome.LEFT_OUT for kind in kinds):
            return None
        answers = []
        for kind in kinds:
            answers.append(kind.variant if kind.outcome is Outcome.IDENTIFIED else "")
        return UserKind.of(answers, kinds[0].gateway)
