"""Manifests that several tests read weights from, and the reading of them."""

from __future__ import annotations

from collections.abc import Mapping

from trafficsplit.weights.fields import Fields, documents_of
from trafficsplit.weights.manifests import Choice, split_of
from trafficsplit.weights.routes import Destination, Probe

# Gateway API's own example of traffic splitting; `api` is the version.
SPLIT = """
apiVersion: gateway.networking.k8s.io/{api}
kind: HTTPRoute
metadata: {{name: simple-split}}
spec:
  rules:
  - backendRefs:
    - {{name: foo-v1, port: 8080, weight: 90}}
    - {{name: foo-v2, port: 8080, weight: 10}}
"""

# Istio's own sample, bookinfo: reviews in three versions.
SUBSETS = """
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: reviews}
spec:
  host: reviews
  subsets:
  - {name: v1, labels: {version: v1}}
  - {name: v2, labels: {version: v2}}
  - {name: v3, labels: {version: v3}}
---
"""

ANYBODY = Probe()


def reviews(*routes: tuple[str, int | None], api: str = "v1", extra: str = "") -> str:
    """Return bookinfo's VirtualService with these subsets and weights, `extra` rules before."""
    lines = []
    for subset, weight in routes:
        lines.append(f"    - destination: {{host: reviews, subset: {subset}}}")
        if weight is not None:
            lines.append(f"      weight: {weight}")
    listed = "\n".join(lines)
    return f"""
apiVersion: networking.istio.io/{api}
kind: VirtualService
metadata: {{name: reviews}}
spec:
  hosts: [reviews]
  http:
{extra}  - route:
{listed}
"""


def weights(
    text: str,
    probe: Probe = ANYBODY,
    *,
    route: str = "",
    mapping: Mapping[str, str] | None = None,
) -> dict[str, float]:
    """Return the weights that a manifest gives to a request, by variant. Raises InputError."""
    split = split_of(documents_of(text, "m.yaml"), Choice(probe, route, mapping or {}))
    return {variant: round(weight, 6) for variant, weight in split.weights.items()}


def document(text: str) -> Fields:
    """Return the only document of a manifest."""
    (only,) = documents_of(text, "m.yaml")
    return only


def by_host(destinations: object) -> dict[str, float]:
    """Return the weights of destinations by host, and subset where there is one."""
    assert isinstance(destinations, list)
    found = {}
    for one in destinations:
        assert isinstance(one, Destination)
        found[f"{one.host}|{one.subset}" if one.subset else one.host] = one.weight
    return found
