"""The weights of a lab's split: read from its system by variant, and replaced in it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from analysis.manifests import Destination as Place
from analysis.manifests import variants_of
from lab.fields import LabError
from lab.system import Destination, Rule, System

FINEST = 1000  # weights are whole numbers to Envoy: a thousandth of one is not lost


def split_rule(system: System) -> Rule:
    """The rule that splits: the first with several destinations. Raises LabError."""
    for service in system.virtual_services:
        for rule in service.rules:
            if len(rule.destinations) > 1:
                return rule
    raise LabError("no rule of the lab's manifests has several destinations: there is no split")


def weights_of(system: System) -> dict[str, float]:
    """The weight of each variant in per cent; none where nothing is split."""
    try:
        rule = split_rule(system)
    except LabError:
        return {}
    total = sum(destination.weight for destination in rule.destinations)
    return {
        variant: 100 * destination.weight / total
        for variant, destination in zip(_variants(system, rule), rule.destinations, strict=True)
    }


def _variants(system: System, rule: Rule) -> list[str]:
    return variants_of([_place(system, destination) for destination in rule.destinations])


def _place(system: System, destination: Destination) -> Place:
    labels = system.subsets.get((destination.service, destination.subset), {})
    return Place(destination.service, destination.weight, destination.subset, labels)


def completed(weights: Mapping[str, float], before: Mapping[str, float]) -> dict[str, float]:
    """All weights, in per cent, where some are given: the others share the rest as before.

    Raises LabError for a variant that there is not, and for more than 100.
    """
    for variant, weight in weights.items():
        if variant not in before:
            raise LabError(f"there is no variant {variant}, but {', '.join(before)}")
        if not 0 <= weight <= 100:
            raise LabError(f"the weight of {variant} is {weight:g}: give per cent, from 0 to 100")
    others = {v: w for v, w in before.items() if v not in weights}
    rest = 100 - sum(weights.values())
    if rest < -1e-9 or (not others and abs(rest) > 1e-9):
        raise LabError(f"the weights sum to {100 - rest:g}, and not to 100")
    total = sum(others.values())
    shared = {v: rest * (w / total if total else 1 / len(others)) for v, w in others.items()}
    return {v: weights.get(v, shared.get(v, 0.0)) for v in before}


def in_words(weights: Mapping[str, float]) -> str:
    """Weights in per cent, for people."""
    return ", ".join(f"{variant} {weight:g} %" for variant, weight in weights.items())


def with_weights(system: System, weights: Mapping[str, float]) -> System:
    """The system with other weights, in per cent, for all variants of its split."""
    old = split_rule(system)
    whole = all(float(w).is_integer() for w in weights.values())
    scaled = {v: round(w * (1 if whole else FINEST)) for v, w in weights.items()}
    new = replace(
        old,
        destinations=tuple(
            replace(destination, weight=scaled[variant])
            for variant, destination in zip(_variants(system, old), old.destinations, strict=True)
        ),
    )
    services = [
        replace(one, rules=tuple(new if rule is old else rule for rule in one.rules))
        for one in system.virtual_services
    ]
    return replace(system, virtual_services=services)
