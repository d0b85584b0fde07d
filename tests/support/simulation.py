"""Simulated gateways for tests of statistical claims."""

from __future__ import annotations

from collections.abc import Sequence

from trafficsplit.analysis.question import Question
from trafficsplit.analysis.simulation import gateways, sequential
from trafficsplit.analysis.split import Split
from trafficsplit.analysis.verdict import Verdict


def verdicts(
    split: Split,
    tolerance: float,
    shares: Sequence[float],
    *,
    most: int,
    runs: int,
    seed: int,
    alpha: float = 0.01,
) -> list[tuple[Verdict, int]]:
    """Return verdicts of the sequential test, and the responses that they took."""
    question = Question(split, tolerance, alpha=alpha)
    truth = dict(zip(split, shares, strict=True))
    streams = gateways(question, truth, most=most, runs=runs, seed=seed)
    decisions = [sequential(question, totals) for totals in streams]
    return [(decision.verdict, decision.requests) for decision in decisions]
