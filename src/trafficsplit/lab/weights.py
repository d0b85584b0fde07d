"""The weights of a lab's split: read from its system by variant, and replaced in it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from trafficsplit.errors import LabError
from trafficsplit.lab.system import Backend, Routed, System
from trafficsplit.weights.names import variants_of
from trafficsplit.weights.percent import whole_weights
from trafficsplit.weights.routes import Destination


def split_rule(system: System) -> Routed:
    """Return the rule that splits: the first with several backends. Raises LabError."""
    for routing in system.routings:
        for rule in routing.rules:
            if len(rule.backends) > 1:
                return rule
    raise LabError("no rule of the lab's manifests has several destinations: there is no split")


def weights_of(system: System) -> dict[str, float]:
    """Return the weight of each variant in per cent; none where nothing is split."""
    try:
        rule = split_rule(system)
    except LabError:
        return {}
    total = sum(backend.weight for backend in rule.backends)
    named = zip(_variants(system, rule), rule.backends, strict=True)
    return {variant: 100 * backend.weight / total for variant, backend in named}


def _variants(system: System, rule: Routed) -> list[str]:
    return variants_of([_destination(system, backend) for backend in rule.backends], {})


def _destination(system: System, backend: Backend) -> Destination:
    labels = system.subsets.get((backend.service, backend.subset), {})
    return Destination(backend.service, backend.weight, backend.subset, labels=labels)


def with_weights(system: System, weights: Mapping[str, float]) -> System:
    """Return the system with other weights, in per cent, for all variants of its split."""
    old = split_rule(system)
    scaled = whole_weights(weights)
    named = zip(_variants(system, old), old.backends, strict=True)
    backends = tuple(replace(backend, weight=scaled[variant]) for variant, backend in named)
    new = replace(old, backends=backends)
    routings = []
    for routing in system.routings:
        rules = tuple(new if rule is old else rule for rule in routing.rules)
        routings.append(replace(routing, rules=rules))
    return replace(system, routings=routings)
