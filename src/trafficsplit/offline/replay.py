"""The sequential test on requests that are all there: it looks when a live one would have."""

from __future__ import annotations

from collections import Counter as Multiset
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from trafficsplit.analysis.field_test import FieldTest
from trafficsplit.analysis.look import Look
from trafficsplit.analysis.order import OrderRecorder
from trafficsplit.analysis.question import Question
from trafficsplit.analysis.tally import Tally
from trafficsplit.analysis.users import UserTest
from trafficsplit.analysis.verdict import Verdict
from trafficsplit.analysis.visits import UserKind, UserRecorder
from trafficsplit.offline.batches import Batch, Integers

MICROSECONDS = 1_000_000  # in a second
LOOK_AFTER = 200  # the users so far, divided by this, are waited for between two looks


class Replay:
    """Takes batches in order of sending, until the verdict is known.

    It looks after as many responses as a live test would have, wherever batches end.
    """

    def __init__(self, question: Question) -> None:
        self._question = question
        self._test = FieldTest(question)
        self._recorder = OrderRecorder()
        self._verdict = Verdict.INCONCLUSIVE
        self._began: int | None = None  # when the first request was sent, in microseconds
        self._counts: Multiset[str] = Multiset()  # since the last look
        self._lost = 0
        self._after = 1  # responses from the last look until the next
        self._last = 0  # when the last request was sent, in microseconds

    @property
    def verdict(self) -> Verdict:
        """The verdict so far."""
        return self._verdict

    @property
    def undecided(self) -> bool:
        """Whether further batches can still decide it."""
        return self._verdict is Verdict.INCONCLUSIVE and not self._test.hopeless

    def add(self, batch: Batch) -> None:
        """Add a batch, and look at it as often as a live test would have."""
        urgent = self._urgent(batch)
        at = 0
        number = len(batch.codes)
        if number and self._began is None:
            self._began = int(batch.sent[0])
        while at < number and self.undecided:
            end = min(at + self._after, number)
            index = int(np.searchsorted(urgent, at))
            is_urgent = index < len(urgent) and urgent[index] < end
            if is_urgent:
                end = int(urgent[index]) + 1
            self._take(batch, at, end)
            self._after -= end - at
            self._last = int(batch.sent[end - 1])
            if is_urgent or self._after <= 0:
                self._look()
            at = end

    def end(self) -> None:
        """Look once more at all there is: a verdict that was held back may be borne by now."""
        if self.undecided and self._began is not None:
            self._look()

    def _urgent(self, batch: Batch) -> Integers:
        """Return the indices of lost requests, and of those to variants that are to get nothing."""
        positive = self._question.split.positive
        # One more element, at the end, stands for −1, no name.
        expected = np.array([*(name in positive for name in batch.names), False])
        return np.flatnonzero(~(_is_good(batch) & expected[batch.codes]))

    def _take(self, batch: Batch, start: int, end: int) -> None:
        good = _is_good(batch)[start:end]
        codes = batch.codes[start:end][good].astype(np.int64)
        connections = np.zeros(len(codes), np.int64)
        if batch.connections is not None:
            connections = batch.connections[start:end][good].astype(np.int64)
        self._recorder.extend(batch.names, codes, connections)
        counts = np.bincount(codes, minlength=len(batch.names)).tolist()
        self._counts.update(dict(zip(batch.names, counts, strict=True)))
        self._lost += end - start - len(codes)

    def _look(self) -> None:
        tally = Tally(dict(self._counts), self._lost)
        elapsed = (self._last - (self._began or self._last)) / MICROSECONDS
        look = Look([tally], orders=lambda: [self._recorder.order], elapsed=elapsed)
        self._verdict = self._test.look(look)
        self._counts.clear()
        self._lost = 0
        self._after = self._test.least_more


def _is_good(batch: Batch) -> NDArray[np.bool_]:
    """Return which requests were answered by a variant."""
    good: NDArray[np.bool_] = (batch.codes >= 0) & (batch.statuses // 100 == 2)
    return good


class UserReplay:
    """Takes users in order of their first requests, until the verdict is known."""

    def __init__(self, question: Question) -> None:
        self._test = UserTest(question)
        self._recorder = UserRecorder()

    @property
    def verdict(self) -> Verdict:
        """The verdict so far."""
        return self._test.verdict

    def add(self, users: Sequence[UserKind]) -> None:
        """Add users, and look at them rather more often than a live test would have."""
        at = 0
        while at < len(users) and self.verdict is Verdict.INCONCLUSIVE:
            end = at + max(self._recorder.number // LOOK_AFTER, 1)
            new = users[at:end]
            self._recorder.add(new)
            self._test.look(Look([tally_of(new)], users=self._recorder.users))
            at = end


def tally_of(users: Iterable[UserKind]) -> Tally:
    """Return the responses of users."""
    counts: Multiset[str] = Multiset()
    lost = 0
    for kind in users:
        counts.update(dict(kind.counts))
        lost += kind.lost
    return Tally(dict(counts), lost)
