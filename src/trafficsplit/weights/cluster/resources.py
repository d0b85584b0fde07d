"""Resources of a live cluster that give weights: read, and given other weights."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from trafficsplit.analysis.split import Split
from trafficsplit.errors import ClusterError
from trafficsplit.weights.cluster.access import Access
from trafficsplit.weights.cluster.controllers import controller_of
from trafficsplit.weights.editing import new_weights
from trafficsplit.weights.fields import Fields, document_of
from trafficsplit.weights.manifests import Choice, split_of
from trafficsplit.weights.others import other_splits

FIELD_MANAGER = "trafficsplit"
TRIES = 5  # to set weights in a resource that others change meanwhile


@dataclass(frozen=True)
class Kind:
    """A kind of resource, as its API names it.

    `versions` are those that are understood, the newest first; `spec` are the fields of the spec
    that have weights in them.
    """

    name: str
    group: str
    plural: str
    versions: Sequence[str]
    spec: Sequence[str]


KINDS = {
    "virtual_service": Kind(
        name="VirtualService",
        group="networking.istio.io",
        plural="virtualservices",
        versions=("v1", "v1beta1", "v1alpha3"),
        spec=("http", "tls", "tcp"),
    ),
    "http_route": Kind(
        name="HTTPRoute",
        group="gateway.networking.k8s.io",
        plural="httproutes",
        versions=("v1", "v1beta1"),
        spec=("rules",),
    ),
    # Flagger's, whose status has the weights in force. It is read, and never set.
    "canary": Kind(
        name="Canary",
        group="flagger.app",
        plural="canaries",
        versions=("v1beta1",),
        spec=(),
    ),
    # Argo's, likewise.
    "rollout": Kind(
        name="Rollout",
        group="argoproj.io",
        plural="rollouts",
        versions=("v1alpha1",),
        spec=(),
    ),
}


@dataclass(frozen=True)
class Resource:
    """One resource, as it was read. `beside` are objects whose labels give its variants' names."""

    kind: Kind
    namespace: str
    name: str
    path: str
    data: Mapping[str, Any]
    beside: Sequence[Fields]

    def __str__(self) -> str:
        return f"{self.kind.name} {self.namespace}/{self.name}"

    @property
    def set_at(self) -> str:
        """When its specification was changed last, in ISO 8601; empty where that is not known."""
        return max(self._changes(), default=("", ""))[0]

    @property
    def last_change(self) -> str:
        """Who changed its specification last, and when, for people; empty if it is not known."""
        time, manager = max(self._changes(), default=("", ""))
        return f"{manager or 'somebody'} at {time}" if time else ""

    def _changes(self) -> Iterator[tuple[str, str]]:
        """Yield when each manager changed the specification last, in ISO 8601, and its name."""
        for entry in self.data["metadata"].get("managedFields") or ():
            if "f:spec" in (entry.get("fieldsV1") or {}):
                yield str(entry.get("time") or ""), str(entry.get("manager") or "")

    def split(self, choice: Choice) -> Split:
        """Return the split that it gives to a request. Raises InputError."""
        return split_of([document_of(self.data), *self.beside], choice)

    def others(self, choice: Choice) -> dict[str, Split]:
        """Return the splits of its other rules, by name. Raises InputError."""
        return other_splits([document_of(self.data), *self.beside], choice)


@dataclass(frozen=True)
class Setting:
    """How weights are set: `force` takes them over from a controller that sets them."""

    force: bool = False
    dry_run: bool = False


def read(access: Access, kind: Kind, reference: str) -> Resource:
    """Return the resource `NAMESPACE/NAME`, or `NAME` in the namespace default.

    Raises ClusterError.
    """
    namespace, name = _parse_reference(reference, kind)
    version = _version(access, kind)
    folder = f"/apis/{kind.group}/{version}/namespaces/{namespace}/{kind.plural}"
    what = f"to read {kind.plural} in namespace {namespace}"
    try:
        data = access.get(f"{folder}/{name}", what)
    except ClusterError as error:
        if error.status != 404:
            raise
        known = _known_names(access, folder)
        message = f"there is no {kind.name} {name} in namespace {namespace}: {known}"
        raise ClusterError(message, 404) from None
    beside = list(_labelled(access, kind, version, namespace))
    return Resource(kind, namespace, name, f"{folder}/{name}", data, beside)


def _parse_reference(reference: str, kind: Kind) -> tuple[str, str]:
    """Return namespace and name. Raises ClusterError."""
    namespace, _, name = reference.rpartition("/")
    namespace = namespace or "default"
    if not _is_name(name) or not _is_name(namespace):
        raise ClusterError(f"{reference!r} is no NAMESPACE/NAME of a {kind.name}")
    return namespace, name


def _is_name(text: str) -> bool:
    return all(part.replace("-", "").isalnum() for part in text.split("."))


def _known_names(access: Access, folder: str) -> str:
    """Return which resources there are, for a message."""
    names = [str(item["metadata"]["name"]) for item in _items(access, folder)]
    return f"there is {', '.join(names)}" if names else "it has none"


def _version(access: Access, kind: Kind) -> str:
    """Return the newest version of a kind that the cluster serves and that is understood here."""
    try:
        group = access.get(f"/apis/{kind.group}", f"to see what it knows of {kind.group}")
    except ClusterError as error:
        if error.status != 404:
            raise
        message = (
            f"the cluster has no {kind.name} (no API group {kind.group}): its custom resource "
            "definition is not installed"
        )
        raise ClusterError(message, 404) from None
    served = [str(version.get("version")) for version in group.get("versions", [])]
    for version in kind.versions:
        if version in served:
            return version
    raise ClusterError(
        f"the cluster serves {kind.group} as {', '.join(served) or 'nothing'}, and we know "
        f"{', '.join(kind.versions)}"
    )


def _items(access: Access, path: str) -> list[dict[str, Any]]:
    """Return the objects of a list; none where they may not be seen."""
    try:
        return list(access.get(path, "").get("items", []))
    except ClusterError:
        return []


def _labelled(access: Access, kind: Kind, version: str, namespace: str) -> Iterator[Fields]:
    """Yield the objects with labels of pods. Without the right to see them there are none.

    The variants' names come from hosts and subsets then.
    """
    for service in _items(access, f"/api/v1/namespaces/{namespace}/services"):
        yield document_of({"apiVersion": "v1", "kind": "Service", **service})
    if kind is KINDS["virtual_service"]:
        api = f"{kind.group}/{version}"
        for rule in _items(access, f"/apis/{api}/namespaces/{namespace}/destinationrules"):
            yield document_of({"apiVersion": api, "kind": "DestinationRule", **rule})


def set_weights(
    access: Access,
    resource: Resource,
    weights: Mapping[str, float],
    choice: Choice,
    setting: Setting,
) -> Resource:
    """Set variants' weights, in per cent; return the changed resource.

    As Flagger and Argo Rollouts do: the resource goes back as it was read but for the numbers, with
    its resourceVersion, so that the API refuses it where another client has changed the resource
    since. Then it is read again, and tried again as long as the weights are those that were read.
    A controller that would take the weights back is named instead. Raises ClusterError.
    """
    who = "" if setting.force else controller_of(access, resource.data)
    if who:
        raise ClusterError(
            f"{resource}: its weights are set by {who}, which would take them back: change them "
            "there, or take them over with --force-conflicts",
            409,
        )
    before = resource.split(choice)
    for _ in range(TRIES):
        try:
            return _patch(access, resource, weights, choice, dry_run=setting.dry_run)
        except ClusterError as error:
            if error.status != 409:
                raise
        reference = f"{resource.namespace}/{resource.name}"
        resource = read(access, resource.kind, reference)
        now = resource.split(choice)
        if dict(now.weights) != dict(before.weights):
            raise ClusterError(
                f"{resource}: its weights were changed meanwhile, from {before} to {now}: nothing "
                "was set",
                409,
            )
    raise ClusterError(f"{resource} changes all the time: its weights could not be set", 409)


def _patch(
    access: Access,
    resource: Resource,
    weights: Mapping[str, float],
    choice: Choice,
    *,
    dry_run: bool,
) -> Resource:
    """Send a resource with other weights, and return it as it is now. Raises ClusterError.

    What only istiod's webhook would refuse is refused here.
    """
    data = copy.deepcopy(dict(resource.data))
    route = choice.of([document_of(data), *resource.beside])
    for new in new_weights(route, weights, choice):
        _set_weight(data, new.fields.where, new.weight)
    query = {"fieldManager": FIELD_MANAGER, "fieldValidation": "Strict"}
    if dry_run:
        query["dryRun"] = "All"
    body = {
        "metadata": {"resourceVersion": data["metadata"]["resourceVersion"]},
        # A merge takes a list as a whole.
        "spec": {name: data["spec"][name] for name in resource.kind.spec if name in data["spec"]},
    }
    changed = access.merge(resource.path, f"to change {resource}", body, query)
    return replace(resource, data=changed)


def _set_weight(data: Any, path: str, weight: int) -> None:
    """Set the weight in a mapping that a path, as `spec.http[0].route[1]`, leads to."""
    node = data
    for part in path.replace("[", ".[").split("."):
        key = int(part[1:-1]) if part.startswith("[") else part
        node = node[key]
    node["weight"] = weight
