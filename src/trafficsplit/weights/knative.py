"""Knative's Service and Route: the revisions that get the traffic."""

from __future__ import annotations

from trafficsplit.weights.fields import Fields
from trafficsplit.weights.routes import ALONE, Beside, Destination, Probe, check_weights, name_of

GROUP = "serving.knative.dev"
TOTAL = 100


def destinations_for(document: Fields, _: Probe, __: Beside = ALONE) -> list[Destination]:
    """Return the revisions of a Service or a Route. Raises InputError, as Knative does.

    A live one's status names the revisions. Without `traffic` the latest revision gets everything.
    """
    status = document.fields("status")
    place = status if "traffic" in status else document.fields("spec")
    revisions = []
    for target in place.each("traffic"):
        weight = target.take("percent", int, 0)
        if not 0 <= weight <= TOTAL:
            raise target.error(f"the weight is not from 0 to 100: {weight}", "percent")
        revisions.append(Destination(_revision(document, target), weight))
    if not revisions:
        return [Destination(_latest(document), TOTAL)]
    total = sum(revision.weight for revision in revisions)
    if total != TOTAL:
        raise place.error(f"the per cents sum to {total:g}, and not to 100", "traffic")
    check_weights(place, "traffic", revisions)
    return revisions


def _revision(document: Fields, target: Fields) -> str:
    latest = target.take("latestRevision", bool, False)
    name = target.text("revisionName")
    return name or (_latest(document) if latest else target.text("configurationName") or "latest")


def _latest(document: Fields) -> str:
    found = document.fields("status").text("latestReadyRevisionName")
    return found or f"{name_of(document)}-latest"
