"""Resources that give weights, as a cluster has them now."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from trafficsplit.analysis.split import Split
from trafficsplit.errors import ClusterError
from trafficsplit.weights.cluster.access import Access
from trafficsplit.weights.editing import new_weights
from trafficsplit.weights.fields import Fields, document_of
from trafficsplit.weights.manifests import Choice, split_of

FIELD_MANAGER = "trafficsplit"


@dataclass(frozen=True)
class Kind:
    """A kind of resource, as its API names it; `spec` are the fields in which weights stand."""

    name: str
    group: str
    plural: str
    versions: Sequence[str]
    spec: Sequence[str]


KINDS = {
    "virtual_service": Kind(
        "VirtualService", "networking.istio.io", "virtualservices", ("v1", "v1beta1", "v1alpha3"),
        ("http", "tls", "tcp"),
    ),
    "http_route": Kind(
        "HTTPRoute", "gateway.networking.k8s.io", "httproutes", ("v1", "v1beta1"), ("rules",)
    ),
    # Flagger's, whose status says what is in force. It is read, and never set.
    "canary": Kind("Canary", "flagger.app", "canaries", ("v1beta1",), ()),
}  # fmt: skip


@dataclass(frozen=True)
class Resource:
    """One resource, as it was read. `beside` are what tells the names of its variants."""

    kind: Kind
    namespace: str
    name: str
    path: str
    data: Mapping[str, Any]
    beside: Sequence[Fields]

    def __str__(self) -> str:
        return f"{self.kind.name} {self.namespace}/{self.name}"

    def split(self, choice: Choice) -> Split:
        """Return the split that it gives to a request. Raises InputError."""
        return split_of([document_of(self.data), *self.beside], choice)


@dataclass(frozen=True)
class Applying:
    """How weights are applied: taken over from other field managers by `force`, or not at all."""

    force: bool = False
    dry_run: bool = False


def read(access: Access, kind: Kind, reference: str) -> Resource:
    """The resource `NAMESPACE/NAME`, or `NAME` in the namespace default. Raises ClusterError."""
    namespace, _, name = reference.rpartition("/")
    namespace = namespace or "default"
    if not name or "/" in namespace or not _is_name(name) or not _is_name(namespace):
        raise ClusterError(f"{reference!r} is no NAMESPACE/NAME of a {kind.name}")
    version = _version(access, kind)
    folder = f"/apis/{kind.group}/{version}/namespaces/{namespace}/{kind.plural}"
    what = f"to read {kind.plural} in namespace {namespace}"
    try:
        data = access.get(f"{folder}/{name}", what)
    except ClusterError as error:
        if error.status != 404:
            raise
        others = [str(item["metadata"]["name"]) for item in _items(access, folder)]
        known = f"there is {', '.join(others)}" if others else "it has none"
        raise ClusterError(f"there is no {kind.name} {name} in namespace {namespace}: {known}",
                           404) from None  # fmt: skip
    beside = [document_of(one) for one in _beside(access, kind, version, namespace)]
    return Resource(kind, namespace, name, f"{folder}/{name}", data, beside)


def _is_name(text: str) -> bool:
    return all(part and part.replace("-", "").isalnum() for part in text.split("."))


def _version(access: Access, kind: Kind) -> str:
    """The newest version of the kind that both of us know."""
    try:
        group = access.get(f"/apis/{kind.group}", f"to see what it knows of {kind.group}")
    except ClusterError as error:
        if error.status != 404:
            raise
        raise ClusterError(
            f"the cluster has no {kind.name} (no API group {kind.group}): its custom resource "
            "definition is not installed", 404,
        ) from None  # fmt: skip
    served = [str(one.get("version")) for one in group.get("versions", [])]
    for version in kind.versions:
        if version in served:
            return version
    raise ClusterError(f"the cluster serves {kind.group} as {', '.join(served) or 'nothing'}, and "
                       f"we know {', '.join(kind.versions)}")  # fmt: skip


def _items(access: Access, path: str) -> list[dict[str, Any]]:
    """All objects of a list; none where we may not see them."""
    try:
        return list(access.get(path, "").get("items", []))
    except ClusterError:
        return []


def _beside(access: Access, kind: Kind, version: str, namespace: str) -> list[dict[str, Any]]:
    """What tells the names of variants: without the right to see it, hosts and subsets do."""
    found = [
        {"apiVersion": "v1", "kind": "Service", **one}
        for one in _items(access, f"/api/v1/namespaces/{namespace}/services")
    ]
    if kind is KINDS["virtual_service"]:
        api = f"{kind.group}/{version}"
        found += [
            {"apiVersion": api, "kind": "DestinationRule", **one}
            for one in _items(access, f"/apis/{api}/namespaces/{namespace}/destinationrules")
        ]
    return found


def apply(
    access: Access,
    resource: Resource,
    weights: Mapping[str, float],
    choice: Choice,
    applying: Applying,
) -> Resource:
    """Give variants weights in per cent, by server-side apply; return the resource as it is then.

    The lists in which weights stand have one owner as a whole, so they are sent whole, as they were
    read, with other numbers; a change by somebody else in between is refused by its
    resourceVersion. Semantics that only istiod's webhook checks are checked here. Raises
    ClusterError.
    """
    data = copy.deepcopy(dict(resource.data))
    chosen = choice.of([document_of(data), *resource.beside])
    for new in new_weights(chosen, weights, choice):
        _set(data, new.fields.where, new.weight)
    metadata = data["metadata"]
    spec = {name: data["spec"][name] for name in resource.kind.spec if name in data["spec"]}
    body = {
        "apiVersion": data["apiVersion"],
        "kind": resource.kind.name,
        "metadata": {
            "name": metadata["name"],
            "namespace": metadata["namespace"],
            "resourceVersion": metadata["resourceVersion"],
        },
        "spec": spec,
    }
    query = {"fieldManager": FIELD_MANAGER, "fieldValidation": "Strict"}
    if applying.force:
        query["force"] = "true"
    if applying.dry_run:
        query["dryRun"] = "All"
    what = f"to change {resource}"
    try:
        changed = access.apply(resource.path, what, body, query)
    except ClusterError as error:
        if error.status == 409 and "conflict" in str(error).lower() and "with" in str(error):
            raise ClusterError(
                f"{error}: its weights are somebody else's; change them there, or take them over "
                "with --force-conflicts", 409,
            ) from None  # fmt: skip
        raise
    return replace(resource, data=changed)


def _set(data: Any, where: str, weight: int) -> None:
    """Set the weight of a mapping, by its path in the document."""
    for part in where.replace("[", ".[").split("."):
        data = data[int(part[1:-1])] if part.startswith("[") else data[part]
    data["weight"] = weight
