"""The weights of a lab's split: read from its system by variant, and replaced in it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from analysis.manifests import Destination as Place
from analysis.manifests import variants_of
from analysis.weights import whole
from lab.fields import LabError
from lab.system import Destination, Rule, System


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


def with_weights(system: System, weights: Mapping[str, float]) -> System:
    """The system with other weights, in per cent, for all variants of its split."""
    old = split_rule(system)
    scaled = whole(weights)
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
