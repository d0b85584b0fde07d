"""Since when has the share of users been steady? A match is about the gateway as it is now."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from trafficsplit.analysis.change_points import change_gains
from trafficsplit.analysis.evidence import Floats
from trafficsplit.analysis.question import Question
from trafficsplit.analysis.special import chdtrc
from trafficsplit.analysis.visits import Users

LEVEL = 0.005  # the probability of a change, and of a trend, where there is none
FEWEST_BLOCKS = 4  # in which a change or a trend can be seen
# Before a match the last users are held against all before them: so many blocks of them, each at
# this level; and a trend is looked for at another. These are mild tests, since all that they do is
# wait for more users.
RECENT = (1, 2, 4, 8, 16)
RECENT_LEVEL = 0.01
TREND_LEVEL = 0.05


@dataclass(frozen=True)
class _Course:
    """Users by block: `table` are sums of shares, blocks × variants, `sizes` the users.

    `dispersion` is the variance of the shares from block to block over that of independent draws,
    at least 1: where versions are dealt in bursts, 75 users and then 25, blocks differ and nothing
    changes.
    """

    table: Floats
    sizes: Floats
    dispersion: float

    @property
    def freedom(self) -> int:
        """The degrees of freedom of a comparison."""
        return max(int(self.table.shape[1]) - 1, 1)

    def since(self, block: int) -> _Course:
        """Return the course from a block on."""
        return _Course(self.table[block:], self.sizes[block:], self.dispersion)


def _course(users: Users, variants: Sequence[str]) -> _Course:
    table = shares_by_block(users, variants)
    sizes = users.rows.sum(axis=1).astype(float)
    return _Course(table, sizes, _dispersion(table, sizes))


def shares_by_block(users: Users, variants: Sequence[str]) -> Floats:
    """Return the sums of the users' shares: blocks × variants."""
    shares = [[kind.share([variant]) for variant in variants] for kind in users.kinds]
    result: Floats = users.rows @ np.array(shares, dtype=float).reshape(-1, len(variants))
    return result


def _dispersion(table: Floats, sizes: Floats) -> float:
    """Return the dispersion by successive blocks (von Neumann 1941), in which no change shows."""
    shares = table.sum(axis=0) / max(sizes.sum(), 1.0)
    seen = shares > 0
    if len(sizes) < FEWEST_BLOCKS or seen.sum() < 2:
        return 1.0
    by_block = table[:, seen] / sizes[:, None]
    squares = (np.diff(by_block, axis=0) ** 2 / shares[seen]).sum(axis=1)
    squares /= 1 / sizes[1:] + 1 / sizes[:-1]
    return max(float(squares.mean()) / (int(seen.sum()) - 1), 1.0)


def steady_since(users: Users, variants: Sequence[str], level: float = LEVEL) -> int:
    """Return the number of the block since which the shares of variants do not change.

    `level` is the probability that one is found where there is none.

    A change is found by the likelihood ratio of shares that change at one boundary of the blocks
    (Hinkley 1970; Bonferroni over the boundaries), a slow drift by the trend over the blocks
    (Cochran 1954, Armitage 1955). Behind a change it is searched anew. Where there is a trend, the
    last half is.
    """
    course = _course(users, variants)
    since = 0
    while len(course.sizes) - since >= FEWEST_BLOCKS:
        rest = course.since(since)
        change = _change(rest, level)
        if change:
            since += change
        elif _has_trend(rest, level):
            since += (len(rest.sizes) + 1) // 2
        else:
            break
    return since


def certain_since(users: Users, question: Question) -> int:
    """Return the block since which shares are steady, to be reported with the question's alpha."""
    level = min(LEVEL, question.alpha / 2)  # a change, and a trend
    return steady_since(users, list(question.split), level)


def is_steady_now(users: Users, variants: Sequence[str]) -> bool:
    """Return whether the last users' shares are like those before: nothing speaks for a change.

    That is a milder test than a change that is certain.
    """
    course = _course(users, variants)
    if len(course.sizes) < FEWEST_BLOCKS:
        return True
    if _has_trend(course, TREND_LEVEL):
        return False
    gains = change_gains(course.table) / course.dispersion
    for blocks in RECENT:
        if blocks > len(gains):
            break
        if float(chdtrc(course.freedom, 2 * max(gains[-blocks], 0.0))) <= RECENT_LEVEL:
            return False
    return True


def _change(course: _Course, level: float) -> int:
    """Return the block from which on the shares are others; 0 where no change is certain."""
    gains = change_gains(course.table)
    best = int(gains.argmax())
    statistic = 2 * max(gains[best], 0.0) / course.dispersion
    if float(chdtrc(course.freedom, statistic)) * len(gains) > level:
        return 0
    return best + 1


def _has_trend(course: _Course, level: float) -> bool:
    """Return whether some variant's share rises or falls from block to block."""
    sizes = course.sizes
    number = sizes.sum()
    times = np.cumsum(sizes) - sizes / 2
    times -= (times @ sizes) / number
    spread = float(sizes @ times**2)
    shares = course.table.sum(axis=0) / number
    variances = shares * (1 - shares) * spread * course.dispersion
    seen = variances > 0
    statistics = (times @ course.table)[seen] ** 2 / variances[seen]
    if not len(statistics):
        return False
    return float(chdtrc(1, statistics.max())) <= level / course.freedom


def penalty(users: Users) -> float:
    """Return what evidence since a block has to have beyond the threshold, in nats.

    The block was chosen in view of the counts, out of as many as there are.
    """
    return math.log(max(len(users.rows), 1))
