"""How many requests a question needs, before any is sent."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np
from scipy.special import erfcx, ndtr

from trafficsplit.analysis.evidence import Mixture, divergence, edges, log_ratios
from trafficsplit.analysis.fixed import sample_size
from trafficsplit.analysis.question import MOST_REQUESTS, Question
from trafficsplit.errors import InputError

# A run that is as configured ends within its budget this often.
BUDGET_QUANTILE = 0.999
# What the mixture gains over its evidence on the likeliest path, in nats: the best of its points
# follows the fluctuations (half a nat by Wilks 1938), and the first passage is counted (measured).
FLUCTUATION = 0.75
TINY = 1e-9  # a share this near an edge is on it
NEVER = 1e15  # requests: nearer to an edge than the mixture's points, nothing shows for long


def planned(question: Question) -> Question:
    """The question with as many requests as it needs, where it does not say how many.

    Raises InputError where they are more than can be sent.
    """
    if question.requests:
        return question
    needed = fixed_size(question) if question.test == "fixed" else budget(question)
    if needed > MOST_REQUESTS:
        raise InputError(
            f"a tolerance of {question.tolerance * 100:g} points would take {needed:.0e} "
            "requests: give a larger --tolerance"
        )
    return replace(question, requests=needed)


def budget(question: Question) -> int:
    """The requests within which a gateway that is as configured is found so, 999 times in 1,000."""
    return requests_to_match(question, BUDGET_QUANTILE)


def fixed_size(question: Question) -> int:
    """The sample size at which the fixed test has the power to see a deviation of one tolerance."""
    needed = [question.requests_for_zero] if _asks_of_zero(question) else []
    if len(question.split.positive) > 1:
        alpha, power = question.chi_square_alpha, question.power
        needed.append(sample_size(question.split, question.tolerance, alpha, power))
    return max(needed)


def _asks_of_zero(question: Question) -> bool:
    return len(question.split.positive) < len(question.split) or len(question.split) == 1


def requests_to_match(question: Question, quantile: float) -> int:
    """The `quantile` of requests until `match` at a gateway that is exactly as configured.

    The evidence against each edge is a random walk with drift KL(w‖e); its first passage of
    log(1/α) is inverse Gaussian (Wald 1947; Siegmund 1985, section III.3), and an edge's excess
    over the threshold is left out. The slowest edge decides: the tails are added up, since walks
    away from opposite edges are hardly ever late together.
    """
    weights = list(question.split.weights.values())
    needed = question.requests_for_zero if _asks_of_zero(question) else 1
    walks = []
    for edge in edges(weights, question.tolerance):
        w, e = weights[edge.variant], edge.share
        own, others = log_ratios(w, e)
        step = own - others
        walks.append((divergence(w, e), step * step * w * (1 - w)))
    if not walks:
        return needed
    threshold = math.log(1 / question.alpha)

    def late(n: float) -> float:
        return sum(_later(n, drift, variance, threshold) for drift, variance in walks)

    found = _first(lambda n: late(n) <= 1 - quantile)
    return max(needed, math.ceil(min(found, NEVER)))


def requests_to_mismatch(
    question: Question, shares: Mapping[str, float], quantile: float = 0.5
) -> int | None:
    """The `quantile` of requests until `mismatch` at a gateway with these true shares.

    None where every share is within its tolerance, or too near it ever to show. A variant of
    weight 0 is found by its first response (geometric); the mixture by the evidence along the
    likeliest path, its spread being that of a random walk with the drift KL(q‖e) of the edge that
    shows first.
    """
    split = question.split
    surprise = sum(share for variant, share in shares.items() if not split[variant])
    soonest = math.inf
    if surprise >= 1:
        return 1
    if surprise > 0:
        soonest = math.log(1 - quantile) / math.log1p(-surprise)
    weights = list(split.weights.values())
    band = edges(weights, question.tolerance)
    q = np.array([shares.get(variant, 0.0) for variant in split])
    beyond = [
        edge
        for edge in band
        if (q[edge.variant] > edge.share + TINY) == edge.above
        and abs(q[edge.variant] - edge.share) > TINY
    ]
    if beyond:
        mixture, threshold = Mixture(len(weights), band), math.log(1 / question.alpha)
        # Where every response has the same variant, the path is known; elsewhere it fluctuates.
        gain = FLUCTUATION if 0 < q.max() < 1 else 0.0
        typical = _first(lambda n: mixture.log_evidence(n * q) + gain >= threshold)
        edge = max(beyond, key=lambda edge: divergence(float(q[edge.variant]), edge.share))
        share, e = float(q[edge.variant]), edge.share
        drift = divergence(share, e)
        if 0 < share < 1 and math.isfinite(typical):
            own, others = log_ratios(share, e)
            step = own - others
            variance = step * step * share * (1 - share)
            middle = _first(lambda n: _later(n, drift, variance, typical * drift) <= 0.5)
            spread = _first(lambda n: _later(n, drift, variance, typical * drift) <= 1 - quantile)
            typical *= spread / middle
        soonest = min(soonest, typical)
    return math.ceil(soonest) if math.isfinite(soonest) else None


def _first(holds: Callable[[float], bool]) -> float:
    """The first number from which on a condition holds, to half a request; infinite where none."""
    low, high = 0.0, 1.0
    while not holds(high):
        low, high = high, high * 2
        if high > NEVER:
            return math.inf
    while high - low > 0.5:
        middle = (low + high) / 2
        low, high = (low, middle) if holds(middle) else (middle, high)
    return high


def _later(n: float, drift: float, variance: float, threshold: float) -> float:
    """P(a Gaussian walk has not passed the threshold after n steps): inverse Gaussian tail."""
    spread = math.sqrt(variance * n)
    near = (drift * n - threshold) / spread
    far = (drift * n + threshold) / spread
    # exp(2 drift threshold / variance) Φ(−far), as a product of which no factor overflows.
    back = float(erfcx(far / math.sqrt(2))) / 2 * math.exp(-near * near / 2)
    return max(1 - float(ndtr(near)) - back, 0.0)
