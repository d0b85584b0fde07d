"""How many requests a question needs, before any is sent."""

from __future__ import annotations

import math
from dataclasses import replace

from scipy.special import log_ndtr, ndtr

from analysis.errors import InputError
from analysis.evidence import divergence, edges
from analysis.fixed import sample_size
from analysis.question import MOST_REQUESTS, Question

# A run that is as configured ends within its budget this often.
BUDGET_QUANTILE = 0.999


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
        size = sample_size(question.split, question.tolerance, question.alpha, question.power)
        needed.append(size)
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
        step = math.log(w / e) - math.log((1 - w) / (1 - e))
        walks.append((divergence(w, e), step * step * w * (1 - w)))
    if not walks:
        return needed
    threshold = math.log(1 / question.alpha)

    def late(n: float) -> float:
        return sum(_later(n, drift, variance, threshold) for drift, variance in walks)

    high = threshold / min(drift for drift, _ in walks)
    low = 0.0
    while late(high) > 1 - quantile:
        low, high = high, high * 2
    while high - low > 0.5:
        middle = (low + high) / 2
        low, high = (middle, high) if late(middle) > 1 - quantile else (low, middle)
    return max(needed, math.ceil(high))


def _later(n: float, drift: float, variance: float, threshold: float) -> float:
    """P(a Gaussian walk has not passed the threshold after n steps): inverse Gaussian tail."""
    spread = math.sqrt(variance * n)
    forward = float(ndtr((drift * n - threshold) / spread))
    back = 2 * drift * threshold / variance + float(log_ndtr(-(drift * n + threshold) / spread))
    return max(1 - forward - math.exp(back), 0.0)
