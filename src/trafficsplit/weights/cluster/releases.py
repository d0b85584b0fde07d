"""A release as its controller has it: which version is stable, and which is the canary now.

After a promotion the version that was the canary is the stable one: what responses call them has to
be looked up for each release, in the templates of their pods.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from trafficsplit.errors import ClusterError, InputError
from trafficsplit.weights.cluster.access import Access
from trafficsplit.weights.cluster.resources import KINDS, Resource, read
from trafficsplit.weights.names import RELEASE_LABELS

Object = Mapping[str, Any]  # of Kubernetes' API
VARIABLES = (*RELEASE_LABELS, "variant")  # whose values responses are likely to show
NameOf = Callable[[str], "str | None"]


@dataclass(frozen=True)
class Release:
    """A release of one application.

    `stable` and `canary` are the templates of the pods, None where there are none. `occasion`
    changes with every attempt and phase of the release, and with nothing else.
    """

    resource: Resource
    stable: Object | None
    canary: Object | None
    occasion: str

    def names(self, name_of: NameOf) -> tuple[str, str]:
        """Return what responses call the stable version and the canary.

        They are the first values by which the templates differ and that are names: of variables
        and labels that usually say a version, of the image's tag, of other variables. The two are
        the same where the templates are, as after a promotion. `name_of` returns a value as
        responses name it, None for what is no name. Raises InputError.
        """
        stable, canary = (_values(template) for template in (self.stable, self.canary))
        same: list[str] = []
        for source in sorted({*stable, *canary}, key=_likelihood):
            found = [name_of(side[source]) for side in (stable, canary) if source in side]
            names = [name for name in found if name]
            if len(names) == 2 and names[0] != names[1]:
                return names[0], names[1]
            same += names[:1]
        if same and (not stable or not canary or stable == canary):
            return same[0], same[0]
        raise InputError(
            f"{self.resource}: nothing of its pods says which of the two versions a response comes "
            "from (no variable, label or image that differs is a name that responses show): give "
            "variants=STABLE,CANARY"
        )


def _values(template: Object | None) -> dict[tuple[str, str], str]:
    """Return what a template of pods may name its version by: (where, name) and value."""
    found: dict[tuple[str, str], str] = {}
    if template is None:
        return found
    for key, value in ((template.get("metadata") or {}).get("labels") or {}).items():
        if key.lower() in VARIABLES:
            found["label", key] = str(value)
    for container in (template.get("spec") or {}).get("containers") or ():
        tag = str(container.get("image", "")).rpartition("/")[2].partition("@")[0].partition(":")[2]
        if tag:
            found["image", container["name"]] = tag
        for entry in container.get("env") or ():
            if isinstance(entry.get("value"), str):
                found["variable", entry["name"]] = entry["value"]
    return found


def _likelihood(source: tuple[str, str]) -> tuple[int, int, str]:
    """Return a key that sorts sources by how likely it is that responses show their values."""
    where, name = source
    usual = VARIABLES.index(name.lower()) if name.lower() in VARIABLES else len(VARIABLES)
    if where == "image":
        return 1, 0, name
    return (0 if usual < len(VARIABLES) else 2), usual, f"{name} {where}"


def read_release(access: Access, kind: str, reference: str) -> Release:
    """Return the release that a Canary or a Rollout, NAMESPACE/NAME, is in.

    Raises ClusterError, and InputError for a resource that is odd.
    """
    resource = read(access, KINDS[kind], reference)
    try:
        return _of_flagger(access, resource) if kind == "canary" else _of_argo(access, resource)
    except (KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{resource} is odd: {type(error).__name__}: {error}") from None


def _of_flagger(access: Access, resource: Resource) -> Release:
    target = resource.data["spec"]["targetRef"]
    plural = f"{target['kind'].lower()}s"
    folder = f"/apis/{target['apiVersion']}/namespaces/{resource.namespace}/{plural}"
    what = f"to read {plural} in namespace {resource.namespace}"
    templates = []
    for name in (f"{target['name']}-primary", target["name"]):
        try:
            templates.append(access.get(f"{folder}/{name}", what)["spec"]["template"])
        except ClusterError as error:
            if error.status != 404:
                raise
            templates.append(None)
    status = resource.data.get("status") or {}
    since = [str(one.get("lastTransitionTime")) for one in status.get("conditions") or ()]
    # Its condition changes with the phase; a second attempt is one that began later.
    occasion = "/".join((str(status.get("phase", "")), *since[:1]))
    return Release(resource, templates[0], templates[1], occasion)


def _of_argo(access: Access, resource: Resource) -> Release:
    status = resource.data.get("status") or {}
    stable, canary = status.get("stableRS", ""), status.get("currentPodHash", "")
    templates = {}
    owner = resource.data["metadata"].get("uid")
    folder = f"/apis/apps/v1/namespaces/{resource.namespace}/replicasets"
    for one in access.get(folder, "to list replicasets").get("items", ()):
        metadata = one["metadata"]
        if owner in [by.get("uid") for by in metadata.get("ownerReferences") or ()]:
            labels = metadata.get("labels") or {}
            templates[labels.get("rollouts-pod-template-hash")] = one["spec"]["template"]
    runs = sorted(_runs(access, resource, owner))
    step = str(status.get("currentStepIndex", ""))
    occasion = "/".join((canary, step, *(name for _, name in runs[-1:])))
    return Release(resource, templates.get(stable), templates.get(canary), occasion)


def _runs(access: Access, resource: Resource, owner: str) -> Iterator[tuple[str, str]]:
    """Yield when each of a Rollout's AnalysisRuns was made, and its name."""
    folder = f"/apis/argoproj.io/v1alpha1/namespaces/{resource.namespace}/analysisruns"
    for one in access.get(folder, "to list analysisruns").get("items", ()):
        metadata = one["metadata"]
        if owner in [by.get("uid") for by in metadata.get("ownerReferences") or ()]:
            yield str(metadata.get("creationTimestamp")), str(metadata["name"])
