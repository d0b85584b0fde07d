"""Weights in per cent, as they are changed: some given, the rest shared out."""

from __future__ import annotations

from collections.abc import Mapping

from trafficsplit.analysis.split import Split
from trafficsplit.errors import InputError

# Weights are whole numbers to a gateway: so finely a per cent can be cut.
SCALES = (1, 10, 100, 1000)
DUST = 1e-9  # what is left over by rounding


def percent(split: Split) -> dict[str, float]:
    """Return weights in per cent, without the dust of their normalisation."""
    return {variant: round(100 * weight, 9) for variant, weight in split.weights.items()}


def complete_weights(weights: Mapping[str, float], before: Mapping[str, float]) -> dict[str, float]:
    """Return all weights, in per cent, where some are given: the others share the rest as before.

    Raises InputError for a variant that there is not, and for more than 100.
    """
    for variant, weight in weights.items():
        if variant not in before:
            raise InputError(f"there is no variant {variant}, but {', '.join(before)}")
        if not 0 <= weight <= 100:
            raise InputError(f"the weight of {variant} is {weight:g}: give per cent, from 0 to 100")
    others = {v: w for v, w in before.items() if v not in weights}
    rest = 100 - sum(weights.values())
    if rest < -DUST or (not others and abs(rest) > DUST):
        raise InputError(f"the weights sum to {100 - rest:g}, and not to 100")
    shared = _shared(rest, others)
    return {v: weights.get(v, shared.get(v, 0.0)) for v in before}


def _shared(rest: float, others: Mapping[str, float]) -> dict[str, float]:
    """Share out what is left in proportion, or equally where nobody had anything."""
    total = sum(others.values())
    if total:
        return {variant: rest * weight / total for variant, weight in others.items()}
    return dict.fromkeys(others, rest / len(others)) if others else {}


def whole_weights(weights: Mapping[str, float]) -> dict[str, int]:
    """Return the same weights as whole numbers: per cent where that does, else finer."""
    scaled: dict[str, float] = dict(weights)
    for scale in SCALES:
        scaled = {variant: weight * scale for variant, weight in weights.items()}
        if all(abs(weight - round(weight)) < DUST for weight in scaled.values()):
            break
    return {variant: round(weight) for variant, weight in scaled.items()}


def in_words(weights: Mapping[str, float]) -> str:
    """Return weights in per cent, for people."""
    return ", ".join(f"{variant} {weight:g} %" for variant, weight in weights.items())
