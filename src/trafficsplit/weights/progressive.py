"""Resources of progressive delivery: SMI's TrafficSplit, Argo's Rollout, Flagger's Canary."""

from __future__ import annotations

import re

from trafficsplit.errors import InputError
from trafficsplit.weights.fields import Fields
from trafficsplit.weights.replicas import pods_at, surge
from trafficsplit.weights.routes import (
    ALONE,
    Beside,
    Destination,
    Probe,
    check_weights,
    compile_pattern,
    name_of,
)

# Phases of Flagger's Canary in which the primary gets everything.
SMI_SPECS = "specs.smi-spec.io"
PHASES_OF_PRIMARY = {"Succeeded", "Initialized", "Failed", "Finalising"}


def traffic_split(
    document: Fields, probe: Probe, beside: Beside = ALONE
) -> list[Destination] | InputError:
    """Return the backends of a TrafficSplit, or why it does not mean a request.

    From v1alpha4 on it may be for the requests of some HTTPRouteGroups alone. Raises InputError.
    """
    spec = document.fields("spec")
    backends = []
    for backend in spec.each("backends"):
        weight = _quantity(backend)
        backends.append(Destination(str(backend.need("service")), weight, fields=backend))
    check_weights(spec, "backends", backends)
    groups = [reference.text("name") for reference in spec.each("matches")]
    if groups and not any(_means(group, probe, beside) for group in groups):
        return spec.error(
            f"it is for requests of the HTTPRouteGroup {', '.join(groups)} alone, and this is "
            "none: give --path, or --header 'NAME: VALUE', that it takes",
            "matches",
        )
    return backends


def _means(group: str, probe: Probe, beside: Beside) -> bool:
    """Return whether an HTTPRouteGroup means a request, as far as that is known.

    Raises InputError.
    """
    for document in beside.of_kind(SMI_SPECS, "HTTPRouteGroup"):
        if name_of(document) == group:
            matches = document.fields("spec").each("matches")
            return any(_match_means(match, probe) for match in matches)
    return True


def _match_means(match: Fields, probe: Probe) -> bool:
    """Return whether one of the matches of an HTTPRouteGroup means a request."""
    methods = match.strings("methods")
    if methods and "*" not in methods and probe.method not in methods:
        return False
    path = match.text("pathRegex")
    if path and not compile_pattern(match, "pathRegex", path).fullmatch(probe.bare_path):
        return False
    for name, pattern in match.labels("headers").items():
        value = probe.headers.get(name.lower())
        if value is None or not compile_pattern(match, "headers", pattern).fullmatch(value):
            return False
    return True


def _quantity(backend: Fields) -> int:
    """Return a weight in thousandths: it is a quantity of Kubernetes', `500m` is half of `1`."""
    weight = backend.take("weight", (int, str), 0)
    quantity = re.fullmatch(r"(-?\d+)(m?)", str(weight))
    if quantity is None:
        raise backend.error(f"no weight: {weight!r}", "weight")
    number = int(quantity[1])
    if number < 0:
        raise backend.error(f"the weight is negative: {weight}", "weight")
    return number if quantity[2] else 1000 * number


def rollout(document: Fields, _: Probe, __: Beside = ALONE) -> list[Destination]:
    """Return the stable and the canary service of Argo's Rollout. Raises InputError.

    With traffic routing the weights are those of its status, else of its present step; without, the
    pods share the traffic, and a status says how many there are.
    """
    spec = document.fields("spec")
    canary = spec.fields("strategy").fields("canary")
    if not canary.names():
        raise spec.error("there is no canary strategy in it: no weights", "strategy")
    stable, weight = _routed(document, canary) if _routes(canary) else _by_pods(document, canary)
    return [
        Destination(canary.text("stableService", "stable"), stable, role="stable"),
        Destination(canary.text("canaryService", "canary"), weight, role="canary"),
    ]


def _routes(canary: Fields) -> bool:
    return "trafficRouting" in canary


def _routed(document: Fields, canary: Fields) -> tuple[float, float]:
    """Return the weights of stable and canary by which traffic is routed."""
    most = int(canary.fields("trafficRouting").take("maxTrafficWeight", int, 100))
    in_force = document.fields("status").fields("canary").fields("weights")
    if in_force.names():
        weights = [in_force.fields(role).take("weight", int, 0) for role in ("stable", "canary")]
        return weights[0], weights[1]
    weight = _step_weight(document, canary, most)
    return most - weight, weight


def _by_pods(document: Fields, canary: Fields) -> tuple[float, float]:
    """Return the numbers of stable and canary pods. Raises InputError where no status has them."""
    status = document.fields("status")
    if "currentStepIndex" in status or "replicas" in status:
        total = status.take("replicas", int, 0)
        updated = status.take("updatedReplicas", int, 0)
        if status.text("stableRS") == status.text("currentPodHash"):
            updated = 0  # the new version is the stable one
        if not total:
            raise status.error("it has no pods", "replicas")
        return total - updated, updated
    replicas = document.fields("spec").take("replicas", int, 1)
    extra = surge(canary.take("maxSurge", (int, str), "25%"), replicas)
    said = []
    for step in canary.each("steps"):
        if "setWeight" in step:
            weight = step.need("setWeight", int)
            said.append(f"{weight}: {pods_at(weight, replicas, may_surge=extra > 0)}")
    steps = ", ".join(said) or "it has no setWeight"
    raise document.fields("spec").error(
        "without trafficRouting the pods share the traffic, and without a status its step is not "
        f"known (setWeight {steps}): give --weights stable=…,canary=…",
        "strategy",
    )


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
