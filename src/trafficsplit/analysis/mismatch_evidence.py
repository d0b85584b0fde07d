"""The evidence for a mismatch and for failing, in natural logarithms (DESIGN.md 4)."""

from __future__ import annotations

import math

import numpy as np

from trafficsplit.analysis.evidence import Edge, Floats, Mixture, edges, log_sum
from trafficsplit.analysis.question import Question
from trafficsplit.analysis.running_counts import RunningCounts
from trafficsplit.analysis.sides import mismatch_threshold

# Evidence is started anew at later times, so that a share that leaves its band after a while is
# found: the first time after so many responses, then at each of these multiples.
FIRST_RESTART = 500
NEXT_RESTART = 1.25
MOST_RESTARTS = 64
# How long evidence that has started later may wait for a look: responses, and a part of all so far.
SHORTEST_WAIT = 200.0
LONGEST_WAIT = 0.05
RESTARTS_MASS = 0.1  # of all evidence, on the later starts together


class MismatchEvidence:
    """The evidence that some share is outside its tolerance, in the sum or at a gateway.

    With several gateways it is the mean of two e-processes: that of the sum, and the mean of each
    gateway's (DESIGN.md 4, "several gateways"; Ramdas et al. 2023, section 3.2). It is a mean over
    starting times as well: evidence that starts later is 1 until it starts, so that the mean with
    weights that sum to 1 is an e-process, too (DESIGN.md 4, "A share that changes").
    """

    def __init__(self, question: Question) -> None:
        weights = list(question.split.weights.values())
        band = edges(weights, question.tolerance)
        self._mixture = Mixture(len(weights), band, question.likely_shares)
        self.threshold = mismatch_threshold(question)
        self._several = question.gateways > 1
        rows = 1
        self._log_rows = np.zeros(1)
        if self._several:
            rows += question.gateways
            self._log_rows = np.full(rows, math.log(0.5 / question.gateways))
            self._log_rows[0] = math.log(0.5)
        # starts × rows × variants, and starts × rows: what had been counted when each began
        self._begun: Floats = np.zeros((1, rows, len(weights)))
        self._begun_unknown: Floats = np.zeros((1, rows))
        self._next = float(FIRST_RESTART)

    def _rows(self, counts: RunningCounts) -> tuple[Floats, Floats]:
        """Return the counts of the sum and of each gateway, and their unknown requests."""
        if not self._several:
            return counts.by_variant[None, :], np.array([counts.unknown])
        by_gateway = counts.unknown_by_gateway
        return (
            np.vstack([counts.by_variant, counts.by_gateway]),
            np.concatenate([[by_gateway.sum()], by_gateway]),
        )

    def begin_when_due(self, counts: RunningCounts) -> None:
        """Start evidence anew, if it is time."""
        if counts.identified < self._next or len(self._begun) > MOST_RESTARTS:
            return
        self._next = max(self._next, counts.identified) * NEXT_RESTART
        rows, unknown = self._rows(counts)
        self._begun = np.concatenate([self._begun, rows[None]])
        self._begun_unknown = np.concatenate([self._begun_unknown, unknown[None]])

    @property
    def _log_starts(self) -> Floats:
        later = len(self._begun) - 1
        logs = np.full(later + 1, math.log(RESTARTS_MASS / MOST_RESTARTS))
        logs[0] = math.log(1 - RESTARTS_MASS)
        return logs

    def log_evidence_in_blocks(self, counts: RunningCounts, block: int) -> float:
        """Return the logarithm of the evidence where a gateway deals its split in blocks.

        The rest of a block may be any variant's, and a start within one would see a part of it
        alone: so there is evidence from the start only.
        """
        rows, unknown = self._rows(counts)
        each = self._mixture.log_evidence(rows, unknown + block)
        return float(log_sum(each + self._log_rows))

    def log_evidence(self, counts: RunningCounts, *, harmed: bool = True) -> float:
        """Return the logarithm of the evidence.

        Not `harmed`: as if lost requests were lost whatever their variant, and not the most harmful
        ones.
        """
        rows, unknown = self._rows(counts)
        since = rows - self._begun
        since_unknown = np.maximum(unknown - self._begun_unknown, 0.0)
        if not harmed:
            since_unknown = np.zeros_like(since_unknown)
        each = self._mixture.log_evidence(since, since_unknown)
        by_start = log_sum(each + self._log_rows) + self._log_starts
        waiting = RESTARTS_MASS * (1 - (len(self._begun) - 1) / MOST_RESTARTS)
        total = float(log_sum(by_start))
        if waiting <= 0:
            return total
        return float(np.logaddexp(total, math.log(waiting)))

    def log_evidence_by_gateway(self, counts: RunningCounts) -> list[float]:
        """Return the evidence at each gateway by itself, from the start on."""
        evidence: list[float] = self._mixture.log_evidence(
            counts.by_gateway, counts.unknown_by_gateway
        ).tolist()
        return evidence

    def least_more(self, counts: RunningCounts, most: float, scale: float = 1.0) -> float:
        """Return a number of further responses before which looking again is in vain.

        It is no more than `most`. A mean of e-values can only cross the threshold once at least one
        of them has. Evidence that has started later could at any time, by some responses in a row:
        it is looked at now and then, which makes it later and no less sure.
        """
        rows, unknown = self._rows(counts)
        needed = self._mixture.least_more(rows, self.threshold * scale, most, unknown)
        sometimes = max(SHORTEST_WAIT, counts.identified * LONGEST_WAIT)
        return min(most, needed, sometimes)


class FailingEvidence:
    """The evidence that more requests are lost than `max_failing` allows."""

    def __init__(self, question: Question) -> None:
        self._most = question.max_failing
        self._threshold = math.log(1 / question.alpha_of_mismatch)
        band = [Edge(0, self._most, above=True)] if self._most > 0 else []
        self._mixture = Mixture(2, band)

    def is_shown(self, counts: RunningCounts) -> bool:
        """Return whether it is certain, by the mixture against the edge."""
        if not counts.lost:
            return False
        if self._most == 0:
            return True
        split = np.array([counts.lost, counts.identified + counts.waiting], dtype=float)
        return float(self._mixture.log_evidence(split)) >= self._threshold

    def is_exceeded(self, counts: RunningCounts) -> bool:
        """Return whether more are lost just now, be it by chance."""
        return counts.lost > self._most * (counts.identified + counts.waiting + counts.lost)
