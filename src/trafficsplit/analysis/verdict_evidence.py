"""The evidence for each verdict, from running counts: for match, for mismatch, for failing.

All of it is in natural logarithms, and becomes a verdict at log(1/α) (DESIGN.md 4).
"""

from __future__ import annotations

import math

import numpy as np
from scipy.special import logsumexp

from trafficsplit.analysis.evidence import Edge, Floats, Mixture, edges, log_ratios
from trafficsplit.analysis.question import Question
from trafficsplit.analysis.running_counts import RunningCounts


class EdgeEvidence:
    """The evidence that a share is on this side of an edge, wherever the lost requests belong.

    It is the likelihood ratio of the weight to the edge (DESIGN.md 4, "match"; Wald 1945). Lost
    requests are counted as this variant's or as the others', whichever does more harm.
    """

    def __init__(self, edge: Edge, weight: float) -> None:
        self._edge = edge
        self._own, self._others = log_ratios(weight, edge.share)

    def log_evidence(self, counts: RunningCounts) -> float:
        """Return the logarithm of the evidence."""
        lost = counts.lost
        own = float(counts.by_variant[self._edge.variant])
        if self._edge.above:
            own += lost
        return self._own * own + self._others * (counts.identified + lost - own)

    def least_more(self, counts: RunningCounts, threshold: float) -> float:
        """Return the fewest further responses that can bring the evidence to its threshold."""
        return (threshold - self.log_evidence(counts)) / max(self._own, self._others)


class ZeroBound:
    """The evidence that a variant which is to get nothing gets less than the zero tolerance τ₀.

    That is (1 − τ₀)^−n after n responses without one of its own (DESIGN.md 4, "weight 0"). There is
    none while requests are lost, since one of them may have been its own.
    """

    def __init__(self, zero_tolerance: float) -> None:
        self._step = -math.log1p(-zero_tolerance)  # by each response

    def log_evidence(self, counts: RunningCounts) -> float:
        """Return the logarithm of the evidence."""
        if counts.lost:
            return -math.inf
        return counts.identified * self._step

    def least_more(self, counts: RunningCounts, threshold: float) -> float:
        """Return the fewest further responses that bring the evidence to its threshold."""
        return threshold / self._step - counts.identified


class MatchEvidence:
    """The evidence that every share is within its tolerance: the weakest of all edges'.

    An edge that has passed the threshold once counts as passed, whatever comes later.
    """

    def __init__(self, question: Question) -> None:
        weights = list(question.split.weights.values())
        self._tolerance = question.tolerance
        self._weights = weights
        self._threshold = math.log(1 / question.alpha)
        self._edges = [
            EdgeEvidence(edge, weights[edge.variant]) for edge in edges(weights, question.tolerance)
        ]
        self._passed = [False] * len(self._edges)
        self._zero = None
        if len(weights) == 1 or 0 in weights:
            self._zero = ZeroBound(question.zero_tolerance)

    def look(self, counts: RunningCounts) -> bool:
        """Return whether every edge has passed, now or before, and the zero bound holds now."""
        for number, edge in enumerate(self._edges):
            if not self._passed[number]:
                self._passed[number] = edge.log_evidence(counts) >= self._threshold
        if not all(self._passed):
            return False
        return self._zero is None or self._zero.log_evidence(counts) >= self._threshold

    def log_evidence(self, counts: RunningCounts) -> float:
        """Return the logarithm of the evidence."""
        weakest = math.inf
        for passed, edge in zip(self._passed, self._edges, strict=True):
            evidence = edge.log_evidence(counts)
            if passed:
                evidence = max(evidence, self._threshold)
            weakest = min(weakest, evidence)
        if self._zero is not None:
            weakest = min(weakest, self._zero.log_evidence(counts))
        return weakest

    def log_evidence_by_edge(self, counts: RunningCounts, variant: int) -> dict[str, float]:
        """Return the evidence at each edge of one variant: keys `low`, `high`.

        Empty for a weight of 0 or 1, which has no likelihood ratio.
        """
        weight = self._weights[variant]
        tolerance = self._tolerance
        by_edge: dict[str, float] = {}
        if weight in (0.0, 1.0):
            return by_edge
        for name, share in (("low", weight - tolerance), ("high", weight + tolerance)):
            if 0 < share < 1:
                edge = Edge(variant, share, above=name == "high")
                by_edge[name] = EdgeEvidence(edge, weight).log_evidence(counts)
        return by_edge

    def least_more(self, counts: RunningCounts) -> float:
        """Return the fewest further responses after which `look` may find something new."""
        least = math.inf
        for passed, edge in zip(self._passed, self._edges, strict=True):
            if not passed:
                least = min(least, edge.least_more(counts, self._threshold))
        if self._zero is not None and all(self._passed):
            least = min(least, self._zero.least_more(counts, self._threshold))
        return least


class MismatchEvidence:
    """The evidence that some share is outside its tolerance, in the sum or at a gateway.

    With several gateways it is the mean of two e-processes: that of the sum, and the mean of each
    gateway's (DESIGN.md 4, "several gateways"; Ramdas et al. 2023, section 3.2).
    """

    def __init__(self, question: Question) -> None:
        weights = list(question.split.weights.values())
        self._threshold = math.log(1 / question.alpha_of_mismatch)
        self._mixture = Mixture(len(weights), edges(weights, question.tolerance))
        self._several = question.gateways > 1

    def log_evidence(self, counts: RunningCounts) -> float:
        """Return the logarithm of the evidence."""
        pooled = self._mixture.log_evidence(counts.by_variant)
        if not self._several:
            return pooled
        by_gateway = self.log_evidence_by_gateway(counts)
        mean = logsumexp(by_gateway) - math.log(len(by_gateway))
        return float(np.logaddexp(pooled, mean)) - math.log(2)

    def log_evidence_by_gateway(self, counts: RunningCounts) -> list[float]:
        """Return the evidence at each gateway by itself."""
        return list(map(self._mixture.log_evidence, counts.by_gateway))

    def least_more(self, counts: RunningCounts, most: float) -> float:
        """Return a number of further responses before which the threshold cannot be reached.

        It is no more than `most`. A mean of e-values can only cross the threshold once at least one
        of them has.
        """
        rows: list[Floats] = [counts.by_variant]
        if self._several:
            rows += list(counts.by_gateway)
        least = most
        for row in rows:
            least = min(least, self._mixture.least_more(row, self._threshold, least))
        return least


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
        split = np.array([counts.lost, counts.identified], dtype=float)
        return self._mixture.log_evidence(split) >= self._threshold

    def is_exceeded(self, counts: RunningCounts) -> bool:
        """Return whether more are lost just now, be it by chance."""
        return counts.lost > self._most * (counts.identified + counts.lost)
