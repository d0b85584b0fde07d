"""Who sets a resource's weights: a controller that would take ours back."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from trafficsplit.errors import ClusterError
from trafficsplit.weights.cluster.access import Access

Object = Mapping[str, Any]  # of Kubernetes' API

# By the name under which each writes, as the API server keeps it for the fields of the spec.
MANAGERS = {
    "flagger": "Flagger",
    "rollouts-controller": "Argo Rollouts",
    "argocd-controller": "Argo CD",
    "argocd-application-controller": "Argo CD",
    "kustomize-controller": "Flux",
    "helm-controller": "Flux",
}
OWNERS = {"Canary": "Flagger's Canary", "Rollout": "Argo's Rollout"}  # by kind
# Marks of what is kept as it stands in a repository.
ARGO_CD = "argocd.argoproj.io/tracking-id"  # an annotation
FLUX = ("kustomize.toolkit.fluxcd.io/name", "helm.toolkit.fluxcd.io/name")  # labels
ROLLOUTS = "/apis/argoproj.io/v1alpha1/namespaces/{namespace}/rollouts"


def controller_of(access: Access, data: Object) -> str:
    """Return the controller that sets the weights of a resource, empty where none does.

    A person's kubectl, Helm or Terraform is none: it does not take them back by itself.
    """
    return next(_controllers(access, data), "")


def _controllers(access: Access, data: Object) -> Iterator[str]:
    metadata = data["metadata"]
    for owner in metadata.get("ownerReferences") or ():
        if owner.get("kind") in OWNERS:
            yield f"{OWNERS[owner['kind']]} {owner.get('name')}"
    yield from _rollouts_that_name(access, data)
    tracked = (metadata.get("annotations") or {}).get(ARGO_CD)
    if tracked:
        yield f"Argo CD (application {str(tracked).partition(':')[0]})"
    labels = metadata.get("labels") or {}
    for label in FLUX:
        if label in labels:
            yield f"Flux ({labels[label]})"
    for entry in metadata.get("managedFields") or ():
        if entry.get("manager") in MANAGERS and "f:spec" in (entry.get("fieldsV1") or {}):
            yield MANAGERS[entry["manager"]]


def _rollouts_that_name(access: Access, data: Object) -> Iterator[str]:
    """Yield the Rollouts that route traffic by a resource; none where they may not be read."""
    metadata = data["metadata"]
    try:
        found = access.get(ROLLOUTS.format(namespace=metadata["namespace"]), "to list rollouts")
    except ClusterError:
        return
    for rollout in found.get("items", ()):
        strategy = (rollout.get("spec") or {}).get("strategy") or {}
        routing = (strategy.get("canary") or {}).get("trafficRouting") or {}
        if (data["kind"], metadata["name"]) in set(_named(routing)):
            yield f"Argo's Rollout {rollout['metadata']['name']}"


def _named(routing: Object) -> Iterator[tuple[str, str]]:
    """Yield kind and name of each resource that a Rollout routes traffic by."""
    istio = routing.get("istio") or {}
    services = list(istio.get("virtualServices") or ())
    if istio.get("virtualService"):
        services.append(istio["virtualService"])
    for service in services:
        yield "VirtualService", str(service.get("name"))
    plugins = routing.get("plugins") or {}
    for plugin in plugins.values():
        routes = list(plugin.get("httpRoutes") or ()) if isinstance(plugin, Mapping) else []
        if isinstance(plugin, Mapping) and plugin.get("httpRoute"):
            routes.append({"name": plugin["httpRoute"]})
        for route in routes:
            yield "HTTPRoute", str(route.get("name"))
