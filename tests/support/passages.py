"""Simulated first passages of evidence, many runs at once."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import numpy as np

from trafficsplit.analysis.evidence import Floats, Mixture, edges
from trafficsplit.analysis.match_evidence import EdgeEvidence
from trafficsplit.analysis.mismatch_evidence import RESTARTS_MASS
from trafficsplit.analysis.question import Question
from trafficsplit.analysis.sides import mismatch_threshold

FINE = 150  # looks that a doubling of the counts takes, at least
MOST = 10**7

Passed = Callable[[Floats], np.ndarray[tuple[int, ...], np.dtype[np.bool_]]]


def requests_to_match(question: Question, runs: int, seed: int) -> Floats:
    """Return the requests until all edges of all gateways have passed, one for each run."""
    weights = list(question.split.weights.values())
    band = edges(weights, question.tolerance)
    evidence = EdgeEvidence(band, weights, question.tolerance)
    threshold = math.log(1 / question.alpha)

    def passed(counts: Floats) -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]]:
        return np.asarray(evidence.log_evidence(counts, np.zeros(len(counts))) >= threshold)

    rows = runs * question.gateways
    each = _first(passed, np.array(weights), len(band), rows, seed)
    slowest: Floats = question.gateways * each.reshape(runs, question.gateways).max(axis=1)
    return slowest


def requests_to_mismatch(
    question: Question, shares: Mapping[str, float], runs: int, seed: int
) -> Floats:
    """Return the requests until the evidence from the start on has passed, one for each run."""
    weights = list(question.split.weights.values())
    mixture = Mixture(len(weights), edges(weights, question.tolerance))
    threshold = mismatch_threshold(question) - math.log(1 - RESTARTS_MASS)

    def passed(counts: Floats) -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]]:
        return np.asarray(mixture.log_evidence(counts) >= threshold)[:, None]

    q = np.array([shares[variant] for variant in question.split])
    return _first(passed, q, 1, runs, seed)


def _first(passed: Passed, q: Floats, conditions: int, runs: int, seed: int) -> Floats:
    """Return the draws after which all conditions have held, each at some time."""
    rng = np.random.default_rng(seed)
    counts = np.zeros((runs, len(q)))
    held = np.zeros((runs, conditions), bool)
    took = np.full(runs, math.inf)
    going = np.arange(runs)
    n = 0
    while len(going) and n < MOST:
        step = max(1, n // FINE)
        n += step
        counts[going] += rng.multinomial(step, q, size=len(going))
        held[going] |= passed(counts[going])
        done = held[going].all(axis=1)
        took[going[done]] = n
        going = going[~done]
    return took
