"""The weights of a lab's split: read from its system by variant, and replaced in it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from trafficsplit.errors import LabError
from trafficsplit.lab.system import Routed, System
from trafficsplit.weights.names import variants_of
from trafficsplit.weights.percent import whole_weights
from trafficsplit.weights.routes import Destination


def split_rule(system: System) -> Routed:
    """Return the first rule with several backends. Raises LabError where there is none."""
    for routing in system.routings:
        for rule in routing.rules:
            if len(rule.backends) > 1:
                return rule
    raise LabError("no rule of the lab's manifests has several destinations: there is no split")


def weights_of(system: System) -> dict[str, float]:
    """Return the weight of each variant in per cent; an empty dict where nothing is split."""
    try:
        rule = split_rule(system)
    except LabError:
        return {}
    total = sum(backend.weight for backend in rule.backends)
    named = zip(_variants(system, rule), rule.backends, strict=True)
    return {variant: 100 * backend.weight / total for variant, backend in named}


def _variants(system: System, rule: Routed) -> list[str]:
    destinations = []
    for backend in rule.backends:
        labels = system.subsets.get((backend.service, backend.subset), {})
        destinations.append(
            Destination(backend.service, backend.weight, backend.subset, labels=labels)
        )
    return variants_of(destinations, {})


def with_weights(system: System, weights: Mapping[str, float]) -> System:
    """Return the system with other weights for all variants of its split, in per cent.

    Raises LabError where the system has no split.
    """
    old = split_rule(system)
    scaled = whole_weights(weights)
    backends = []
    for variant, backend in zip(_variants(system, old), old.backends, strict=True):
        backends.append(replace(backend, weight=scaled[variant]))
    new = replace(old, backends=tuple(backends))
    routings = []
    for routing in system.routings:
        rules = list(routing.rules)
        for index, rule in enumerate(rules):
            if rule is old:
                rules[index] = new
        routings.append(replace(routing, rules=tuple(rules)))
    return replace(system, routings=routings)
