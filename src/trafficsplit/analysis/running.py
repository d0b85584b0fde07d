"""The tests of a run that goes on: they look at it, and know when there is an answer."""

from __future__ import annotations

from typing import Protocol

from trafficsplit.analysis.field_test import FieldTest
from trafficsplit.analysis.look import Look
from trafficsplit.analysis.question import Question
from trafficsplit.analysis.sequential import MANY
from trafficsplit.analysis.split import Split
from trafficsplit.analysis.tally import Tally
from trafficsplit.analysis.users import UserTest
from trafficsplit.analysis.verdict import Verdict


class RunningTest(Protocol):
    """What looks at a run while it goes on, and knows when there is an answer."""

    def look(self, look: Look) -> Verdict:
        """Add what is new, and return the verdict so far.

        Any verdict but `inconclusive` ends the run.
        """
        ...

    @property
    def least_more(self) -> int:
        """A number of further responses before which the verdict cannot change."""
        ...

    @property
    def pace(self) -> float | None:
        """The requests a second that are enough while time has to pass; None: there is no wait."""
        ...


class FixedRunningTest:
    """Ends a fixed-sample run early only if more requests can no longer change the verdict.

    They cannot once more requests are lost than the whole run may lose, or once a variant of weight
    0 has answered. Nothing else of a fixed-sample test may be looked at before its end.
    """

    pace: float | None = None  # it ends by the number of its requests

    def __init__(self, question: Question) -> None:
        self._question = question
        self._lost = 0
        self._meets = False  # whether an expected variant has answered

    def look(self, look: Look) -> Verdict:
        """Add counts, and return the verdict so far."""
        tally = sum(look.tallies, Tally())
        self._lost += tally.lost
        self._meets = self._meets or any(tally.counts.get(name) for name in self._question.split)
        if self._meets and unexpected(self._question.split, tally):
            return Verdict.MISMATCH
        if self._lost > self._question.max_failing * self._question.requests:
            return Verdict.FAILING
        return Verdict.INCONCLUSIVE

    @property
    def least_more(self) -> int:
        """More than there will be: responses of expected variants never end such a run early."""
        return MANY


def running_test(question: Question) -> RunningTest:
    """Return the test that looks at a run while it goes on, for a question."""
    if question.user_requests:
        return UserTest(question)
    if question.test == "fixed":
        return FixedRunningTest(question)
    return FieldTest(question)


def unexpected(split: Split, tally: Tally) -> dict[str, int]:
    """Return the counts of variants that answered, and are to get nothing."""
    return {name: count for name, count in tally.counts.items() if count and split[name] == 0}
