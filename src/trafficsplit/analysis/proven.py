"""Proven within: the smallest tolerance that the counts prove.

It may be asked for after the counts were seen, and at any time: that it is ever smaller than the
true deviation has a probability of at most α. That holds since there is one evidence for all
tolerances δ at once, which only grows with δ. If δ is claimed and the true deviation Δ is larger,
then the evidence against "off by Δ" has reached 1/α too, and by Ville's inequality it does so with
a probability of at most α (Koobs & Koning 2026, "Equivalence testing with data-dependent and
post-hoc equivalence margins", arXiv 2603.16213).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from trafficsplit.analysis.dependence import dependence
from trafficsplit.analysis.evidence import log_marginal
from trafficsplit.analysis.question import Question
from trafficsplit.analysis.run import Gateway, Run
from trafficsplit.analysis.special import xlogy
from trafficsplit.analysis.split import Split

# How much of the evidence is a bet on the weight itself; the rest is the mixture around it. Where
# the share is as configured, this proves a tolerance that is 2 to 18 % smaller than the mixture
# alone does, whose confidence sequence is in the report; elsewhere at most 6 % larger.
ON_THE_WEIGHT = 0.8
BISECTIONS = 50


def proven_within(
    counts: Mapping[str, int], split: Split, alpha: float, *, lost: int = 0, scale: float = 1.0
) -> float | None:
    """Return the smallest deviation that is shown to be larger than that of any variant's share.

    It is a fraction; None without counts. `lost` responses may have been any variant's, and each
    end holds for the worst case. `scale` is how many times more evidence is needed, for draws that
    are not independent. A variant that is not in `split` has weight 0.
    """
    n = sum(counts.values())
    if not n:
        return None
    variants = [*split, *(name for name in counts if name not in split)]
    if len(variants) == 2:  # they mirror each other
        variants = variants[:1]
    threshold = scale * math.log(1 / alpha)
    deviations = []
    for name in variants:
        own = counts.get(name, 0)
        weight = split[name]
        high = _Evidence(own + lost, n + lost, weight).high_end(threshold)
        low = _Evidence(own, n + lost, weight).low_end(threshold)
        deviations += [high - weight, weight - low]
    return max(deviations)


def proven_by(run: Run) -> float | None:
    """Return what a run proves, as `proven_within`: at each of its gateways, if there are several.

    All of these have to agree, so that no correction is due. More evidence is needed where
    responses depend on one another.
    """
    found = [_proven_by(gateway, run.question) for gateway in run.gateways]
    deviations = [deviation for deviation in found if deviation is not None]
    if len(deviations) < len(found):
        return None
    return max(deviations, default=None)


def _proven_by(gateway: Gateway, question: Question) -> float | None:
    tally = gateway.tally
    scale = dependence(gateway.order).scale
    return proven_within(tally.counts, question.split, question.alpha, lost=tally.lost, scale=scale)


@dataclass(frozen=True)
class _Evidence:
    """The evidence of `own` responses of `n` about a share that is configured as `weight`."""

    own: int
    n: int
    weight: float

    @property
    def _log_bet(self) -> float:
        """Return the logarithm of the likelihood of the bet: on the weight, and around it."""
        on_weight = math.log(ON_THE_WEIGHT) + self._log_likelihood(self.weight)
        counts = np.array([self.own, self.n - self.own], float)
        weights = np.array([self.weight, 1 - self.weight])
        around = math.log(1 - ON_THE_WEIGHT) + log_marginal(counts, weights)
        return float(np.logaddexp(on_weight, around))

    def _log_likelihood(self, share: float) -> float:
        return float(xlogy(self.own, share) + xlogy(self.n - self.own, 1 - share))

    def high_end(self, threshold: float) -> float:
        """Return the least share from which on all are ruled out; it is not below the weight."""
        return self._end(1.0, max(self.own / self.n, self.weight), threshold)

    def low_end(self, threshold: float) -> float:
        """Return the largest share up to which all are ruled out; it is not above the weight."""
        return self._end(0.0, min(self.own / self.n, self.weight), threshold)

    def _end(self, far: float, near: float, threshold: float) -> float:
        """Return the share nearest to `near` from which on, to `far`, all are ruled out.

        Beyond `near` the likelihood falls, so that the evidence grows. It is against all shares
        beyond one at once, since it is against their likeliest.
        """
        level = self._log_bet - threshold
        if level < self._log_likelihood(far):
            return far
        for _ in range(BISECTIONS):
            middle = (far + near) / 2
            if level >= self._log_likelihood(middle):
                far = middle
            else:
                near = middle
        return far
