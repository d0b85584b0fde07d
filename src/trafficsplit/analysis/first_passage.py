"""When evidence reaches its threshold: the first passage of counts over a boundary.

For independent draws a variant's count is a random walk, and evidence reaches its threshold where
the count is beyond a boundary that depends on the number of responses.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from trafficsplit.analysis.evidence import Floats
from trafficsplit.analysis.special import betainc, erfcx, ndtr, ndtri

# A walk in steps of standard deviation 1 is beyond its boundary by so much when it passes, on
# average (Siegmund 1985, section X.2, for normal steps).
EXCESS = 0.583
BISECTIONS = 30
UNREACHABLE = 1e-12  # a chance that is not worth a thought
NEAREST = 1e-16  # to a probability of 1
LEFT_OUT = 1e-3  # of all walks may be later than what is looked at, for a mean

Evidence = Callable[[Floats, Floats], Floats]


@dataclass(frozen=True)
class Passage:
    """When something passes: `late[i]` is the probability that it has not after `n[i]` responses.

    `n` is ascending and `late` descending. `whole` says that `n` has every number of responses up
    to its end.
    """

    n: Floats
    late: Floats
    whole: bool = False

    def quantile(self, q: float) -> float:
        """Return the responses after which a part `q` of all walks has passed, or infinity."""
        late = 1 - q
        if self.late[-1] > late:
            return math.inf
        after = int(np.argmax(self.late <= late))
        if self.whole or after == 0:
            return float(self.n[after])
        # Between two numbers the logarithm of the probability is taken to be a straight line.
        logs = np.log(np.maximum(self.late[after - 1 : after + 1], 1e-300))
        part = (logs[0] - math.log(max(late, 1e-300))) / (logs[0] - logs[1])
        return float(self.n[after - 1] + part * (self.n[after] - self.n[after - 1]))

    @property
    def mean(self) -> float:
        """The mean number of responses, infinite where a part of all walks is later than `n`."""
        return self.mean_from(0.0)

    def mean_from(self, least: float) -> float:
        """Return the mean number of responses, where it takes `least` of them in any case."""
        if self.late[-1] > LEFT_OUT:
            return math.inf
        if self.whole:
            first = max(least, 1.0)
            return first + float(self.late[self.n >= first].sum())
        after = self.n > least
        begun = float(np.interp(least, self.n, self.late, left=1.0))
        n = np.concatenate([[least], self.n[after]])
        return least + float(np.trapezoid(np.concatenate([[begun], self.late[after]]), n))


def surely(n: float) -> Passage:
    """Return a passage after exactly n responses."""
    return Passage(np.array([n, n]), np.array([1.0, 0.0]))


def crossings(
    evidence: Evidence, n: Floats, inside: Floats, end: Floats, threshold: float
) -> Floats:
    """Return the counts at which evidence reaches its threshold, NaN where none is enough.

    `evidence(own, n)` takes counts of a variant and numbers of responses; between `inside` and
    `end` it increases.
    """
    reached = evidence(end, n) >= threshold
    low = inside
    high = end
    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        enough = evidence(middle, n) >= threshold
        high = np.where(enough, middle, high)
        low = np.where(enough, low, middle)
    return np.where(reached, high, np.nan)


def chance_beyond(n: Floats, share: float, boundary: Floats, *, above: bool) -> Floats:
    """Return the probability that a count of n draws with this share is at a boundary or beyond.

    It is that of the binomial distribution, made continuous; 0 where the boundary is NaN.
    """
    count = np.where(np.isnan(boundary), 0.0, boundary)
    if above:
        chance = betainc(count + 0.5, n - count + 0.5, share)
    else:
        chance = betainc(n - count + 0.5, count + 0.5, 1 - share)
    return np.where(np.isnan(boundary), 0.0, chance)


def by_tangents(n: Floats, beyond: Floats) -> Passage:
    """Return the first passage of a walk that is beyond its boundary with these probabilities.

    At each number of responses the boundary is replaced by its tangent there, and the walk by
    Brownian motion, whose first passage is inverse Gaussian (Ferebee 1982, "The tangent
    approximation to one-sided Brownian exit densities"; Siegmund 1985, section III.3).
    """
    late = np.ones(len(n))
    possible = beyond > UNREACHABLE
    if np.count_nonzero(possible) > 1:
        late[possible] = _by_tangents(n[possible], beyond[possible])
    return Passage(n, np.minimum.accumulate(late))


def _by_tangents(n: Floats, beyond: Floats) -> Floats:
    root = np.sqrt(n)
    boundary = EXCESS - ndtri(np.minimum(beyond, 1 - NEAREST)) * root
    slope = np.gradient(boundary, n)
    start = boundary - slope * n
    near = -boundary / root
    far = (start - slope * n) / root
    # exp(−2 start slope) Φ(−far), as a product of which no factor overflows.
    with np.errstate(over="ignore", invalid="ignore"):
        back = erfcx(far / math.sqrt(2)) / 2 * np.exp(-near * near / 2)
    back = np.where((start > 0) & (far > 0), back, 0.0)
    return np.clip(1 - ndtr(near) - back, 0.0, 1.0)


def exactly(share: float, boundary: Floats, *, above: bool) -> Passage:
    """Return the first passage of a count over its boundary after 1, 2, 3, … draws.

    All counts that are not beyond it are followed, draw by draw.
    """
    most = len(boundary)
    chances = np.zeros(most + 2)  # of each count, without a passage so far
    chances[0] = 1.0
    late = np.empty(most)
    for drawn in range(1, most + 1):
        chances[1 : drawn + 1] = chances[1 : drawn + 1] * (1 - share) + chances[:drawn] * share
        chances[0] *= 1 - share
        limit = boundary[drawn - 1]
        if not math.isnan(limit):
            _forget_beyond(chances, limit, above=above)
        late[drawn - 1] = chances[: drawn + 1].sum()
    return Passage(np.arange(1.0, most + 1), late, whole=True)


def _forget_beyond(chances: Floats, limit: float, *, above: bool) -> None:
    if above:
        chances[math.ceil(limit - 1e-9) :] = 0
    else:
        chances[: math.floor(limit + 1e-9) + 1] = 0
