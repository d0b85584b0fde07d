"""What the evidence for a mismatch has to reach: both sides of the band are not wrong at once."""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np

from trafficsplit.analysis.evidence import Edge, Floats, Mixture, edges
from trafficsplit.analysis.first_passage import crossings
from trafficsplit.analysis.question import Question

# Responses at which the boundary is computed: all up to WHOLE, then some up to LAST of them. Later
# ones matter less: a share past one edge is ever less likely under the other.
WHOLE = 100
SOME = 40
LAST = 1e6
SHARES = 9  # true shares in the band that are tried, from edge to edge
EXACT = 1e-9  # to a whole count


@lru_cache(maxsize=256)
def mismatch_threshold(question: Question) -> float:
    """Return the logarithm of what the mean of all evidence for a mismatch has to reach.

    It is 1/α for three variants and more, and for a band with one edge. With two edges, the mean
    of both sides' evidence is half of the greater one. But a gateway whose share stays the same is
    hardly ever beyond both: if evidence against one edge e is to reach c, then under a share s in
    the band it does with a probability of at most r(s)/c, where r(s) is the supremum of the
    likelihood ratio of s to e over all counts at which it does (a change of measure; Wald 1945). So
    the sum of the sides needs R/α, R the largest sum of both r(s) over the band, instead of 2/α.

    For a share that moves from edge to edge of the band during the run the bound is 2 α/R.
    """
    alpha = question.alpha_of_mismatch
    weights = list(question.split.weights.values())
    band = edges(weights, question.tolerance)
    if len(weights) != 2 or len(band) != 2:
        return math.log(1 / alpha)
    low, high = band
    mixture = Mixture(2, band, question.likely_shares)
    shares = np.linspace(low.share, high.share, SHARES)
    both = np.zeros(SHARES)
    for edge in band:
        both += _greatest_ratios(mixture, edge, shares, math.log(0.5 / alpha))
    return math.log(float(both.max()) / 2 / alpha)


def _greatest_ratios(mixture: Mixture, edge: Edge, shares: Floats, threshold: float) -> Floats:
    """Return r of each share: its greatest likelihood ratio to an edge where that is shown.

    `threshold` is a lower one than will be needed, so that there are more such counts.
    """
    n = np.concatenate([np.arange(1.0, WHOLE), np.rint(np.geomspace(WHOLE, LAST, SOME))])
    end = n if edge.above else np.zeros(len(n))
    evidence = mixture.of_one_count(edge.variant)
    boundary = crossings(evidence, n, n * edge.share, end, threshold)
    own = np.ceil(boundary - EXACT) if edge.above else np.floor(boundary + EXACT)
    possible = ~np.isnan(own)
    own, other = own[possible], (n - own)[possible]
    logs = np.multiply.outer(np.log(shares / edge.share), own)
    logs += np.multiply.outer(np.log((1 - shares) / (1 - edge.share)), other)
    ratios: Floats = np.exp(logs.max(axis=1, initial=-math.inf))
    return ratios
