"""Weights in per cent, as they are changed: some given, the rest shared out."""

from __future__ import annotations

from collections.abc import Mapping

from trafficsplit.analysis.split import Split
from trafficsplit.errors import InputError

# Gateways take whole numbers: the parts into which one per cent is divided, the coarsest first.
SCALES = (1, 10, 100, 1000)
DUST = 1e-9  # per cent, what rounding leaves over


def percent(split: Split) -> dict[str, float]:
    """Return weights in per cent, without the rounding errors of their normalisation."""
    return {variant: round(100 * weight, 9) for variant, weight in split.weights.items()}


def complete_weights(weights: Mapping[str, float], before: Mapping[str, float]) -> dict[str, float]:
    """Return all weights in per cent, where some are given and the others share the rest as before.

    Raises InputError for an unknown variant, and for weights that do not sum to 100.
    """
    for variant, weight in weights.items():
        if variant not in before:
            raise InputError(f"there is no variant {variant}, but {', '.join(before)}")
        if not 0 <= weight <= 100:
            raise InputError(f"the weight of {variant} is {weight:g}: give per cent, from 0 to 100")
    others = {variant: weight for variant, weight in before.items() if variant not in weights}
    rest = 100 - sum(weights.values())
    if rest < -DUST or (not others and abs(rest) > DUST):
        raise InputError(f"the weights sum to {100 - rest:g}, and not to 100")
    complete = {**weights, **_share_out(rest, others)}
    return {variant: complete[variant] for variant in before}


def _share_out(rest: float, others: Mapping[str, float]) -> dict[str, float]:
    """Return shares of what is left: in proportion, or equal where all weights are 0."""
    total = sum(others.values())
    if total:
        return {variant: rest * weight / total for variant, weight in others.items()}
    return {variant: rest / len(others) for variant in others}


def whole_weights(weights: Mapping[str, float]) -> dict[str, int]:
    """Return weights in per cent as whole numbers: in per cent where all are whole, else finer."""
    scaled = dict(weights)
    for scale in SCALES:
        scaled = {variant: weight * scale for variant, weight in weights.items()}
        if all(map(_is_whole, scaled.values())):
            break
    return {variant: round(weight) for variant, weight in scaled.items()}


def _is_whole(weight: float) -> bool:
    return abs(weight - round(weight)) < DUST


def in_words(weights: Mapping[str, float]) -> str:
    """Return weights in per cent, for people."""
    return ", ".join(f"{variant} {weight:g} %" for variant, weight in weights.items())
