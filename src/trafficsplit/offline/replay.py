"""The sequential test on requests that are all there: it looks when a live one would have."""

from __future__ import annotations

from collections import Counter as Multiset
from collections.abc import Iterable, Sequence

import numpy as np

from trafficsplit.analysis.look import Look
from trafficsplit.analysis.question import Question
from trafficsplit.analysis.sequential import SequentialTest
from trafficsplit.analysis.tally import Tally
from trafficsplit.analysis.users import UserTest
from trafficsplit.analysis.verdict import Verdict
from trafficsplit.analysis.visits import UserKind, UserRecorder
from trafficsplit.offline.batches import Batch, Integers

LOOK_AFTER = 200  # the users so far, divided by this, are waited for between two looks


class Replay:
    """Takes batches in order of sending, until the verdict is known."""

    def __init__(self, question: Question) -> None:
        self._question = question
        self._test = SequentialTest.of(question)

    @property
    def verdict(self) -> Verdict:
        """The verdict so far."""
        return self._test.verdict

    @property
    def undecided(self) -> bool:
        """Whether further batches can still decide it."""
        return self.verdict is Verdict.INCONCLUSIVE

    def add(self, batch: Batch) -> None:
        """Add a batch, and look at it as often as a live test would have."""
        urgent = self._urgent(batch)
        at = 0
        number = len(batch.codes)
        while at < number and self.undecided:
            end = min(at + self._test.least_more, number)
            index = int(np.searchsorted(urgent, at))
            if index < len(urgent):
                end = min(end, int(urgent[index]) + 1)
            self._update(batch, at, end)
            at = end

    def _urgent(self, batch: Batch) -> Integers:
        """Return the indices of lost requests, and of those to variants that are to get nothing."""
        positive = self._question.split.positive
        # One more element, at the end, stands for −1, no name.
        expected = np.array([*(name in positive for name in batch.names), False])
        fine = (batch.codes >= 0) & (batch.statuses // 100 == 2)
        return np.flatnonzero(~(fine & expected[batch.codes]))

    def _update(self, batch: Batch, start: int, end: int) -> None:
        codes = batch.codes[start:end]
        good = batch.statuses[start:end] // 100 == 2
        counts = np.bincount(codes[good & (codes >= 0)], minlength=len(batch.names))
        self._test.update(
            dict(zip(batch.names, counts.tolist(), strict=True)),
            errors=int((~good).sum()),
            unidentified=int((good & (codes < 0)).sum()),
        )


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
