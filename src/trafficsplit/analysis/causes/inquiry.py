"""A run that goes on after its verdict, until its cause is known.

A mismatch is often known after some dozens of requests, which fit several causes. The requests that
follow count for the diagnosis, and not for the verdict. There are `MOST_REQUESTS` of them at most,
in `MOST_SECONDS` at most, and a few hundred as a rule.
"""

from __future__ import annotations

from trafficsplit.analysis.causes.candidates import Facts, weigh_causes
from trafficsplit.analysis.causes.lost_to import Lost, lost_to
from trafficsplit.analysis.causes.signs import is_as_configured
from trafficsplit.analysis.causes.weighing import SUPPORT, fits
from trafficsplit.analysis.look import Look
from trafficsplit.analysis.tally import Tally
from trafficsplit.analysis.verdict import Verdict

MOST_REQUESTS = 4000
MOST_SECONDS = 5.0
FEWEST_REQUESTS = 200  # before which it is never given up that a cause will fit
# How many requests it goes on between two looks: 50, or an eighth of those before.
BETWEEN_LOOKS = 50
PART_BETWEEN_LOOKS = 8
# The last answers are not counted yet when a run is ended, and they may speak against a cause: so
# many times more support is waited for, and more where each answer says more.
MARGIN = 2.0
COARSE_MARGIN = 10.0


class Inquiry:
    """The search for the cause of a mismatch, or of a failing gateway, while requests go on.

    `after` is the number of requests that had ended when the verdict was reached, 0 before, `sent`
    that of those that had been sent, and `lost` that of those that were lost.
    """

    def __init__(self, facts: Facts) -> None:
        self.after = 0
        self.sent = 0
        self.lost = 0
        self._facts = facts
        self._tally = Tally()
        self._gateways: list[Tally] = []
        self._decided_at = 0.0
        self._next = 0  # requests after the verdict, at which it is looked for a cause again

    def add(self, look: Look) -> None:
        """Add what is new."""
        self._tally = sum(look.tallies, self._tally)
        before = self._gateways or [Tally()] * len(look.tallies)
        self._gateways = [one + new for one, new in zip(before, look.tallies, strict=True)]

    def begin(self, look: Look) -> None:
        """Note that the verdict has just been reached."""
        self.after = self._tally.requests
        self.sent = self.after + look.waiting
        self.lost = self._tally.lost
        self._decided_at = look.elapsed

    def more(self, verdict: Verdict, look: Look) -> int:
        """Return after how many further requests to look again, 0 where no more are needed."""
        done = self._tally.requests - self.after
        left = MOST_REQUESTS - done
        if left <= 0 or look.elapsed - self._decided_at >= MOST_SECONDS:
            return 0
        if done >= self._next:
            if self._is_known(verdict, done):
                return 0
            self._next = done + max(BETWEEN_LOOKS, done // PART_BETWEEN_LOOKS)
        return min(self._next - done, left)

    def _is_known(self, verdict: Verdict, done: int) -> bool:
        """Return whether a cause is found, or none is left to be found."""
        tally = self._tally
        if verdict is Verdict.FAILING:
            return self._losses_are_known()
        if len(self._gateways) > 1 and not self._gateways_are_known():
            return False
        responses = max(self._facts.question.user_requests, 1)  # of a user, which is a draw
        counts = {name: count // responses for name, count in tally.counts.items()}
        weighing = weigh_causes(self._facts, counts, MARGIN * SUPPORT)
        if weighing.found is not None or self._is_of_some_gateways():
            return True
        return not weighing.fitting and done >= FEWEST_REQUESTS

    def _losses_are_known(self) -> bool:
        support = COARSE_MARGIN * SUPPORT
        return lost_to(self._facts.split, Lost(self._tally), support) is not None

    def _gateways_are_known(self) -> bool:
        """Return whether each of several gateways is known to be fine, or to be off."""
        weights = self._facts.split.weights
        return all(
            self._is_fine(tally) or not fits(tally.counts, weights) for tally in self._gateways
        )

    def _is_of_some_gateways(self) -> bool:
        """Return whether some gateways are as configured; the others are not, then."""
        return len(self._gateways) > 1 and any(map(self._is_fine, self._gateways))

    def _is_fine(self, tally: Tally) -> bool:
        return is_as_configured(tally.counts, self._facts.split, COARSE_MARGIN * SUPPORT)
