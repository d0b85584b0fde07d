"""Since when has the share of users been steady? A match is about the gateway as it is now."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from scipy.special import chdtrc, xlogy

from trafficsplit.analysis.evidence import Floats
from trafficsplit.analysis.visits import Users

LEVEL = 0.005  # the probability of a change, and of a trend, where there is none
FEWEST_GROUPS = 4  # of blocks, in which a change or a trend can be seen
MOST_GROUPS = 24  # larger ones even out what is dealt in bursts, 75 users and then 25


def steady_since(users: Users, variants: Sequence[str]) -> int:
    """Return the number of the block since which the shares of variants do not change.

    A change is found by the likelihood ratio of shares that change at one boundary of the blocks
    (Hinkley 1970; Bonferroni over the boundaries), a slow drift by the trend over the blocks
    (Cochran 1954, Armitage 1955). Behind a change it is searched anew. Where there is a trend, the
    last half is.
    """
    step = max(math.ceil(len(users.rows) / MOST_GROUPS), 1)
    starts = np.arange(0, len(users.rows), step)
    if len(starts) < FEWEST_GROUPS:
        return 0
    table = np.add.reduceat(shares_by_block(users, variants), starts, axis=0)
    sizes = np.add.reduceat(users.rows.sum(axis=1).astype(float), starts)
    since = 0
    while len(sizes) - since >= FEWEST_GROUPS:
        change = _change(table[since:])
        if change:
            since += change
        elif _has_trend(table[since:], sizes[since:]):
            since += (len(sizes) - since + 1) // 2
        else:
            break
    return since * step


def shares_by_block(users: Users, variants: Sequence[str]) -> Floats:
    """Return the sums of the users' shares: blocks × variants."""
    shares = [[kind.share([variant]) for variant in variants] for kind in users.kinds]
    result: Floats = users.rows @ np.array(shares, dtype=float).reshape(-1, len(variants))
    return result


def _change(table: Floats) -> int:
    """Return the row from which on the shares are others; 0 where no change is certain."""
    before = table.cumsum(axis=0)[:-1]
    total = table.sum(axis=0)
    gains = _log_likelihood(before) + _log_likelihood(total - before) - _log_likelihood(total)
    best = int(gains.argmax())
    freedom = table.shape[1] - 1
    if float(chdtrc(freedom, 2 * max(gains[best], 0.0))) * len(gains) > LEVEL:
        return 0
    return best + 1


def _log_likelihood(counts: Floats) -> Floats:
    number = counts.sum(axis=-1, keepdims=True)
    return np.asarray(xlogy(counts, counts / np.maximum(number, 1e-9)).sum(axis=-1))


def _has_trend(table: Floats, sizes: Floats) -> bool:
    """Return whether some variant's share rises or falls from block to block."""
    number = sizes.sum()
    times = np.cumsum(sizes) - sizes / 2
    times -= (times @ sizes) / number
    spread = float(sizes @ times**2)
    shares = table.sum(axis=0) / number
    variances = shares * (1 - shares) * spread
    seen = variances > 0
    statistics = (times @ table)[seen] ** 2 / variances[seen]
    level = LEVEL / max(table.shape[1] - 1, 1)
    return bool(len(statistics)) and float(chdtrc(1, statistics.max())) <= level


def penalty(users: Users) -> float:
    """Return what evidence since a block has to have beyond the threshold, in nats.

    The block was chosen in view of the counts, out of as many as there are.
    """
    return math.log(max(len(users.rows), 1))
