"""The test of the share of users: each is one draw, with cookies of its own.

Canaries are often sticky on purpose. Then requests are no independent draws, however many there
are, but users are. A match says that the share of users is as configured, that users stay with
their version, and that the share has not drifted away (DESIGN.md 4).
"""

from __future__ import annotations

import math

import numpy as np

from trafficsplit.analysis.look import Look
from trafficsplit.analysis.mismatch_evidence import FailingEvidence
from trafficsplit.analysis.question import Question
from trafficsplit.analysis.running_counts import RunningCounts
from trafficsplit.analysis.user_drift import is_steady_now, penalty, steady_since
from trafficsplit.analysis.user_evidence import CHANGED, UserEvidence, fewest_dealt
from trafficsplit.analysis.verdict import Verdict
from trafficsplit.analysis.visits import Users

FEWEST_LEAVING = 64  # users that show whether those who change version go one way
LOOK_AFTER = 40  # the users so far, divided by this, are waited for between two looks


class UserTest:
    """Does the gateway split users as configured, and do they stay? Looked at as often as you like.

    P(`match`) ≤ alpha if any variant's true share of users is off by `tolerance` or more, or if a
    user changes version within its requests with a probability of `zero_tolerance` or more.
    P(`mismatch`) ≤ alpha if all shares are within it and users change less often. `users` are all
    that it has been shown, `since` is the block since which their shares are steady.
    """

    pace: float | None = None  # it ends by the number of its users

    def __init__(self, question: Question) -> None:
        self.question = question
        self.evidence = UserEvidence(question)
        self.threshold = math.log(1 / question.alpha)
        self.mismatch_threshold = math.log(1 / question.alpha_of_mismatch)
        self.users = Users()
        self.since = 0
        self.verdict = Verdict.INCONCLUSIVE
        self._requests = RunningCounts(question.split, question.gateways)
        self._failing = FailingEvidence(question)
        self._fewest = fewest_dealt(question)
        # So many have to stay at least, before anything can be a match.
        self._fewest_to_match = -self.threshold / math.log1p(-question.zero_tolerance)
        self._looked_at = 0
        self._reached = np.array([-math.inf])  # the most evidence of each kind for a match, so far

    def look(self, look: Look) -> Verdict:
        """Add what is new, and return the verdict so far."""
        for gateway, tally in enumerate(look.tallies):
            self._requests.add(tally.counts, tally.errors, tally.unidentified, gateway)
        if look.users is not None:
            self.users = look.users
        if self.verdict is Verdict.INCONCLUSIVE:
            self.verdict = self._judge()
        return self.verdict

    def _judge(self) -> Verdict:
        requests = self._requests
        if requests.unexpected:
            return Verdict.MISMATCH
        if self._failing.is_shown(requests):
            return Verdict.FAILING
        users = self.users
        self._looked_at = users.number
        if not users.number or self._failing.is_exceeded(requests):
            return Verdict.INCONCLUSIVE
        if self.is_mismatch:
            return Verdict.MISMATCH
        if self._is_match():
            return Verdict.MATCH
        return Verdict.INCONCLUSIVE

    @property
    def users_leave(self) -> bool:
        """Whether it is certain that more users change version than may."""
        return self.log_change >= self.mismatch_threshold - math.log(CHANGED)

    @property
    def rests_on_change(self) -> bool:
        """Whether more speaks for users that change version than for shares that are off."""
        shares = math.log(1 - CHANGED) + self.evidence.for_deviation(self.users)
        return math.log(CHANGED) + self.log_change >= shares

    @property
    def is_mismatch(self) -> bool:
        """Whether the evidence for a mismatch is there."""
        if self.users_leave:
            return self.users.number >= FEWEST_LEAVING
        if self.users.number < self._fewest:
            return False
        return self.log_mismatch >= self.mismatch_threshold

    def _is_match(self) -> bool:
        users = self.users
        if users.number < self._fewest_to_match:
            return False
        self._reached = np.maximum(self._reached, self.evidence.for_match(users))
        if self._reached.min() < self.threshold:
            return False
        variants = list(self.question.split)
        if not is_steady_now(users, variants):
            return False
        self.since = steady_since(users, variants)
        if not self.since:
            return True
        evidence = self.evidence.for_match(users, self.since)
        return bool(evidence.min() >= self.threshold + penalty(users))

    @property
    def would_match_without_losses(self) -> bool:
        """Whether the users without a lost request are a match by themselves."""
        whole = self.users.without_losses
        return bool(self.evidence.for_match(whole).min() >= self.threshold)

    @property
    def log_change(self) -> float:
        """The logarithm of the evidence that more users change version than may."""
        return self.evidence.for_change(self.users)

    @property
    def log_match(self) -> float:
        """The logarithm of the evidence for a match: that of the weakest of its parts."""
        return float(self.evidence.for_match(self.users).min())

    @property
    def log_mismatch(self) -> float:
        """The logarithm of the evidence for a mismatch."""
        return self.evidence.for_mismatch(self.users)

    @property
    def least_more(self) -> int:
        """A number of further responses after which it is worth to look again."""
        if self.verdict is not Verdict.INCONCLUSIVE:
            return 0
        users = max(self._looked_at // LOOK_AFTER, 1)
        return users * max(self.question.user_requests, 1)
