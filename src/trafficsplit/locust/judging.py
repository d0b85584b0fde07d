"""The judge of a running load: it looks at counts in order of sending until it knows the answer."""

from __future__ import annotations

import logging
from collections.abc import Callable

from trafficsplit.analysis.causes.inquiry import Inquiry
from trafficsplit.analysis.look import Look
from trafficsplit.analysis.meeting import Meeting
from trafficsplit.analysis.question import Question
from trafficsplit.analysis.run import Ending
from trafficsplit.analysis.running import RunningTest, running_test
from trafficsplit.analysis.sequential import MANY
from trafficsplit.analysis.verdict import Verdict
from trafficsplit.load.counting import Counter

log = logging.getLogger(__name__)


class Judging:
    """Judges the counts of a counter, and says when no more requests are needed.

    `verdict` is the one that was reached. With an `inquiry` a run goes on after a mismatch, or a
    failing gateway, until the cause is known; that does not change the verdict. `on_pace` is called
    with the requests a second that are enough from now on, None where they are to come as before.
    """

    def __init__(
        self,
        question: Question,
        counter: Counter,
        inquiry: Inquiry | None = None,
        on_pace: Callable[[float | None], None] = lambda _: None,
    ) -> None:
        self.question = question
        self.inquiry = inquiry
        self.test: RunningTest = running_test(question)
        self.verdict = Verdict.INCONCLUSIVE
        self._counter = counter
        self._on_pace = on_pace
        self._pace: float | None = None
        self._meeting = Meeting(question.split)
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
        self._meeting.look(look.tallies)
        if self._meeting.is_hopeless:
            log.info("the names in the responses are none of those that are expected")
            return 0
        self._keep_pace(self.test.pace)
        left = self._left
        if left <= 0:
            return 0
        if self.verdict is Verdict.INCONCLUSIVE:
            return min(self.test.least_more, left)
        log.info("the verdict is known after %s requests: %s", counter.sent, self.verdict)
        if self.inquiry is None or self.verdict is Verdict.MATCH:
            return 0
        self.inquiry.begin(look)
        return min(self.inquiry.more(self.verdict, look), left)

    def _keep_pace(self, pace: float | None) -> None:
        if pace != self._pace:
            self._pace = pace
            self._on_pace(pace)

    @property
    def ending(self) -> Ending:
        """What was decided while the run went on, and after which requests."""
        decided = None if self.verdict is Verdict.INCONCLUSIVE else self.verdict
        if self.inquiry is None:
            return Ending(decided)
        return Ending(
            decided,
            decided_after=self.inquiry.after,
            sent_then=self.inquiry.sent,
            lost_then=self.inquiry.lost,
        )

    @property
    def _left(self) -> int:
        """The requests that may still be sent, of a master's counter; its workers share them."""
        counter = self._counter
        if counter.ledger.budget is not None:  # it ends by itself
            return MANY
        return max(self.question.requests - counter.sent, 0)
