"""Resources of progressive delivery: SMI's TrafficSplit, Argo's Rollout, Flagger's Canary."""

from __future__ import annotations

import re

from trafficsplit.weights.fields import Fields
from trafficsplit.weights.routes import ALONE, Beside, Destination, Probe, check_weights

# Phases of Flagger's Canary in which the primary gets everything.
PHASES_OF_PRIMARY = {"Succeeded", "Initialized", "Failed", "Finalising"}


def traffic_split(document: Fields, _: Probe, __: Beside = ALONE) -> list[Destination]:
    """Return the backends of a TrafficSplit. Raises InputError."""
    spec = document.fields("spec")
    backends = []
    for backend in spec.each("backends"):
        weight = _quantity(backend)
        backends.append(Destination(str(backend.need("service")), weight, fields=backend))
    check_weights(spec, "backends", backends)
    return backends


def _quantity(backend: Fields) -> int:
    """Return a weight. In v1alpha1 it is a quantity of Kubernetes': `500m` is half of `1`."""
    weight = backend.take("weight", (int, str), 0)
    if isinstance(weight, str):
        quantity = re.fullmatch(r"(\d+)(m?)", weight)
        if quantity is None:
            raise backend.error(f"no weight: {weight!r}", "weight")
        scale = 1 if quantity[2] else 1000
        return scale * int(quantity[1])
    if weight < 0:
        raise backend.error(f"the weight is negative: {weight}", "weight")
    return int(weight)


def rollout(document: Fields, _: Probe, __: Beside = ALONE) -> list[Destination]:
    """Return the stable and the canary service of Argo's Rollout. Raises InputError."""
    spec = document.fields("spec")
    canary = spec.fields("strategy").fields("canary")
    if not canary.names():
        raise spec.error("there is no canary strategy in it: no weights", "strategy")
    most = int(canary.fields("trafficRouting").take("maxTrafficWeight", int, 100))
    weight = _step_weight(document, canary, most)
    return [
        Destination(canary.text("stableService", "stable"), most - weight, role="stable"),
        Destination(canary.text("canaryService", "canary"), weight, role="canary"),
    ]


def _step_weight(document: Fields, canary: Fields, most: int) -> int:
    """Return the canary's weight at the Rollout's present step, in per cent."""
    steps = list(canary.each("steps"))
    status = document.fields("status")
    index = status.take("currentStepIndex", int, 0)
    weight = 0
    for step in steps[: index + 1]:
        if "setWeight" in step:
            weight = step.need("setWeight", int)
            if not 0 <= weight <= most:
                raise step.error(f"the weight is not from 0 to {most}: {weight}", "setWeight")
    # After the last step the new version is the stable one, and gets everything.
    finished = index >= len(steps)
    aborted = status.take("abort", bool, False)
    if finished or aborted:
        return 0
    return int(weight)


def canary(document: Fields, _: Probe, __: Beside = ALONE) -> list[Destination]:
    """Return the primary and the canary service of Flagger's Canary. Raises InputError."""
    spec = document.fields("spec")
    name = spec.fields("service").take("name", str) or spec.fields("targetRef").need("name")
    status = document.fields("status")
    weight = status.take("canaryWeight", int, 0)
    if not 0 <= weight <= 100:
        raise status.error(f"the weight is not from 0 to 100: {weight}", "canaryWeight")
    if status.text("phase") in PHASES_OF_PRIMARY:
        weight = 0
    return [
        Destination(f"{name}-primary", 100 - weight, role="primary"),
        Destination(f"{name}-canary", weight, role="canary"),
    ]
