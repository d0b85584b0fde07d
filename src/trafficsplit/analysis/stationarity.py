"""Did the split change during the run? When, and from what to what."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from trafficsplit.analysis.change_points import change_gains
from trafficsplit.analysis.evidence import Floats
from trafficsplit.analysis.fixed import homogeneity
from trafficsplit.analysis.run import Run, Stretch
from trafficsplit.analysis.special import chdtrc

MOST_GROUPS = 60  # of stretches, whose shares are compared
MOST_CHANGES = 8
UNSTEADY = 1.5  # dispersion between groups: less is steady, however certain it is
REPORTED = 1.0  # seconds by which the counts of a process may be late at the one that judges
LEVEL = 0.001  # the probability of a change that is none, over all boundaries


@dataclass(frozen=True)
class Change:
    """The split changed: the new one was in force `at` seconds after the start.

    That is in [`earliest`, `latest`]. The old one was over at `began`. In between old and new were
    mixed, as by several gateways of which some learn late; a change at once begins where it ends.
    `before` and `after` are the shares on either side. `steady` says that this change is all there
    was: the shares kept still on each side, and went one way in between.
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
        """The seconds for which old and new were mixed."""
        return self.at - self.began


@dataclass(frozen=True)
class _Course:
    """What a run's stretches have counted, in order of sending.

    `table` has a row for each stretch in which a variant was named, and a column for each variant.
    """

    stretches: Sequence[Stretch]
    variants: Sequence[str]
    table: Floats


def change_in(run: Run) -> Change | None:
    """Return the change of the shares during a run, None if there is no evidence of one.

    Each boundary of the stretches (in order of sending) has a likelihood ratio, of a split that
    changes there against one that never does (Hinkley 1970). The best is a change if it is certain
    after Bonferroni's correction for looking at all of them. The same is done again within the
    parts, until none is left (binary segmentation, Vostrikova 1981), and each boundary is placed
    anew between its neighbours.
    """
    course = _course(run)
    if len(course.stretches) < 2 or len(course.variants) < 2:
        return None
    boundaries = _boundaries(course.table)
    if not boundaries:
        return None
    first, last = _interval_of_last(course.table, boundaries, run.question.alpha)
    parts = np.split(course.table, boundaries)
    return Change(
        at=course.stretches[boundaries[-1] - 1].end,
        # A boundary is known to the stretch only: it stands for the stretches beside it.
        earliest=max(course.stretches[first].start - _lateness(run), 0.0),
        latest=course.stretches[last + 1].end,
        before=_shares(course.variants, parts[0]),
        after=_shares(course.variants, parts[-1]),
        steady=_go_one_way(parts) and _is_steady(parts[0]) and _is_steady(parts[-1]),
        began=course.stretches[boundaries[0] - 1].end,
    )


def _lateness(run: Run) -> float:
    """Return the seconds by which requests may have been sent before the stretch they are in."""
    return REPORTED if run.sender.processes > 1 else 0.0


def _course(run: Run) -> _Course:
    variants = [variant for variant, count in run.tally.counts.items() if count]
    stretches = [stretch for stretch in run.counted.stretches if stretch.tally.identified]
    rows = [stretch.tally.counts_of(variants) for stretch in stretches]
    return _Course(stretches, variants, np.array(rows, dtype=float))


def _boundaries(table: Floats) -> list[int]:
    """Return the rows of a table at which its shares change, in order."""
    boundaries: list[int] = []
    while len(boundaries) < MOST_CHANGES:
        new = _new_boundaries(table, boundaries)
        if not new:
            break
        boundaries = _placed_anew(table, sorted([*boundaries, *new]))
    return boundaries


def _new_boundaries(table: Floats, boundaries: Sequence[int]) -> list[int]:
    """Return one more boundary within each part in which a change is certain."""
    new = []
    for start, end in pairwise([0, *boundaries, len(table)]):
        gains = change_gains(table[start:end])
        if len(gains) and _is_certain(gains.max(), table):
            new.append(start + int(gains.argmax()) + 1)
    return new


def _is_certain(gain: float, table: Floats) -> bool:
    freedom = table.shape[1] - 1
    return float(chdtrc(freedom, 2 * gain)) * len(table) <= LEVEL


def _placed_anew(table: Floats, boundaries: Sequence[int]) -> list[int]:
    """Return each boundary where it is likeliest between its neighbours."""
    placed = [0, *boundaries, len(table)]
    for index in range(1, len(placed) - 1):
        start = placed[index - 1]
        end = placed[index + 1]
        placed[index] = start + int(change_gains(table[start:end]).argmax()) + 1
    return sorted(set(placed[1:-1]))


def _interval_of_last(table: Floats, boundaries: Sequence[int], alpha: float) -> tuple[int, int]:
    """Return the rows before the first and last places at which the last change may be.

    These are all whose log likelihood is less than c below the best. Each side of it is a random
    walk, so that they cover the truth with probability (1 − e^−c)², which is 1 − alpha (Siegmund
    1988, "Confidence sets in change-point problems").
    """
    offset = boundaries[-2] if len(boundaries) > 1 else 0
    gains = change_gains(table[offset:])
    c = -math.log(1 - math.sqrt(1 - alpha))
    near = np.flatnonzero(gains >= gains.max() - c) + offset
    return int(near[0]), int(near[-1])


def _go_one_way(parts: Sequence[Floats]) -> bool:
    """Return whether each variant's share only grows, or only shrinks, from part to part."""
    shares = np.array([part.sum(axis=0) / part.sum() for part in parts])
    steps = np.diff(shares, axis=0)
    return bool(((steps >= 0).all(axis=0) | (steps <= 0).all(axis=0)).all())


def _is_steady(table: Floats) -> bool:
    """Return whether a table's stretches do not differ, by Pearson's test of homogeneity."""
    table = table[:, table.any(axis=0)]
    # Some stretches together, so that each group has responses enough of every variant.
    groups = int(min(len(table), MOST_GROUPS, table.sum(axis=0).min() // 5 + 1))
    starts = np.linspace(0, len(table), groups, endpoint=False).astype(int)
    table = np.add.reduceat(table, starts, axis=0)
    statistic, freedom = homogeneity(table)
    if not freedom:
        return True
    return statistic < UNSTEADY * freedom or float(chdtrc(freedom, statistic)) > LEVEL


def _shares(variants: Sequence[str], table: Floats) -> dict[str, float]:
    counts = table.sum(axis=0)
    return dict(zip(variants, (counts / counts.sum()).tolist(), strict=True))
