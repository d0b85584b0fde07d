"""Weights in per cent, as they are changed: some given, the rest shared out."""

from __future__ import annotations

from collections.abc import Mapping

from analysis.errors import InputError

# Weights are whole numbers to a gateway: so finely a per cent can be cut.
SCALES = (1, 10, 100, 1000)


def completed(weights: Mapping[str, float], before: Mapping[str, float]) -> dict[str, float]:
    """All weights, in per cent, where some are given: the others share the rest as before.

    Raises InputError for a variant that there is not, and for more than 100.
    """
    for variant, weight in weights.items():
        if variant not in before:
            raise InputError(f"there is no variant {variant}, but {', '.join(before)}")
        if not 0 <= weight <= 100:
            raise InputError(f"the weight of {variant} is {weight:g}: give per cent, from 0 to 100")
    others = {v: w for v, w in before.items() if v not in weights}
    rest = 100 - sum(weights.values())
    if rest < -1e-9 or (not others and abs(rest) > 1e-9):
        raise InputError(f"the weights sum to {100 - rest:g}, and not to 100")
    total = sum(others.values())
    shared = {v: rest * (w / total if total else 1 / len(others)) for v, w in others.items()}
    return {v: weights.get(v, shared.get(v, 0.0)) for v in before}


def whole(weights: Mapping[str, float]) -> dict[str, int]:
    """The same weights as whole numbers: per cent where that does, else finer."""
    for scale in SCALES:
        scaled = {variant: weight * scale for variant, weight in weights.items()}
        if all(abs(weight - round(weight)) < 1e-9 for weight in scaled.values()):
            break
    return {variant: round(weight) for variant, weight in scaled.items()}


def in_words(weights: Mapping[str, float]) -> str:
    """Weights in per cent, for people."""
    return ", ".join(f"{variant} {weight:g} %" for variant, weight in weights.items())
