"""OpenShift's Route: its service, and its alternate backends."""

from __future__ import annotations

from trafficsplit.errors import InputError
from trafficsplit.weights.fields import Fields
from trafficsplit.weights.routes import (
    ALONE,
    Beside,
    Destination,
    Probe,
    check_weights,
    covers,
    has_prefix,
)

MOST_WEIGHT = 256
MOST_ALTERNATES = 3


def destinations_for(
    document: Fields, probe: Probe, _: Beside = ALONE
) -> list[Destination] | InputError:
    """Return the backends of a Route, or why it does not mean a request. Raises InputError.

    A backend without a weight has 100; the router refuses one above 256, and a fifth backend.
    """
    spec = document.fields("spec")
    host = spec.text("host")
    if host and probe.host and not covers(host, probe.host_name):
        return spec.error(f"its host is {host}, and not {probe.host}: give --host", "host")
    path = spec.text("path")
    if not has_prefix(probe.bare_path, path):
        return spec.error(f"its path is {path}, and not {probe.bare_path}: give --path", "path")
    alternates = list(spec.each("alternateBackends"))
    if len(alternates) > MOST_ALTERNATES:
        raise spec.error(f"{MOST_ALTERNATES} of them at most belong here", "alternateBackends")
    backends = [_backend(one) for one in (spec.fields("to"), *alternates)]
    check_weights(spec, "to", backends)
    return backends


def _backend(backend: Fields) -> Destination:
    weight = backend.take("weight", int, 100)
    if not 0 <= weight <= MOST_WEIGHT:
        raise backend.error(f"the weight is not from 0 to {MOST_WEIGHT}: {weight}", "weight")
    return Destination(str(backend.need("name")), weight, fields=backend)
