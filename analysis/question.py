"""The question that a run is to answer, and how surely."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

from analysis.errors import InputError
from analysis.fixed import sample_size
from analysis.split import Split

# Past this a fixed number of requests is no plan any more: at 10,000 a second, 28 hours.
MOST_REQUESTS = 10**9


@dataclass(frozen=True)
class Question:
    """Does the gateway split as configured?

    `tolerance`, `zero_tolerance` (for variants of weight 0), `alpha`, `power` and `max_failing`
    are fractions. `requests` is the sample size of the fixed test, planned where None is given.
    Raises InputError for values out of their range.
    """

    split: Split
    tolerance: float
    zero_tolerance: float = 0.001
    alpha: float = 0.01
    power: float = 0.99
    max_failing: float = 0.01
    requests: int = 0

    def __post_init__(self) -> None:
        """Check the ranges, and plan the requests where none are given."""
        for name, text in (("zero_tolerance", "the tolerance of weight 0"), ("alpha", "alpha")):
            if not 0 < getattr(self, name) < 0.5:
                raise InputError(f"{text} is {getattr(self, name):g}: give a fraction below 0.5")
        if not self.alpha < self.power < 1:
            raise InputError(f"power is {self.power:g}: give a fraction between alpha and 1")
        if not 0 < self.tolerance < 0.5:
            raise InputError(
                f"the tolerance is {self.tolerance * 100:g} points: give more than 0, less than 50"
            )
        if not 0 <= self.max_failing < 1:
            raise InputError(
                f"the share of failing requests is {self.max_failing:g}: give a fraction below 1"
            )
        if self.requests < 0 or self.requests > MOST_REQUESTS:
            raise InputError(
                f"{self.requests} requests cannot be sent: give from 1 to {MOST_REQUESTS:,}"
            )
        if self.requests == 0:
            object.__setattr__(self, "requests", self.needed)

    @cached_property
    def needed(self) -> int:
        """The requests that a match takes: enough to see a deviation of one tolerance.

        Raises InputError where they are more than can be sent.
        """
        needed = []
        if len(self.split.positive) > 1:
            needed.append(sample_size(self.split, self.tolerance, self.alpha, self.power))
        if len(self.split.positive) < len(self.split) or len(self.split) == 1:
            needed.append(self.requests_for_zero)
        planned = max(needed)
        if planned > MOST_REQUESTS:
            raise InputError(
                f"a tolerance of {self.tolerance * 100:g} points would take {planned:.0e} "
                "requests: give a larger --tolerance"
            )
        return planned

    def tolerance_of(self, variant: str) -> float:
        """The tolerance that holds for a variant; that of weight 0, or 100 %, is its own."""
        return self.zero_tolerance if self.split[variant] in (0.0, 1.0) else self.tolerance

    @property
    def requests_for_zero(self) -> int:
        """Responses without one of a variant until its share is below `zero_tolerance`.

        (1 − τ₀)^n ≤ α (DESIGN.md 4, weight 0).
        """
        return math.ceil(math.log(self.alpha) / math.log1p(-self.zero_tolerance))
