"""Simulated gateways: what this test is worth, and what others are worth on the same streams.

Draws are independent, with given shares. A method takes the counts after each response and says how
a run ends. The sequential one is the public test, looked at as if after every response: looks that
cannot change the verdict are left out (`least_more`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trafficsplit.analysis.fixed import chi_square
from trafficsplit.analysis.planning import fixed_size
from trafficsplit.analysis.question import Question
from trafficsplit.analysis.sequential import SequentialTest
from trafficsplit.analysis.verdict import Verdict

Totals = NDArray[np.int32]  # responses × variants of the split: the counts after each response


@dataclass(frozen=True)
class Decision:
    """How one run ended: its verdict, and after how many requests."""

    verdict: Verdict
    requests: int


Method = Callable[[Question, Totals], Decision]


def gateways(
    question: Question, shares: Mapping[str, float], *, most: int, runs: int, seed: int
) -> Iterator[Totals]:
    """Yield `runs` streams of `most` responses each from a gateway with these true shares.

    Every variant of `shares` must be in the question's split.
    """
    rng = np.random.default_rng(seed)
    names = list(question.split)
    borders = np.cumsum([shares.get(name, 0.0) for name in names])[:-1]
    codes = np.arange(len(names))
    for _ in range(runs):
        drawn = np.searchsorted(borders, rng.random(most), side="right")
        yield (drawn[:, None] == codes).cumsum(axis=0, dtype=np.int32)


def sequential(question: Question, totals: Totals, *, seldom: float = 0.0) -> Decision:
    """Decide by the sequential test of DESIGN.md 4.

    It is looked at again after `seldom` times as many more responses, or later.
    """
    names = list(question.split)
    # An answer of weight 0 must be shown to the test at once.
    at_once = len(question.split.positive) < len(names)
    test = SequentialTest.of(question)
    seen = np.zeros(len(names), dtype=np.int32)
    n = 0
    while test.verdict is Verdict.INCONCLUSIVE and n < len(totals):
        more = max(1 if at_once else test.least_more, int(n * seldom))
        n = min(n + more, len(totals))
        new = totals[n - 1] - seen
        seen = totals[n - 1]
        test.update(dict(zip(names, new.tolist(), strict=True)))
    return Decision(test.verdict, n)


def fixed(question: Question, totals: Totals) -> Decision:
    """Decide by chi-square once, at the size that has the power for one tolerance."""
    n = min(question.requests or fixed_size(question), len(totals))
    return Decision(_chi_square(question, totals[n - 1]), n)


def peeked(question: Question, totals: Totals, *, every: int = 100) -> Decision:
    """Decide by chi-square at its nominal level, again and again until it finds something."""
    for n in range(every, len(totals) + 1, every):
        if _chi_square(question, totals[n - 1]) is Verdict.MISMATCH:
            return Decision(Verdict.MISMATCH, n)
    return Decision(Verdict.MATCH, len(totals))


def curl_loop(question: Question, totals: Totals) -> Decision:
    """Decide by 100 requests, ± 10 points: Istio's own integration test of traffic shifting."""
    return Decision(_within(question, totals[99] / 100, 0.10), 100)


def conformance(question: Question, totals: Totals) -> Decision:
    """Decide by 500 requests, ± 5 points, in up to ten tries until one passes.

    This is Gateway API's conformance test HTTPRouteWeight.
    """
    before = np.zeros(totals.shape[1], dtype=np.int32)
    for attempt in range(1, 11):
        now = totals[500 * attempt - 1]
        if _within(question, (now - before) / 500, 0.05) is Verdict.MATCH:
            return Decision(Verdict.MATCH, 500 * attempt)
        before = now
    return Decision(Verdict.MISMATCH, 5000)


def _chi_square(question: Question, counts: NDArray[np.int32]) -> Verdict:
    named = dict(zip(question.split, counts.tolist(), strict=True))
    if chi_square(named, question.split).p_value < question.alpha:
        return Verdict.MISMATCH
    return Verdict.MATCH


def _within(question: Question, shares: NDArray[np.float64], margin: float) -> Verdict:
    weights = np.array(list(question.split.weights.values()))
    # A share that is off by just the margin passes, however it is rounded.
    if (np.abs(shares - weights) > margin + 1e-9).any():
        return Verdict.MISMATCH
    return Verdict.MATCH


METHODS: Mapping[str, Method] = {
    "sequential": sequential,
    "fixed": fixed,
    "peeked chi-square": peeked,
    "curl loop": curl_loop,
    "conformance": conformance,
}
