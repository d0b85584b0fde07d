"""Simulated gateways for tests of statistical claims."""

from __future__ import annotations

from collections.abc import Sequence

from trafficsplit.analysis.question import Question
from trafficsplit.analysis.simulation import gateways, sequential
from trafficsplit.analysis.split import Split
from trafficsplit.analysis.verdict import Verdict

SELDOM = 1 / 40  # of the responses so far, until the next look: a third of all looks


def verdicts(
    split: Split,
    tolerance: float,
    shares: Sequence[float],
    *,
    most: int,
    runs: int,
    seed: int,
    alpha: float = 0.01,
    seldom: float = SELDOM,
) -> list[tuple[Verdict, int]]:
    """Return verdicts of the sequential test, and the responses that they took.

    It is looked at often enough to be as often wrong as if it were looked at after each response,
    which `benchmarks.simulate` does, or more `seldom`.
    """
    question = Question(split, tolerance, alpha=alpha)
    truth = dict(zip(split, shares, strict=True))
    streams = gateways(question, truth, most=most, runs=runs, seed=seed)
    decisions = [sequential(question, totals, seldom=seldom) for totals in streams]
    return [(decision.verdict, decision.requests) for decision in decisions]
