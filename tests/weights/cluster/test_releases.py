"""Which version is stable and which is the canary, as Flagger's and Argo's resources say."""

from __future__ import annotations

from typing import Any

import kubernetes
import pytest

from tests.fakes.cluster import Cluster
from trafficsplit.errors import ClusterError, InputError
from trafficsplit.weights.cluster import Access, Release, read_release

Object = dict[str, Any]


def template(color: str, **labels: str) -> Object:
    variables = [{"name": "LOG", "value": "info"}, {"name": "COLOR", "value": color}]
    container = {"name": "app", "image": "shop:1", "env": variables}
    return {"metadata": {"labels": labels}, "spec": {"containers": [container]}}


def one(version: str, kind: str, name: str, **fields: Any) -> Object:
    return {"apiVersion": version, "kind": kind, "metadata": {"name": name}, **fields}


def deployment(name: str, color: str) -> Object:
    return one("apps/v1", "Deployment", name, spec={"template": template(color, app=name)})


def canary(phase: str = "Progressing", since: str = "10:00") -> Object:
    target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "shop"}
    status = {"phase": phase, "conditions": [{"lastTransitionTime": since}]}
    return one("flagger.app/v1beta1", "Canary", "shop", spec={"targetRef": target}, status=status)


def read(kind: str, *objects: Object, hidden: str = "") -> Release:
    with Cluster(*objects) as cluster:
        cluster.forbidden = hidden
        configuration = kubernetes.client.Configuration(host=cluster.url)
        access = Access(kubernetes.client.ApiClient(configuration))
        return read_release(access, kind, "default/shop")


def same(value: str) -> str:
    return value


def test_flaggers_primary_is_stable() -> None:
    objects = (deployment("shop-primary", "blue"), deployment("shop", "green"))
    found = read("canary", canary(), *objects)
    assert found.names(same) == ("blue", "green")
    assert found.occasion == "Progressing/10:00"
    again = read("canary", canary(since="11:00"), *objects)
    assert again.occasion != found.occasion
    # Its first release has no primary yet.
    first = read("canary", canary("Initializing"), objects[1])
    assert first.names(same) == ("green", "green")


def test_what_may_not_be_read_is_refused() -> None:
    with pytest.raises(ClusterError, match="forbids us to read deployments"):
        read("canary", canary(), hidden="deployments")
    with pytest.raises(InputError, match="Canary default/shop is odd"):
        read("canary", one("flagger.app/v1beta1", "Canary", "shop", spec={}))


def replica_set(hashed: str, color: str, owner: str = "uid-1") -> Object:
    labels = {"rollouts-pod-template-hash": hashed}
    found = one("apps/v1", "ReplicaSet", f"shop-{hashed}", spec={"template": template(color)})
    found["metadata"] |= {"labels": labels, "ownerReferences": [{"uid": owner}]}
    return found


def analysis_run(name: str, made: str, owner: str = "uid-1") -> Object:
    found = one("argoproj.io/v1alpha1", "AnalysisRun", name)
    found["metadata"] |= {"creationTimestamp": made, "ownerReferences": [{"uid": owner}]}
    return found


def test_argos_stable_hash_is_stable() -> None:
    status = {"stableRS": "a", "currentPodHash": "b", "currentStepIndex": 1}
    rollout = one("argoproj.io/v1alpha1", "Rollout", "shop", spec={}, status=status)
    rollout["metadata"]["uid"] = "uid-1"
    objects = [
        rollout,
        replica_set("a", "blue"),
        replica_set("b", "green"),
        analysis_run("z-first", "10:00"),
        analysis_run("a-second", "11:00"),
        analysis_run("another", "12:00", owner="uid-2"),
    ]
    found = read("rollout", *objects)
    assert found.names(same) == ("blue", "green")
    assert found.occasion == "b/1/a-second"
