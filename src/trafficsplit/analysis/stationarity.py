"""Did the split change during the run? When, and from what to what."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from scipy.special import chdtrc, xlogy

from trafficsplit.analysis.evidence import Floats
from trafficsplit.analysis.fixed import homogeneity
from trafficsplit.analysis.run import Run

MOST_GROUPS = 60
MOST_CHANGES = 8
UNSTEADY = 1.5  # dispersion between stretches
LEVEL = 0.001  # chance of a change that is none, over all places where one may be


@dataclass(frozen=True)
class Change:
    """The split changed: the new one was in force `at` seconds after the start.

    That is in [`earliest`, `latest`]. The old one was over at `began`: in between old and new were
    mixed, as by gateways of which some learn late; a change at once begins where it ends.
    `before` and `after` are the shares on either side; `steady` says that on each side they kept
    still and in between went one way, so that this one change is all there was.
    """

    at: float
    earliest: float
    latest: float
    before: Mapping[str, float]
    after: Mapping[str, float]
    steady: bool
    began: float

    @property
    def mixed(self) -> float:
        """For how many seconds old and new were mixed."""
        return self.at - self.began


def change_in(run: Run) -> Change | None:
    """The change of the shares during a run, None where nothing speaks for one.

    The likelihood ratio of a split at each boundary of the stretches (in order of sending) against
    none at all (Hinkley 1970), sure after Bonferroni's correction for looking at all of them; and
    again within the parts, until none is left (binary segmentation, Vostrikova 1981), each boundary
    being placed anew between its neighbours. The interval of the last holds every boundary whose
    log likelihood is less than c below the best: each side of it is a random walk, so it covers
    with probability (1 − e^−c)² (Siegmund 1988, "Confidence sets in change-point problems").
    """
    variants = list(run.tally.counts)
    stretches = [stretch for stretch in run.counted.stretches if stretch.tally.identified]
    table = np.array([[s.tally.counts.get(v, 0) for v in variants] for s in stretches], dtype=float)
    if len(stretches) < 2 or len(variants) < 2:
        return None
    seen = [i for i in range(len(variants)) if table[:, i].any()]
    if len(seen) < 2:
        return None
    table = table[:, seen]
    places = _boundaries(table)
    if not places:
        return None
    # The last is when the new split was wholly in force.
    offset = places[-2] if len(places) > 1 else 0
    gain = _gains(table[offset:])
    drop = -math.log(1 - math.sqrt(1 - run.question.alpha))
    near = np.flatnonzero(gain >= gain.max() - drop) + offset
    ends = [stretch.end for stretch in stretches]
    parts = np.split(table, places)
    shares = np.array([part.sum(axis=0) / part.sum() for part in parts])
    steps = np.diff(shares, axis=0)
    one_way = bool(((steps >= 0).all(axis=0) | (steps <= 0).all(axis=0)).all())
    return Change(
        at=ends[places[-1] - 1],
        # It is known to the stretch only: each boundary stands for the stretches beside it.
        earliest=stretches[int(near[0])].start,
        latest=stretches[int(near[-1]) + 1].end,
        before=_shares([variants[i] for i in seen], parts[0].sum(axis=0)),
        after=_shares([variants[i] for i in seen], parts[-1].sum(axis=0)),
        steady=one_way and _steady(parts[0]) and _steady(parts[-1]),
        began=ends[places[0] - 1],
    )


def _boundaries(table: Floats) -> list[int]:
    """The rows of a table at which its shares change, in order."""
    places: list[int] = []
    while len(places) < MOST_CHANGES:
        ends = [0, *places, len(table)]
        found = [
            start + best + 1
            for start, end in pairwise(ends)
            if (best := _change(table[start:end], len(table))) is not None
        ]
        if not found:
            break
        places = sorted([*places, *found])
        for index in range(len(places)):  # each anew, between its neighbours
            ends = [0, *places, len(table)]
            start, end = ends[index], ends[index + 2]
            places[index] = start + int(_gains(table[start:end]).argmax()) + 1
        places = sorted(set(places))
    return places


def _change(table: Floats, looks: int) -> int | None:
    """The likeliest boundary in a part, where a change is sure."""
    if len(table) < 2:
        return None
    gain = _gains(table)
    best = int(gain.argmax())
    freedom = table.shape[1] - 1
    return best if float(chdtrc(freedom, 2 * gain[best])) * looks <= LEVEL else None


def _gains(table: Floats) -> Floats:
    """How much likelier each boundary makes a table than none."""
    before = table.cumsum(axis=0)[:-1]
    total = table.sum(axis=0)
    return _log_likelihood(before) + _log_likelihood(total - before) - _log_likelihood(total)


def _steady(table: Floats) -> bool:
    """Whether the stretches of a table do not differ, by Pearson's test of homogeneity."""
    table = table[:, table.any(axis=0)]
    # Some stretches together, so that each group has responses enough of every variant.
    groups = int(min(len(table), MOST_GROUPS, table.sum(axis=0).min() // 5 + 1))
    starts = np.linspace(0, len(table), groups, endpoint=False).astype(int)
    table = np.add.reduceat(table, starts, axis=0)
    statistic, freedom = homogeneity(table)
    if not freedom:
        return True
    return statistic < UNSTEADY * freedom or float(chdtrc(freedom, statistic)) > LEVEL


def _log_likelihood(counts: Floats) -> Floats:
    n = counts.sum(axis=-1, keepdims=True)
    return np.asarray(xlogy(counts, counts / np.maximum(n, 1)).sum(axis=-1))


def _shares(variants: Sequence[str], counts: Sequence[float]) -> dict[str, float]:
    total = float(sum(counts))
    return {v: float(x) / total for v, x in zip(variants, counts, strict=True)}
