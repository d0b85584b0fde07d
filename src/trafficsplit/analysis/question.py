"""The question that a run is to answer, and how surely."""

from __future__ import annotations

import math
from dataclasses import dataclass

from trafficsplit.analysis.split import Split
from trafficsplit.analysis.tally import Tally
from trafficsplit.errors import InputError

MOST_VARIANTS = 20
MOST_REQUESTS = 10**9  # 28 hours at 10,000 a second: more is no plan any more
MOST_USER_REQUESTS = 100
TESTS = ("sequential", "fixed")
SMALLEST = 1e-12  # a smaller fraction says more about floating point than about a gateway


@dataclass(frozen=True)
class Question:
    """Does the gateway split as configured?

    `tolerance`, `zero_tolerance` (for variants of weight 0 or 1), `alpha`, `power` and
    `max_failing` are fractions. `test` is the judge: `sequential`, which may be looked at at any
    time, or `fixed`, chi-square at a sample size set beforehand. `requests` is the budget of the
    one and the sample size of the other; 0: not planned yet (`analysis.planning.planned`).
    `gateways` is the number of gateways that share the load. `mismatch_alpha` is the bound on a
    wrong `mismatch`, and on a wrong `failing`, where it is not `alpha`, that on a wrong `match`.
    `previous` are the weights before the change that is verified, where they are known: the
    likeliest mismatch.
    `user_requests` are those of each user where draws are users, and 0 where they are requests.
    There is no `match` before `least_requests`.
    Raises InputError for values out of their range.
    """

    split: Split
    tolerance: float
    zero_tolerance: float = 0.001
    alpha: float = 0.01
    power: float = 0.99
    max_failing: float = 0.01
    requests: int = 0
    test: str = "sequential"
    gateways: int = 1
    mismatch_alpha: float | None = None
    previous: Split | None = None
    user_requests: int = 0
    least_requests: int = 0

    def __post_init__(self) -> None:
        """Check the ranges."""
        if self.test not in TESTS:
            raise InputError(f"there is no test {self.test!r}: say {' or '.join(TESTS)}")
        _check_fraction("the tolerance of weight 0", self.zero_tolerance)
        _check_fraction("alpha", self.alpha)
        if not 0 < self.alpha_of_mismatch < 0.5:
            raise InputError(
                f"the alpha of a mismatch is {self.mismatch_alpha:g}: give a fraction below 0.5"
            )
        if not self.alpha < self.power < 1:
            raise InputError(f"power is {self.power:g}: give a fraction between alpha and 1")
        self._check_weights()
        self._check_tolerance()
        if self.max_failing and not SMALLEST <= self.max_failing < 1:
            raise InputError(
                f"the share of failing requests is {self.max_failing:g}: give a fraction below 1"
            )
        if self.gateways < 1:
            raise InputError(f"{self.gateways} gateways cannot be asked: give at least one")
        if self.user_requests:
            self._check_users()
        if not 0 <= self.requests <= MOST_REQUESTS:
            raise InputError(
                f"{self.requests} requests cannot be sent: give from 1 to {MOST_REQUESTS:,}"
            )

    def _check_users(self) -> None:
        """Raise InputError for users that cannot be seen to stay, and for another test of them."""
        if not 2 <= self.user_requests <= MOST_USER_REQUESTS:
            raise InputError(
                f"{self.user_requests} requests of a user do not show whether it stays: give from "
                f"2 to {MOST_USER_REQUESTS}"
            )
        if self.test != "sequential":
            raise InputError(
                "the fixed test is of requests, not of users: give --unit user or --test fixed"
            )

    def _check_weights(self) -> None:
        """Raise InputError for a weight that no run can tell from 0, and for too many variants."""
        if len(self.split) > MOST_VARIANTS:
            raise InputError(
                f"{len(self.split)} variants are too many for one question: give at most "
                f"{MOST_VARIANTS}"
            )
        for variant, weight in self.split.positive.items():
            if weight < SMALLEST:
                raise InputError(
                    f"the weight of {variant} is {weight * 100:g} %: give 0, or "
                    f"{SMALLEST * 100:g} or more"
                )

    def _check_tolerance(self) -> None:
        """Raise InputError for a tolerance that makes a match of no traffic at all, or of all."""
        if not SMALLEST <= self.tolerance < 0.5:
            raise InputError(
                f"the tolerance is {self.tolerance * 100:g} points: give from {SMALLEST * 100:g}, "
                "less than 50"
            )
        for variant, weight in self.split.weights.items():
            room = min(weight, 1 - weight)
            if 0 < room <= self.tolerance:
                end = "nothing" if weight <= 0.5 else "everything"
                raise InputError(
                    f"a tolerance of {self.tolerance * 100:g} points would let {variant}, of "
                    f"weight {weight * 100:g} %, get {end}: give less than {room * 100:g}"
                )

    def tolerance_of(self, variant: str) -> float:
        """Return the tolerance that holds for a variant; weights 0 and 1 have one of their own."""
        if self.split[variant] in (0.0, 1.0):
            return self.zero_tolerance
        return self.tolerance

    def tolerates(self, tally: Tally) -> bool:
        """Return whether the shares in some counts are within the tolerance, by themselves."""
        for variant, weight in self.split.weights.items():
            if abs((tally.share(variant) or 0.0) - weight) > self.tolerance_of(variant):
                return False
        return True

    @property
    def alpha_of_mismatch(self) -> float:
        """The bound on a wrong `mismatch`, and that on a wrong `failing`."""
        if self.mismatch_alpha is None:
            return self.alpha
        return self.mismatch_alpha

    @property
    def likely_shares(self) -> list[float]:
        """The shares that are the likeliest deviation, one for each variant; empty: not known."""
        if self.previous is None:
            return []
        return [self.previous[variant] for variant in self.split]

    @property
    def chi_square_alpha(self) -> float:
        """Alpha of a chi-square test, which bounds a mismatch: half of it if there are two tests.

        These are of the sum of several gateways, and of their homogeneity.
        """
        if self.gateways > 1:
            return self.alpha_of_mismatch / 2
        return self.alpha_of_mismatch

    @property
    def requests_for_zero(self) -> int:
        """The responses without one of a variant that show its share to be below `zero_tolerance`.

        (1 − τ₀)^n ≤ α (DESIGN.md 4, weight 0).
        """
        return math.ceil(math.log(self.alpha) / math.log1p(-self.zero_tolerance))


def _check_fraction(what: str, value: float) -> None:
    if not SMALLEST <= value < 0.5:
        raise InputError(f"{what} is {value:g}: give a fraction from {SMALLEST:g}, below 0.5")
