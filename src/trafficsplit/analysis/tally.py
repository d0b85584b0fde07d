"""The tally: what came back."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from trafficsplit.errors import InputError


@dataclass(frozen=True)
class Tally:
    """Counts of responses, by variant, and of those that say nothing about the split.

    `errors` got no 2xx answer, `unidentified` a 2xx answer that names no variant. Tallies can be
    added up. Raises InputError for counts that are negative or not whole.
    """

    counts: Mapping[str, int] = field(default_factory=dict)
    errors: int = 0
    unidentified: int = 0

    def __post_init__(self) -> None:
        """Check, and make the counts read-only."""
        named = {**self.counts, "errors": self.errors, "unidentified": self.unidentified}
        for name, count in named.items():
            if isinstance(count, bool) or not isinstance(count, int):
                raise InputError(f"the count of {name} is not a whole number: {count!r}")
            if count < 0:
                raise InputError(f"the count of {name} is negative: {count}")
        object.__setattr__(self, "counts", MappingProxyType(dict(self.counts)))

    def __add__(self, other: Tally) -> Tally:
        counts = dict(self.counts)
        for variant, count in other.counts.items():
            counts[variant] = counts.get(variant, 0) + count
        return Tally(counts, self.errors + other.errors, self.unidentified + other.unidentified)

    def __reduce__(self) -> tuple[type[Tally], tuple[dict[str, int], int, int]]:
        return Tally, (dict(self.counts), self.errors, self.unidentified)

    @property
    def identified(self) -> int:
        """Responses that name a variant."""
        return sum(self.counts.values())

    @property
    def lost(self) -> int:
        """Requests that say nothing about the split."""
        return self.errors + self.unidentified

    @property
    def requests(self) -> int:
        """All requests that have ended, one way or another."""
        return self.identified + self.lost

    def counts_of(self, variants: Iterable[str]) -> list[int]:
        """Return the counts of some variants, in their order; 0 for one that has none."""
        return [self.counts.get(variant, 0) for variant in variants]

    def share(self, variant: str) -> float | None:
        """Return the fraction of the identified responses that a variant got; None if none are."""
        identified = self.identified
        if not identified:
            return None
        return self.counts.get(variant, 0) / identified
