"""The evidence for a match: that every share of every gateway is within its tolerance.

It is in natural logarithms, and becomes a verdict at log(1/α) (DESIGN.md 4, "match").
"""

from __future__ import annotations

import math

import numpy as np

from trafficsplit.analysis.evidence import Edge, Floats, edges, log_ratios, log_sum
from trafficsplit.analysis.question import Question
from trafficsplit.analysis.running_counts import RunningCounts
from trafficsplit.analysis.special import betaincc

# The points inside the band: most of the mass is on the weight, the rest is spread over points at
# these fractions of the tolerance on either side, so that a share past the middle between weight
# and edge is found to be inside, too.
ON_WEIGHT = 0.8
LEAST_PROBABILITY = 1e-300
SPREAD = (-0.85, -0.6, -0.3, 0.3, 0.6, 0.85)


class EdgeEvidence:
    """The evidence that shares are on this side of their edges, wherever unknown requests belong.

    For an edge e it is a mixture of likelihood ratios of points p inside the band to e (DESIGN.md
    4, "match"; Wald 1945; Robbins 1970). Unknown requests are counted as the edge's variant's or as
    the others', whichever does more harm.
    """

    def __init__(self, band: list[Edge], weights: list[float], tolerance: float) -> None:
        self._variants = np.array([edge.variant for edge in band], dtype=int)
        self._above = np.array([edge.above for edge in band], dtype=float)
        mass = [ON_WEIGHT] + [(1 - ON_WEIGHT) / len(SPREAD)] * len(SPREAD)
        self._log_mass = np.log(mass)
        ratios = []
        for edge in band:
            weight = weights[edge.variant]
            points = [weight, *(weight + part * tolerance for part in SPREAD)]
            ratios.append([log_ratios(point, edge.share) for point in points])
        # edges × points: what a response of the variant, and one of another, adds
        table = np.array(ratios).reshape(len(band), len(mass), 2)
        self._own = table[:, :, 0]
        self._others = table[:, :, 1]
        self._steps = table.max(axis=(1, 2))  # the most that one response can add

    def _terms(self, counts: Floats, unknown: Floats) -> Floats:
        own = counts[:, self._variants] + unknown[:, None] * self._above
        others = (counts.sum(axis=1) + unknown)[:, None] - own
        terms: Floats = own[:, :, None] * self._own + others[:, :, None] * self._others
        terms += self._log_mass
        return terms

    def log_evidence(self, counts: Floats, unknown: Floats) -> Floats:
        """Return the logarithm of the evidence, rows × edges, of rows × variants."""
        return log_sum(self._terms(counts, unknown))

    def least_more(self, missing: Floats) -> Floats:
        """Return the fewest responses that can add this much to each edge's evidence."""
        needed: Floats = missing / self._steps
        return needed


class ZeroBound:
    """The evidence that a variant which is to get nothing gets less than the zero tolerance τ₀.

    Lost requests may have been its own: it is 1 / P(as many of its own as are lost, or fewer, at a
    share of τ₀), which is (1 − τ₀)^−n after n responses if none is lost (DESIGN.md 4, "weight 0";
    Clopper & Pearson 1934).
    """

    def __init__(self, zero_tolerance: float) -> None:
        self._zero_tolerance = zero_tolerance
        self._step = -math.log1p(-zero_tolerance)  # by each response, at most

    def log_evidence(self, identified: float, unknown: float) -> float:
        """Return the logarithm of the evidence."""
        if not unknown:
            return identified * self._step
        # The probability of at most k of n is 1 − I_p(k + 1, n − k).
        probability = float(betaincc(unknown + 1, identified, self._zero_tolerance))
        return -math.log(max(probability, LEAST_PROBABILITY))

    def least_more(self, identified: float, unknown: float, threshold: float) -> float:
        """Return a number of further responses before which the threshold cannot be reached."""
        return (threshold - self.log_evidence(identified, unknown)) / self._step


class MatchEvidence:
    """The evidence that every share of each gateway is within its tolerance: the weakest edge's.

    The best that each edge of each gateway has reached stands, whatever comes later: all need to
    have passed the threshold at some time, and not at once.
    """

    def __init__(self, question: Question) -> None:
        self._weights = list(question.split.weights.values())
        self._tolerance = question.tolerance
        self._threshold = math.log(1 / question.alpha)
        band = edges(self._weights, question.tolerance)
        self._edges = EdgeEvidence(band, self._weights, question.tolerance)
        self._best: Floats = np.full((question.gateways, len(band)), -math.inf)
        self._now: Floats = np.zeros_like(self._best)  # the evidence in no responses
        self._zero = None
        if len(self._weights) == 1 or 0 in self._weights:
            self._zero = ZeroBound(question.zero_tolerance)

    def look(self, counts: RunningCounts, scale: float = 1.0) -> bool:
        """Return whether every edge has passed, now or before, and the zero bound holds now.

        `scale` is by how many times more evidence is needed, where draws are not independent.
        """
        self._now = self._log_edges(counts)
        self._best = np.maximum(self._best, self._now)
        if not (self._best >= self._threshold * scale).all():
            return False
        return self._log_zero(counts) >= self._threshold * scale

    def _log_edges(self, counts: RunningCounts) -> Floats:
        return self._edges.log_evidence(counts.by_gateway, counts.unknown_by_gateway)

    def _log_zero(self, counts: RunningCounts) -> float:
        """Return the evidence for weights of 0 at the gateway that has least of it."""
        if self._zero is None:
            return math.inf
        identified = counts.by_gateway.sum(axis=1).tolist()
        unknown = counts.unknown_by_gateway.tolist()
        return min(map(self._zero.log_evidence, identified, unknown))

    def log_evidence(self, counts: RunningCounts) -> float:
        """Return the logarithm of the evidence."""
        reached = np.where(self._best >= self._threshold, self._best, self._log_edges(counts))
        weakest = min(reached.min(initial=math.inf), self._log_zero(counts))
        return float(weakest)

    def log_evidence_by_edge(self, counts: RunningCounts, variant: int) -> dict[str, float]:
        """Return the evidence at each edge of one variant, all gateways together: `low`, `high`.

        Empty for a weight of 0 or 1, which has no likelihood ratio.
        """
        weight = self._weights[variant]
        if weight in (0.0, 1.0):
            return {}
        band = [
            Edge(variant, weight - self._tolerance, above=False),
            Edge(variant, weight + self._tolerance, above=True),
        ]
        evidence = EdgeEvidence(band, self._weights, self._tolerance)
        unknown = np.array([counts.unknown])
        low, high = evidence.log_evidence(counts.by_variant[None, :], unknown)[0].tolist()
        return {"low": low, "high": high}

    def least_more(self, counts: RunningCounts, scale: float = 1.0) -> float:
        """Return the fewest further responses after which `look` may find something new.

        They come after those that it has looked at.
        """
        least = math.inf
        threshold = self._threshold * scale
        missing = self._best < threshold
        if missing.any():
            needed = self._edges.least_more(threshold - self._now)
            least = float(needed[missing].min())
        elif self._zero is not None:
            identified = counts.by_gateway.sum(axis=1).tolist()
            for row, lost in zip(identified, counts.unknown_by_gateway.tolist(), strict=True):
                least = min(least, max(self._zero.least_more(row, lost, threshold), 1.0))
        return least
