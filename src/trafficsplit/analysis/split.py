"""The split: what is configured for each variant."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from trafficsplit.errors import InputError


@dataclass(frozen=True)
class Split:
    """The weights of all variants, normalised to a sum of 1.

    `Split({"blue": 75, "green": 25})["green"]` is 0.25: weights come in any unit. The order of
    the variants is kept. Raises InputError for weights that are negative, not finite numbers, all
    zero or none at all.
    """

    weights: Mapping[str, float]

    def __post_init__(self) -> None:
        """Check and normalise."""
        if not self.weights:
            raise InputError("no weights: give at least one, e.g. blue=75,green=25")
        for variant, weight in self.weights.items():
            _check_name(variant)
            _check_weight(variant, weight)
        if not any(self.weights.values()):
            raise InputError("all weights are zero: at least one variant must get traffic")
        object.__setattr__(self, "weights", MappingProxyType(_normalised(self.weights)))

    def __getitem__(self, variant: str) -> float:
        """Return the weight of a variant, as a fraction; 0 for one that is not configured."""
        return self.weights.get(variant, 0.0)

    def __iter__(self) -> Iterator[str]:
        return iter(self.weights)

    def __len__(self) -> int:
        return len(self.weights)

    def __contains__(self, variant: object) -> bool:
        return variant in self.weights

    def __hash__(self) -> int:
        return hash(tuple(self.weights.items()))

    def __reduce__(self) -> tuple[type[Split], tuple[dict[str, float]]]:
        return Split, (dict(self.weights),)  # a mapping proxy cannot be pickled

    @property
    def positive(self) -> dict[str, float]:
        """The variants that are to get traffic, with their weights."""
        return {variant: weight for variant, weight in self.weights.items() if weight > 0}

    @property
    def default_tolerance(self) -> float:
        """0.02, or half of the smallest non-zero weight if that is less (DESIGN.md 4)."""
        return min(0.02, min(self.positive.values()) / 2)

    def __str__(self) -> str:
        shown = [f"{variant} {weight * 100:g} %" for variant, weight in self.weights.items()]
        return ", ".join(shown)


def _check_name(variant: object) -> None:
    if not isinstance(variant, str) or not variant.strip() or not variant.isprintable():
        raise InputError(f"{variant!r} is no variant's name: give one, e.g. green=25")


def _check_weight(variant: str, weight: object) -> None:
    if isinstance(weight, bool) or not isinstance(weight, int | float):
        raise InputError(f"the weight of {variant} is not a number: {weight!r}")
    if not math.isfinite(weight):
        raise InputError(f"the weight of {variant} is {weight}: give a finite number")
    if weight < 0:
        raise InputError(f"the weight of {variant} is negative: {weight:g}")


def _normalised(weights: Mapping[str, float]) -> dict[str, float]:
    """Return weights that add up to 1."""
    largest = max(weights.values())
    scale = 1.0
    if not 1e-100 < largest < 1e100:  # sums of such weights overflow, or vanish
        scale = largest
    total = math.fsum(weight / scale for weight in weights.values())
    return {variant: weight / scale / total for variant, weight in weights.items()}
