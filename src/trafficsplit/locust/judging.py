"""The judge of a running load: it looks at counts in order of sending until it knows the answer."""

from __future__ import annotations

import logging

from trafficsplit.analysis.causes.inquiry import Inquiry
from trafficsplit.analysis.independence import telling_pairs
from trafficsplit.analysis.look import Look
from trafficsplit.analysis.question import Question
from trafficsplit.analysis.running import RunningTest, running_test, unexpected
from trafficsplit.analysis.sequential import MANY
from trafficsplit.analysis.verdict import Verdict
from trafficsplit.load.counting import Counter

TELLING = 40  # requests that show whether connections are used more than once
REUSED = 0.1  # of them that are not the first of their connection, where they are

log = logging.getLogger(__name__)


class Judging:
    """Judges the counts of a counter, and says when no more requests are needed.

    `verdict` is the one that was reached. `new_connections` says that each request has a connection
    of its own. With an `inquiry` a run goes on after a mismatch, or a failing gateway, until the
    cause is known; that does not change the verdict.
    """

    def __init__(
        self,
        question: Question,
        counter: Counter,
        *,
        new_connections: bool,
        inquiry: Inquiry | None = None,
    ) -> None:
        self.question = question
        self.inquiry = inquiry
        self.test: RunningTest = running_test(question)
        self.verdict = Verdict.INCONCLUSIVE
        self._counter = counter
        self._new_connections = new_connections
        counter.looks.judge_by(self.look)

    def look(self, look: Look) -> int:
        """Judge what is new; return after how many responses to look again.

        0 ends the run: the answer is known, or the budget is used up.
        """
        counter = self._counter
        if self.inquiry:
            self.inquiry.add(look)
            if self.inquiry.after:
                return min(self.inquiry.more(self.verdict, look), self._left)
        self.verdict = self.test.look(look)
        left = self._left
        if left <= 0:
            return 0
        if self.verdict is Verdict.INCONCLUSIVE:
            return min(self.test.least_more, left)
        pairs = self._missing_pairs()
        if pairs:
            return min(pairs, left)
        log.info("the verdict is known after %s requests: %s", counter.sent, self.verdict)
        if self.inquiry is None or self.verdict is Verdict.MATCH:
            return 0
        self.inquiry.begin(look)
        return min(self.inquiry.more(self.verdict, look), left)

    @property
    def _left(self) -> int:
        """The requests that may still be sent, of a master's counter; its workers share them."""
        counter = self._counter
        if counter.ledger.budget is not None:  # it ends by itself
            return MANY
        return max(self.question.requests - counter.sent, 0)

    def _missing_pairs(self) -> int:
        """Return the responses until it is known if the gateway keeps a connection on one variant.

        There is no verdict where it does. A quick verdict comes before connections were used twice,
        and then some more requests are needed to know; 0: none are, or the gateway closes each
        connection, which shows in how few are used twice.
        """
        if self.verdict is Verdict.FAILING or self._new_connections:
            return 0
        if self.question.user_requests:  # it is to keep its users
            return 0
        tally = self._counter.counted_tally
        if unexpected(self.question.split, tally):
            return 0
        pairs = self._counter.sums.pairs_within_connections
        if pairs < REUSED * tally.requests:
            return max(TELLING - tally.requests, 0)
        return max(telling_pairs(tally.counts) - pairs, 0)
