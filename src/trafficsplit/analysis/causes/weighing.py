"""Which of several exact splits the counts support, against each other and against any other split.

A split that is not ruled out is not yet supported: 4 of 21 fits 25 % and 10 % alike. A candidate is
supported if every split that differs from it by more than `RESOLUTION` is `SUPPORT` times less
likely. For each variant's share p and each end e of that band, the likelihood ratio
(p/e)^x ((1−p)/(1−e))^(n−x) is an e-process against "the share is at e or beyond" (DESIGN.md 4), so
that it is supported wrongly with a probability of at most 1/`SUPPORT`, however often it is looked
at.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from trafficsplit.analysis.evidence import log_evidence_against_exact, log_ratios
from trafficsplit.analysis.special import xlogy
from trafficsplit.analysis.split import Split

# The difference that is told apart, as Cohen's h (1988, section 6.2): that of 2·asin √p.
# That is 5 points at a share of 50 %, 4.3 at 25 %, 2.2 at 5 %.
RESOLUTION = 0.1
SUPPORT = 100.0
# A share of 0 is told apart from this one, and a share of 1 from its complement.
LEAST_SHARE = 0.01
RULED_OUT = 100.0  # evidence against exactly these shares
FACTOR = 20.0  # a candidate stands out if it is this much likelier than the next


@dataclass(frozen=True)
class Candidate:
    """A cause that would give these shares, by variant; they sum to 1.

    `prior` is how often it is the cause, relative to others. `asks` says that its advice is a
    question, since the same shares may have come about otherwise: it is never certain.
    """

    name: str
    shares: Mapping[str, float]
    advice: str
    prior: float = 0.1
    asks: bool = False


@dataclass(frozen=True)
class Weighed:
    """A candidate that the counts do not rule out.

    `log_likelihood` is relative to the best conceivable shares. `supported` says that the counts
    tell it apart from every split that differs by more than `RESOLUTION`.
    """

    candidate: Candidate
    log_likelihood: float
    supported: bool

    @property
    def log_posterior(self) -> float:
        """The likelihood times the prior, as a logarithm."""
        return self.log_likelihood + math.log(self.candidate.prior)


@dataclass(frozen=True)
class Weighing:
    """The candidates that the counts do not rule out, the likeliest first."""

    fitting: Sequence[Weighed]

    @property
    def rivals(self) -> list[Weighed]:
        """The likeliest candidate, and those that the counts do not tell apart from it."""
        if not self.fitting:
            return []
        first = self.fitting[0]
        return [one for one in self.fitting if _rivals(one, first)]

    @property
    def found(self) -> Weighed | None:
        """The one candidate that is supported and stands out, None where there is none."""
        rivals = self.rivals
        names = {rival.candidate.name for rival in rivals}
        if len(names) != 1 or not rivals[0].supported:
            return None
        return rivals[0]


def _rivals(one: Weighed, first: Weighed) -> bool:
    """Return whether a candidate may be the cause as well as the likeliest.

    A cause that is no question has to be ruled out by the likelihood alone: priors are guesses.
    """
    if one.log_posterior > first.log_posterior - math.log(FACTOR):
        return True
    least = first.log_likelihood - math.log(SUPPORT)
    return not one.candidate.asks and one.log_likelihood > least


def weigh(
    counts: Mapping[str, int], candidates: Iterable[Candidate], support: float = SUPPORT
) -> Weighing:
    """Return which candidates fit the counts, and which of these the counts support."""
    n = sum(counts.values())
    best = log_likelihood(counts, {name: count / max(n, 1) for name, count in counts.items()})
    fitting = []
    for candidate in candidates:
        if fits(counts, candidate.shares):
            likelihood = log_likelihood(counts, candidate.shares) - best
            supported = is_supported(counts, candidate.shares, support)
            fitting.append(Weighed(candidate, likelihood, supported))
    fitting.sort(key=lambda one: one.log_posterior, reverse=True)
    return Weighing(fitting)


def fits(
    counts: Mapping[str, int], shares: Mapping[str, float], ruled_out: float = RULED_OUT
) -> bool:
    """Return whether the counts do not rule these shares out, by evidence of `ruled_out`."""
    if any(count and not shares.get(variant, 0.0) for variant, count in counts.items()):
        return False
    variants = list({**shares, **counts})
    x = np.array([counts.get(variant, 0) for variant in variants], dtype=float)
    split = Split({variant: shares.get(variant, 0.0) for variant in variants})
    w = np.array(list(split.weights.values()))
    return log_evidence_against_exact(x, w) < math.log(ruled_out)


def is_supported(
    counts: Mapping[str, int],
    shares: Mapping[str, float],
    support: float = SUPPORT,
    resolution: float = RESOLUTION,
) -> bool:
    """Return whether shares farther away are all less likely, by a factor of `support`."""
    n = sum(counts.values())
    needed = math.log(support)
    for variant, share in shares.items():
        x = counts.get(variant, 0)
        for edge in _edges(share, resolution):
            if _log_ratio(share, edge, x, n) < needed:
                return False
    return True


def differ(one: Mapping[str, float], other: Mapping[str, float]) -> bool:
    """Return whether two splits differ by more than `RESOLUTION`, in one variant at least."""
    for variant in {**one, **other}:
        if abs(_angle(one.get(variant, 0.0)) - _angle(other.get(variant, 0.0))) > RESOLUTION / 2:
            return True
    return False


def _edges(share: float, resolution: float) -> list[float]:
    """Return the shares at the ends of the band around a share, where it has any."""
    if share <= 0:
        return [LEAST_SHARE]
    if share >= 1:
        return [1 - LEAST_SHARE]
    angle = _angle(share)
    edges = []
    if angle > resolution / 2:
        edges.append(math.sin(angle - resolution / 2) ** 2)
    if angle < math.pi / 2 - resolution / 2:
        edges.append(math.sin(angle + resolution / 2) ** 2)
    return edges


def _angle(share: float) -> float:
    return math.asin(math.sqrt(min(max(share, 0.0), 1.0)))


def _log_ratio(share: float, edge: float, x: int, n: int) -> float:
    """Return the logarithm of the likelihood ratio of a share to an edge."""
    if share in (0.0, 1.0):
        # Only the answers that it allows have come: the candidate fits.
        return -n * math.log1p(-LEAST_SHARE)
    one, other = log_ratios(share, edge)
    return x * one + (n - x) * other


def log_likelihood(counts: Mapping[str, int], shares: Mapping[str, float]) -> float:
    """Return the logarithm of the probability of a sequence with these counts."""
    return float(sum(xlogy(count, shares.get(name, 0.0)) for name, count in counts.items()))
