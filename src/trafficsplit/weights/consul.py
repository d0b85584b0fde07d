"""Consul's ServiceSplitter: services and their subsets."""

from __future__ import annotations

from trafficsplit.weights.fields import Fields
from trafficsplit.weights.routes import ALONE, Beside, Destination, Probe, check_weights, name_of

TOTAL = 100.0
STEP = 0.01  # Consul's smallest weight, in per cent


def destinations_for(document: Fields, _: Probe, __: Beside = ALONE) -> list[Destination]:
    """Return the splits of a ServiceSplitter. Raises InputError, as Consul does for other sums.

    A split without a service is one of the splitter's own.
    """
    spec = document.fields("spec")
    splits = []
    for split in spec.each("splits"):
        weight = split.take("weight", (int, float), 0)
        if not 0 <= weight <= TOTAL:
            raise split.error(f"the weight is not from 0 to 100: {weight}", "weight")
        service = split.text("service") or name_of(document)
        splits.append(Destination(service, float(weight), split.text("serviceSubset")))
    total = sum(split.weight for split in splits)
    if splits and abs(total - TOTAL) > STEP / 2:
        raise spec.error(
            f"the weights sum to {total:g}, and not to 100: Consul refuses them", "splits"
        )
    check_weights(spec, "splits", splits)
    return splits
