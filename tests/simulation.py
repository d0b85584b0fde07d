"""Simulated gateways for tests of statistical claims: the public API, looked at as users may."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from analysis import SequentialTest, Split, Verdict


def run(
    test: SequentialTest, shares: Sequence[float], most: int, rng: np.random.Generator
) -> tuple[Verdict, int]:
    """Draw independent responses until the verdict; it and the number of responses.

    Looks that cannot change the verdict are left out (`least_more`), which is the same as to look
    after every response; `tests/analysis/test_sequential.py` shows that.
    """
    names = list(test.question.split)
    variant = np.searchsorted(np.cumsum(shares)[:-1], rng.random(most), side="right")
    totals = (variant[:, None] == np.arange(len(names))).cumsum(axis=0, dtype=np.int32)
    seen, n = np.zeros(len(names), dtype=np.int32), 0
    while test.verdict is Verdict.INCONCLUSIVE and n < most:
        zero = [i for i, name in enumerate(names) if test.question.split[name] == 0]
        n = min(n + (1 if zero else test.least_more), most)
        counts = totals[n - 1] - seen
        seen = totals[n - 1]
        test.update(dict(zip(names, counts.tolist(), strict=True)))
    return test.verdict, n


def verdicts(
    split: Split, tolerance: float, shares: Sequence[float], *, most: int, runs: int, seed: int
) -> list[tuple[Verdict, int]]:
    """Many runs."""
    rng = np.random.default_rng(seed)
    return [run(SequentialTest(split, tolerance), shares, most, rng) for _ in range(runs)]
