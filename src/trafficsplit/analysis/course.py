"""Is the split still what it was? The course of a run, before it is called a match."""

from __future__ import annotations

import enum

import numpy as np

from trafficsplit.analysis.change_points import change_gains
from trafficsplit.analysis.order import Course
from trafficsplit.analysis.question import Question

FEWEST_STEPS = 4
CERTAIN = 9.0  # nats by which a change is likelier than none, of all places where it may be
# The same, where it would have taken a share out of its band, for changes since which more than a
# part of all responses came. The longer ago, the less by chance is the share outside.
SUSPECT = ((0.25, 1.5), (0.05, 3.0), (0.0, 5.0))


class Suspicion(enum.Enum):
    """Whether the split has changed in the course of a run."""

    NONE = "none"
    LEAVING = "it may have left its band"
    CHANGED = "it has changed"


def suspicion_of(
    course: Course, question: Question, scale: float = 1.0
) -> tuple[Suspicion, dict[str, int]]:
    """Return whether the split has changed, and what was counted since, by variant.

    Each boundary of the steps has a likelihood ratio, of a split that changes there against one
    that never does (Hinkley 1970). The best is a change if it is certain. A less certain one is a
    reason to wait, if the shares since then are outside the band: they will show. `scale` is by how
    many times the responses disperse more than independent draws.
    """
    table = course.table.astype(float)
    names = list(course.columns)
    if len(table) < FEWEST_STEPS or len(names) < 2:
        return Suspicion.NONE, {}
    since = table[::-1].cumsum(axis=0)[::-1][1:]
    total = table.sum(axis=0)
    gains = change_gains(table)
    gains /= scale
    best = int(gains.argmax())
    if gains[best] > CERTAIN:
        return Suspicion.CHANGED, dict(zip(names, map(int, since[best]), strict=True))
    shares = since / since.sum(axis=1, keepdims=True)
    weights = np.array([question.split[name] for name in names])
    outside = (np.abs(shares - weights) > question.tolerance).any(axis=1)
    part = since.sum(axis=1) / total.sum()
    needed = np.select([part >= least for least, _ in SUSPECT], [gain for _, gain in SUSPECT])
    if (outside & (gains > needed)).any():
        return Suspicion.LEAVING, {}
    return Suspicion.NONE, {}
