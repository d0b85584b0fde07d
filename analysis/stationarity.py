"""Did the split change during the run? When, and from what to what."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import chdtrc, xlogy

from analysis.evidence import Floats
from analysis.run import Run

MOST_GROUPS = 60
UNSTEADY = 1.5  # dispersion between stretches
LEVEL = 0.001  # chance of a change that is none, over all places where one may be


@dataclass(frozen=True)
class Change:
    """The split changed once: `at` seconds after the start, in [`earliest`, `latest`].

    `before` and `after` are the shares on either side; `steady` says that on each side they kept
    still, so that this one change is all there was.
    """

    at: float
    earliest: float
    latest: float
    before: Mapping[str, float]
    after: Mapping[str, float]
    steady: bool


def change_in(run: Run) -> Change | None:
    """The likeliest change of the shares during a run, None where nothing speaks for one.

    The likelihood ratio of a split at each boundary of the stretches (in order of sending) against
    none at all (Hinkley 1970), sure after Bonferroni's correction for looking at all of them. The
    interval holds every boundary whose log likelihood is less than c below the best: each side of
    it is a random walk, so it covers with probability (1 − e^−c)² (Siegmund 1988, "Confidence sets
    in change-point problems").
    """
    variants = list(run.tally.counts)
    stretches = [stretch for stretch in run.stretches if stretch.tally.identified]
    table = np.array([[s.tally.counts.get(v, 0) for v in variants] for s in stretches], dtype=float)
    if len(stretches) < 2 or len(variants) < 2:
        return None
    seen = [i for i in range(len(variants)) if table[:, i].any()]
    if len(seen) < 2:
        return None
    before = table.cumsum(axis=0)[:-1]
    after = table.sum(axis=0) - before
    gain = _log_likelihood(before) + _log_likelihood(after) - _log_likelihood(table.sum(axis=0))
    best = int(gain.argmax())
    chance = float(chdtrc(len(seen) - 1, 2 * gain[best])) * len(gain)
    if chance > LEVEL:
        return None
    drop = -math.log(1 - math.sqrt(1 - run.question.alpha))
    near = np.flatnonzero(gain >= gain[best] - drop)
    ends = [stretch.end for stretch in stretches]
    return Change(
        at=ends[best],
        # It is known to the stretch only: each boundary stands for the stretches beside it.
        earliest=stretches[int(near[0])].start,
        latest=stretches[int(near[-1]) + 1].end,
        before=_shares(variants, before[best]),
        after=_shares(variants, after[best]),
        steady=_steady(table[: best + 1]) and _steady(table[best + 1 :]),
    )


def _steady(table: Floats) -> bool:
    """Whether the stretches of a table do not differ, by Pearson's test of homogeneity."""
    table = table[:, table.any(axis=0)]
    # Some stretches together, so that each group has responses enough of every variant.
    groups = int(min(len(table), MOST_GROUPS, table.sum(axis=0).min() // 5 + 1))
    starts = np.linspace(0, len(table), groups, endpoint=False).astype(int)
    table = np.add.reduceat(table, starts, axis=0)
    freedom = (len(table) - 1) * (table.shape[1] - 1)
    if freedom < 1:
        return True
    expected = table.sum(axis=1, keepdims=True) * (table.sum(axis=0) / table.sum())
    statistic = float(((table - expected) ** 2 / expected).sum())
    return statistic < UNSTEADY * freedom or float(chdtrc(freedom, statistic)) > LEVEL


def _log_likelihood(counts: Floats) -> Floats:
    n = counts.sum(axis=-1, keepdims=True)
    return np.asarray(xlogy(counts, counts / np.maximum(n, 1)).sum(axis=-1))


def _shares(variants: Sequence[str], counts: Sequence[float]) -> dict[str, float]:
    total = float(sum(counts))
    return {v: float(x) / total for v, x in zip(variants, counts, strict=True)}
