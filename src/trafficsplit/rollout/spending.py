"""How a release spends one alpha over its steps, its way back, and what is tried again.

Two kinds of error are bounded, each by alpha for the whole release, and they add up differently.

A *wrong match*: weights are called verified that are not in force. The first verification without a
match ends the walk. So no bad step is passed unless the first of them is, and the probability that
any is passed is that of the first one: a walk is a fixed sequence of tests, each at the same alpha
(Maurer, Hothorn & Lehmacher 1995; Rosenbaum 2008). What begins after a verification without a
match, the way back or another try, is a new sequence, and has its part of what is left.

A *wrong stop*: a gateway that does as it is configured is a mismatch, failing, or late. Each
verification is another chance of each kind, so their parts add up (Bonferroni).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from trafficsplit.analysis.question import SMALLEST, Question
from trafficsplit.settings.question import Limits

# Parts of alpha for a wrong match: most for the walk, since every step takes that many requests;
# of the rest three quarters for what comes next, as a rule the way back, and so on.
WALK = 0.6
NEXT = 0.75
# The part of alpha for wrong stops of all planned verifications, the way back being one; each
# further one has half of what is left.
PLANNED = 0.9
# Kinds of it: a mismatch, more losses than are allowed, and a gateway that no longer answers.
KINDS_OF_STOP = 3


@dataclass(frozen=True)
class Spent:
    """What a release has spent: the number of verifications that have begun, and of those missed.

    A verification is missed from its beginning until it comes to a match, so that one which was
    interrupted counts.
    """

    begun: int = 0
    missed: int = 0

    def __post_init__(self) -> None:
        """Check the ranges. Raises ValueError."""
        if not 0 <= self.missed <= self.begun:
            raise ValueError(f"{self.missed} of {self.begun} verifications cannot be missed")

    def after_beginning(self) -> Spent:
        """Return what is spent once another verification has begun."""
        return Spent(self.begun + 1, self.missed + 1)

    def after_match(self) -> Spent:
        """Return what is spent once that verification has come to a match."""
        return Spent(self.begun, self.missed - 1)


def part_of_match(spent: Spent) -> float:
    """Return the part of alpha that bounds a wrong match of the next verification."""
    if spent.missed == 0:
        return WALK
    return (1 - WALK) * NEXT * (1 - NEXT) ** (spent.missed - 1)


def part_of_stop(spent: Spent, planned: int) -> float:
    """Return the part of alpha that bounds a wrong stop by the next verification.

    `planned` is the number of verifications of a release that is passed or goes back.
    """
    if spent.begun < planned:
        return PLANNED / planned
    return (1 - PLANNED) / 2.0 ** min(spent.begun - planned + 1, 1000)


def limits_of_next(limits: Limits, spent: Spent, steps: int, *, more_kinds: int = 0) -> Limits:
    """Return the limits of the next verification of a release of so many steps.

    `limits` are the release's own. Chi-square's wrong match is the power that it lacks, so that
    this is spent likewise. `more_kinds` of wrong stops have their parts: "too late" where there is
    a deadline, "worse than the baseline" where there is a limit to that.
    """
    match = part_of_match(spent)
    stop = part_of_stop(spent, _planned(steps)) / (KINDS_OF_STOP + more_kinds)
    # No question takes an alpha below the smallest.
    return replace(
        limits,
        alpha=max(_alpha(limits) * match, SMALLEST),
        mismatch_alpha=max(_alpha(limits) * stop, SMALLEST),
        power=1 - max((1 - _power(limits)) * match, SMALLEST),
    )


def bounds_of_next(limits: Limits, spent: Spent, steps: int) -> str:
    """Return the bounds on both errors of the next verification, in per cent, for people."""
    passed = 1 - _power(limits) if limits.test == "fixed" else _alpha(limits)
    passed *= part_of_match(spent)
    stopped = _alpha(limits) * part_of_stop(spent, _planned(steps))
    return f"wrongly passed at most {100 * passed:.2g} %, wrongly stopped {100 * stopped:.2g} %"


def _planned(steps: int) -> int:
    """Return the number of planned verifications: of all steps, and of the way back."""
    return steps + 1


def _alpha(limits: Limits) -> float:
    return Question.alpha if limits.alpha is None else limits.alpha


def _power(limits: Limits) -> float:
    return Question.power if limits.power is None else limits.power
