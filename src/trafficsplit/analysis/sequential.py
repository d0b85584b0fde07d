"""The sequential test: looked at as often as you like, it stops as soon as the answer is known."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from trafficsplit.analysis.evidence import (
    CONCENTRATIONS,
    confidence_interval,
    log_evidence_against_exact,
)
from trafficsplit.analysis.match_evidence import MatchEvidence
from trafficsplit.analysis.mismatch_evidence import FailingEvidence, MismatchEvidence
from trafficsplit.analysis.question import Question
from trafficsplit.analysis.running_counts import RunningCounts
from trafficsplit.analysis.split import Split
from trafficsplit.analysis.tally import Tally
from trafficsplit.analysis.verdict import Verdict
from trafficsplit.errors import InputError

WORTH_A_LOOK = 240  # of all responses one part that is new is worth another look
MANY = 2**62  # further responses: more than there will ever be


class SequentialTest:
    """Does the gateway split as configured, with stated error rates? (DESIGN.md 4)

    P(`match`) ≤ alpha if any variant's true share is off by `tolerance` or more, and P(`mismatch`)
    ≤ alpha if every share is within it, however often the test is looked at. A verdict stands once
    it is reached. `tolerance`, `zero_tolerance` (for variants of weight 0 or 1), `alpha` and
    `max_failing` are fractions. The state is the tally: `update` with another test's tally merges
    the two. `scale` is by how many times more evidence is needed, where draws are not independent,
    and `block` the responses of the blocks in which the gateway deals its split, 0 if it does not.

    With several `gateways`, numbered from 0, both verdicts are about each of them: one that is
    stale shows by itself long before it shows in the sum.

    `failing` is the verdict where more than `max_failing` of the requests are lost, and where the
    shares are off unless the lost requests are all one variant's: either way it is not as
    configured.

    Raises InputError for values out of their range.
    """

    def __init__(
        self,
        split: Split,
        tolerance: float | None = None,
        alpha: float = 0.01,
        zero_tolerance: float = 0.001,
        max_failing: float = 0.01,
        gateways: int = 1,
    ) -> None:
        if tolerance is None:
            tolerance = split.default_tolerance
        self._begin(
            Question(
                split, tolerance, zero_tolerance, alpha, max_failing=max_failing, gateways=gateways
            )
        )

    @classmethod
    def of(cls, question: Question) -> SequentialTest:
        """Return the test that answers a question."""
        test = cls.__new__(cls)
        test._begin(question)
        return test

    def _begin(self, question: Question) -> None:
        self.question = question
        self._counts = RunningCounts(question.split, question.gateways)
        self._verdict = Verdict.INCONCLUSIVE
        self._match = MatchEvidence(question)
        self._mismatch = MismatchEvidence(question)
        self._failing = FailingEvidence(question)
        self.scale = 1.0
        self.block = 0
        self._threshold = math.log(1 / question.alpha)

    def update(
        self,
        counts: Mapping[str, int],
        errors: int = 0,
        unidentified: int = 0,
        gateway: int = 0,
    ) -> Verdict:
        """Add the counts since the last update, and return the verdict so far.

        Raises InputError, and adds nothing, for counts that are negative or not whole.
        """
        self._counts.add(counts, errors, unidentified, gateway)
        return self._verdict_so_far()

    def look(self, batch: Sequence[Tally], late: Sequence[int] = ()) -> Verdict:
        """Add the counts since the last look, a tally for each gateway; return the verdict so far.

        `late` are the requests of each gateway that are under way for longer than is usual. Raises
        InputError for more tallies than there are gateways.
        """
        self.add(batch, late)
        return self._verdict_so_far()

    def add(self, batch: Sequence[Tally], late: Sequence[int] = (), waiting: int = 0) -> None:
        """Add counts as `look` does, without a verdict.

        `waiting` are requests that were sent and are in no tally yet.
        """
        self._counts.waiting = waiting
        for gateway, tally in enumerate(batch):
            self._counts.add(tally.counts, tally.errors, tally.unidentified, gateway)
        self._counts.late[: len(late)] = late

    def _verdict_so_far(self) -> Verdict:
        if self._verdict is Verdict.INCONCLUSIVE:
            self._verdict = self.judge_now()
        return self._verdict

    def judge_now(self) -> Verdict:
        """Return the verdict that the counts so far allow; it does not stand by that."""
        counts = self._counts
        if counts.unexpected:
            return Verdict.MISMATCH
        if self._failing.is_shown(counts):
            return Verdict.FAILING
        if self._failing.is_exceeded(counts):
            return Verdict.INCONCLUSIVE  # just now, too much is missing to judge by the rest
        return self._judge_shares()

    def _judge_shares(self) -> Verdict:
        if self._is_mismatch():
            return Verdict.MISMATCH
        if self._is_saved_by_losses():
            return Verdict.FAILING
        if self._match.look(self._counts, self.scale):
            return Verdict.MATCH
        self._mismatch.begin_when_due(self._counts)
        return Verdict.INCONCLUSIVE

    def _is_mismatch(self) -> bool:
        if self.block:
            evidence = self._mismatch.log_evidence_in_blocks(self._counts, self.block)
        else:
            evidence = self._mismatch.log_evidence(self._counts)
        return evidence >= self._mismatch.threshold * self.scale

    def _is_saved_by_losses(self) -> bool:
        """Return whether the shares are off, unless the lost requests are one variant's."""
        if not self._counts.lost:
            return False
        if self._mismatch.log_evidence(self._counts) > 0:
            return False  # more requests will show whether it is a mismatch
        evidence = self._mismatch.log_evidence(self._counts, harmed=False)
        return evidence >= self._mismatch.threshold * self.scale

    @property
    def is_surprised(self) -> bool:
        """Whether a variant has answered that is to get nothing."""
        return self._counts.unexpected

    @property
    def verdict(self) -> Verdict:
        """The verdict; it stands once it is not `inconclusive`."""
        return self._verdict

    @property
    def least_more(self) -> int:
        """A number of further responses before which looking again is hardly worth while.

        It is at most a 240th of the responses so far more than those without which the verdict
        cannot change, but for a change of the split in mid-run, a lost request, or an answer of a
        variant that is to get nothing. 0: the verdict is known.
        """
        if self._verdict is not Verdict.INCONCLUSIVE:
            return 0
        least = self._match.least_more(self._counts, self.scale)
        least = self._mismatch.least_more(self._counts, least, self.scale)
        if math.isinf(least):
            return MANY
        return max(math.ceil(least - 1e-6), self._counts.identified // WORTH_A_LOOK, 1)

    @property
    def tally(self) -> Tally:
        """All counts so far."""
        return self._counts.tally

    @property
    def threshold(self) -> float:
        """log(1/α), at which evidence becomes a match."""
        return self._threshold

    @property
    def mismatch_threshold(self) -> float:
        """The logarithm at which evidence becomes a mismatch: at most 1/α of a mismatch."""
        return self._mismatch.threshold

    @property
    def log_mismatch(self) -> float:
        """The logarithm of the evidence that some share is outside its tolerance.

        Infinite once a variant has answered that is to get nothing.
        """
        if self._counts.unexpected:
            return math.inf
        return self._mismatch.log_evidence(self._counts)

    @property
    def log_mismatch_by_gateway(self) -> list[float]:
        """The logarithm of the same evidence of each gateway by itself."""
        return self._mismatch.log_evidence_by_gateway(self._counts)

    @property
    def log_match(self) -> float:
        """The logarithm of the evidence that all shares are within tolerance: the weakest edge's.

        An edge that has passed before counts as passed. Infinite, and negative, once a variant has
        answered that is to get nothing.
        """
        if self._counts.unexpected:
            return -math.inf
        return self._match.log_evidence(self._counts)

    def log_evidence(self, variant: str) -> dict[str, float]:
        """Return the evidence against a variant's share being at or beyond each edge.

        Keys are `low` and `high`. Raises InputError for a variant that is not configured.
        """
        index = _index_of(variant, list(self.question.split))
        return self._match.log_evidence_by_edge(self._counts, index)

    def log_exact(self, concentrations: Sequence[float] = CONCENTRATIONS) -> float:
        """Return the logarithm of the evidence against "exactly as configured"."""
        if self._counts.unconfigured:
            return math.inf
        weights = np.array(list(self.question.split.weights.values()))
        return log_evidence_against_exact(self._counts.by_variant, weights, concentrations)

    def confidence(
        self, variant: str, concentrations: Sequence[float] = CONCENTRATIONS
    ) -> tuple[float, float]:
        """Return the 1 − alpha confidence sequence of a variant's share, valid at any time.

        Raises InputError for a variant that is neither configured nor was seen.
        """
        others = list(self._counts.unconfigured.values())
        counts = np.append(self._counts.by_variant, others)
        weights = np.append(list(self.question.split.weights.values()), np.zeros(len(others)))
        index = _index_of(variant, self._counts.variants)
        return confidence_interval(counts, weights, index, self.question.alpha, concentrations)


def _index_of(variant: str, known: Sequence[str]) -> int:
    if variant not in known:
        raise InputError(f"there is no variant {variant}: known are {', '.join(known)}")
    return known.index(variant)
