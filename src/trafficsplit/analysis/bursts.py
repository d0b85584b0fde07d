"""How much errors and slow answers say that come in bursts, from their counts by stretch of time.

Sums over stretches spread more than those of independent requests if there are bursts. Stretches
are put together two by two until few are left, since bursts may last for any time, and the widest
spread counts.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from trafficsplit.analysis.evidence import Floats
from trafficsplit.analysis.run import VariantCourse

FEWEST = 8  # stretches of which a spread is made


@dataclass(frozen=True)
class Errors:
    """The errors of one variant: `count` of `requests`.

    `variance` is that of the count, which is the count itself if errors are independent (Poisson),
    and the sum of the squares of all bursts if they come in bursts. `largest` is the largest burst,
    at least 1.
    """

    count: int
    requests: int
    variance: float
    largest: float = 1.0


def independent_errors(count: int, requests: int) -> Errors:
    """Return errors of which nothing is known but their number."""
    return Errors(count, requests, float(count))


def errors_of(course: VariantCourse) -> Errors:
    """Return the errors of a course, with the spread that they show."""
    errors = np.array(course.errors, float)
    requests = errors + np.array(course.answers, float)
    count = int(errors.sum())
    total = int(requests.sum())
    if not count:
        return independent_errors(0, total)
    if len(errors) < FEWEST:  # too few to tell: the errors of each stretch are one burst
        return Errors(count, total, float(errors @ errors), float(errors.max()))
    excess = errors - requests * count / total
    variance = float(count)
    largest = 1.0
    for sums in _scales(excess):
        variance = max(variance, _variance(sums))
        largest = max(largest, float(sums.max()))
    return Errors(count, total, variance, largest)


def with_errors(course: VariantCourse, more: VariantCourse) -> VariantCourse:
    """Return a course to which the errors of another one are added."""
    together = np.array(course.errors) + np.array(more.errors)
    return VariantCourse(course.answers, together.tolist(), course.slow)


def dispersion_of_slow(ours: VariantCourse, theirs: VariantCourse) -> float:
    """Return how many times wider than by chance two variants' parts of slow answers differ.

    It is the variance of the difference over that of independent answers, at least 1, and the most
    of what is found for 1, 3 and 10 % of the answers. What slows both variants down at the same
    time does not count, since it makes no difference. It is one figure for both, since what one of
    them showed may happen to the other: each with its own, stalls of a variant were a false alarm
    in 1.3 to 1.7 % (benchmarks/field_canary.py).
    """
    found = [1.0]
    for our_slow, their_slow in zip(ours.slow, theirs.slow, strict=True):
        our_part = _Part(np.array(our_slow, float), np.array(ours.answers, float))
        their_part = _Part(np.array(their_slow, float), np.array(theirs.answers, float))
        expected = our_part.variance + their_part.variance
        if expected:
            difference = our_part.deviations - their_part.deviations
            found += [_variance(sums) / expected for sums in _scales(difference)]
    return max(found)


@dataclass(frozen=True)
class _Part:
    """The part of one variant's answers that is slow, by stretch."""

    slow: Floats
    answers: Floats

    @property
    def _total(self) -> float:
        return max(float(self.answers.sum()), 1.0)

    @property
    def _share(self) -> float:
        return float(self.slow.sum()) / self._total

    @property
    def variance(self) -> float:
        """The variance of the part, if answers are independent."""
        return self._share * (1 - self._share) / self._total

    @property
    def deviations(self) -> Floats:
        """What each stretch adds to the part, beyond what its answers let expect."""
        deviations: Floats = (self.slow - self.answers * self._share) / self._total
        return deviations


def _scales(values: Floats) -> Iterator[Floats]:
    """Yield values by stretch, then by two stretches, by four … while enough are left."""
    yield values
    while len(values) >= 2 * FEWEST:
        if len(values) % 2:
            values = np.append(values, 0.0)
        values = values[::2] + values[1::2]
        yield values


def _variance(deviations: Floats) -> float:
    """Return the variance of the sum of all stretches, from their deviations, whose sum is 0."""
    number = len(deviations)
    return float(deviations @ deviations) * number / max(number - 1, 1)
