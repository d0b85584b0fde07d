"""The judge of a run that goes on: shown counts in order of sending, until the answer is known."""

from __future__ import annotations

from collections.abc import Sequence

from trafficsplit.analysis.independence import telling_pairs
from trafficsplit.analysis.judge import RunningTest, running_test, unexpected
from trafficsplit.analysis.question import Question
from trafficsplit.analysis.sequential import MANY
from trafficsplit.analysis.tally import Tally
from trafficsplit.analysis.verdict import Verdict
from trafficsplit.load.counting import Counter


class Judging:
    """Looks at a counter's counts, and says when no more requests are needed.

    `new_connections` says that each request has a connection of its own.
    """

    def __init__(self, question: Question, counter: Counter, *, new_connections: bool) -> None:
        self.question = question
        self.test: RunningTest = running_test(question)
        self.verdict = Verdict.INCONCLUSIVE
        self._counter = counter
        self._new_connections = new_connections
        counter.looks.judge_by(self.look)

    def look(self, batch: Sequence[Tally]) -> int:
        """Show the judge a batch; return 0 when no more requests are needed, or may be sent."""
        counter = self._counter
        self.verdict = self.test.look(batch)
        left = MANY
        if counter.ledger.budget is None:  # a master's: its workers have shares of the budget
            left = self.question.requests - counter.sent
        if left <= 0:
            return 0
        if self.verdict is Verdict.INCONCLUSIVE:
            return min(self.test.least_more, left)
        return 0 if self._is_telling() else 1

    def _is_telling(self) -> bool:
        """Return whether it is known if the gateway keeps connections on one variant.

        Quick verdicts come before connections were used twice; a few more requests tell, and where
        the gateway does keep them there is no verdict.
        """
        if self.verdict is Verdict.FAILING or self._new_connections:
            return True
        tally = self._counter.counted_tally
        if unexpected(self.question.split, tally):
            return True
        return self._counter.sums.pairs_within_connections >= telling_pairs(tally.counts)
