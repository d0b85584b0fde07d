"""Which variant were the lost requests for?

An answer that says nothing else does not name its variant. But what is lost to one variant is
missing in its share: the counts of the others keep their ratio, and together with what is lost it
has its weight. Where every variant loses alike, the counts of all keep theirs. One account is
believed if the others are `SUPPORT` times less likely, and if by it the split is as configured.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from trafficsplit.analysis.causes.weighing import SUPPORT, fits, is_supported
from trafficsplit.analysis.special import betaln, xlogy
from trafficsplit.analysis.split import Split
from trafficsplit.analysis.tally import Tally

EVERY_VARIANT = ""  # instead of a variant's name
# Cohen's h from the weights, up to which the counts with the losses are as configured: a coarser
# one than for shares, since the losses' own size speaks too.
RESOLUTION = 0.2
FEWEST = 20  # requests: so many are lost, and nothing is answered


@dataclass(frozen=True)
class Lost:
    """What is lost: the tally, and of its errors those whose answers name their variant."""

    tally: Tally
    named: Mapping[str, int] = field(default_factory=dict)

    @property
    def unnamed(self) -> int:
        """The lost requests that may have been any variant's."""
        return max(self.tally.lost - sum(self.named.values()), 0)


@dataclass(frozen=True)
class _Theory:
    """The counts of what each variant was asked, by one account of the losses.

    `log_likelihood` is that of the account, with a uniform share of losses.
    """

    variant: str
    asked: Mapping[str, int]
    log_likelihood: float


def lost_to(split: Split, lost: Lost, support: float = SUPPORT) -> str | None:
    """Return the variant that the lost requests were for; None where that is not certain.

    It is `EVERY_VARIANT` where they are not one variant's alone. Anything else is less likely by a
    factor of `support`.
    """
    if not lost.tally.lost or len(split.positive) < 2:
        return None
    theories = sorted(_theories(split, lost), key=lambda one: one.log_likelihood, reverse=True)
    first = theories[0]
    least = first.log_likelihood - math.log(support)
    if any(other.log_likelihood > least for other in theories[1:]):
        return None
    answered = sum(first.asked.values()) > 0
    if answered and not _is_as_configured(split, first.asked, support):
        return None
    if not answered and lost.tally.lost < FEWEST:
        return None
    return first.variant


def _is_as_configured(split: Split, asked: Mapping[str, int], support: float) -> bool:
    weights = split.positive
    return fits(asked, weights) and is_supported(asked, weights, support, RESOLUTION)


def _theories(split: Split, lost: Lost) -> Iterator[_Theory]:
    """Yield that every variant loses one share, and that one of them loses one and no other does.

    The split is as configured in each.
    """
    ended = _ended(split, lost)
    lost_in_all = lost.tally.lost
    likelihood = _log_sequence(split, ended) + _log_beta(lost_in_all, lost.tally.identified)
    yield _Theory(EVERY_VARIANT, ended, likelihood)
    for variant in split.positive:
        if any(count for name, count in lost.named.items() if name != variant):
            continue
        asked = {**ended, variant: ended[variant] + lost.unnamed}
        good = lost.tally.counts.get(variant, 0)
        yield _Theory(variant, asked, _log_sequence(split, asked) + _log_beta(lost_in_all, good))


def _ended(split: Split, lost: Lost) -> dict[str, int]:
    """Return the requests of each variant that named it, good and lost."""
    counts = lost.tally.counts
    variants = split.positive
    return {name: counts.get(name, 0) + lost.named.get(name, 0) for name in variants}


def _log_sequence(split: Split, counts: Mapping[str, int]) -> float:
    return float(sum(xlogy(count, split[variant]) for variant, count in counts.items()))


def _log_beta(lost: int, good: int) -> float:
    """Return the log probability of a sequence of losses, with a uniform share of them."""
    return float(betaln(lost + 1, good + 1))
