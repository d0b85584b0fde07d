"""Resources of progressive delivery: where their controllers are with the weights."""

from __future__ import annotations

import pytest

from tests.support.manifests import weights
from trafficsplit.errors import InputError

TRAFFIC_SPLIT = """
apiVersion: split.smi-spec.io/{api}
kind: TrafficSplit
metadata: {{name: color}}
spec:
  service: color
  backends:
  - {{service: color-blue, weight: {blue}}}
  - {{service: color-green, weight: {green}}}
"""

ROLLOUT = """
apiVersion: argoproj.io/v1alpha1
kind: Rollout
metadata: {name: rollouts-demo}
spec:
  strategy:
    canary:
      canaryService: rollouts-demo-canary
      stableService: rollouts-demo-stable
      trafficRouting: {istio: {virtualService: {name: rollouts-demo-vsvc}}}
      steps:
      - setWeight: 20
      - pause: {}
      - setWeight: 40
      - pause: {duration: 10}
      - setWeight: 60
      - pause: {duration: 10}
      - setWeight: 80
      - pause: {duration: 10}
"""

CANARY = """
apiVersion: flagger.app/v1beta1
kind: Canary
metadata: {name: podinfo}
spec:
  targetRef: {apiVersion: apps/v1, kind: Deployment, name: podinfo}
  service: {port: 9898}
  analysis: {interval: 1m, threshold: 5, maxWeight: 50, stepWeight: 10}
status: {canaryWeight: 20, phase: Progressing}
"""


def test_smi_traffic_split() -> None:
    text = TRAFFIC_SPLIT.format(api="v1alpha2", blue=75, green=25)
    assert weights(text) == {"blue": 0.75, "green": 0.25}


@pytest.mark.parametrize(
    ("blue", "green", "share"),
    [("900m", "100m", 0.1), ("'1'", "1000m", 0.5), ("'3'", "'1'", 0.25)],
)
def test_smis_first_version_has_quantities(blue: str, green: str, share: float) -> None:
    found = weights(TRAFFIC_SPLIT.format(api="v1alpha1", blue=blue, green=green))
    assert found["green"] == share


@pytest.mark.parametrize("weight", ["-1", "'-1'", "'1k'", "'1.5'", "[]", "'m'"])
def test_an_odd_quantity_is_refused(weight: str) -> None:
    with pytest.raises(InputError, match=r"^m.yaml:9: .*weight"):
        weights(TRAFFIC_SPLIT.format(api="v1alpha1", blue=1, green=weight))


@pytest.mark.parametrize(
    ("status", "canary"),
    [
        ("", 0.2),
        ("status: {currentStepIndex: 1}", 0.2),
        ("status: {currentStepIndex: 2}", 0.4),
        ("status: {currentStepIndex: 3}", 0.4),
        ("status: {currentStepIndex: 3, abort: true}", 0.0),
        ("status: {currentStepIndex: 8}", 0.0),  # all through: the new version is the stable one
    ],
)
def test_argo_rollouts_current_step(status: str, canary: float) -> None:
    found = weights(ROLLOUT + status, mapping={"stable": "blue", "canary": "green"})
    assert found == {"blue": round(1 - canary, 6), "green": canary}


def test_argos_most_weight_is_what_a_step_is_part_of() -> None:
    text = ROLLOUT.replace("{istio:", "{maxTrafficWeight: 1000, istio:")
    assert weights(text) == {"stable": 0.98, "canary": 0.02}


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("setWeight: 20", "setWeight: 120", "not from 0 to 100: 120"),
        ("setWeight: 20", "setWeight: -1", "not from 0 to 100: -1"),
        ("setWeight: 20", "setWeight: a lot", "'a lot' is not what belongs here"),
        ("canary:", "blueGreen:", "there is no canary strategy"),
    ],
)
def test_an_odd_rollout_is_refused(old: str, new: str, said: str) -> None:
    with pytest.raises(InputError, match=said):
        weights(ROLLOUT.replace(old, new))


@pytest.mark.parametrize(
    ("phase", "share"),
    [
        ("Progressing", 0.2),
        ("WaitingPromotion", 0.2),
        ("Promoting", 0.2),
        ("Succeeded", 0.0),
        ("Initialized", 0.0),
        ("Failed", 0.0),
        ("Finalising", 0.0),
    ],
)
def test_flaggers_canary(phase: str, share: float) -> None:
    found = weights(CANARY.replace("Progressing", phase))
    assert found == {"primary": round(1 - share, 6), "canary": share}


def test_a_canary_without_a_status_has_not_begun() -> None:
    assert weights(CANARY.partition("status")[0]) == {"primary": 1.0, "canary": 0.0}


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("canaryWeight: 20", "canaryWeight: 101", "not from 0 to 100: 101"),
        (", name: podinfo}\n  service", "}\n  service", "name is missing"),
    ],
)
def test_an_odd_canary_is_refused(old: str, new: str, said: str) -> None:
    assert old in CANARY
    with pytest.raises(InputError, match=said):
        weights(CANARY.replace(old, new))


BY_PODS = """
apiVersion: argoproj.io/v1alpha1
kind: Rollout
metadata: {name: color}
spec:
  replicas: 4
  strategy:
    canary:
      steps: [{setWeight: 30}, {pause: {}}]
"""


def test_without_routing_the_pods_share_the_traffic() -> None:
    status = "status: {replicas: 4, updatedReplicas: 1, stableRS: a, currentPodHash: b}"
    assert weights(f"{BY_PODS}{status}") == {"stable": 0.75, "canary": 0.25}
    promoted = "status: {replicas: 4, updatedReplicas: 4, stableRS: b, currentPodHash: b}"
    assert weights(f"{BY_PODS}{promoted}") == {"stable": 1.0, "canary": 0.0}
    with pytest.raises(InputError, match="it has no pods"):
        weights(f"{BY_PODS}status: {{replicas: 0}}")


def test_without_a_status_the_steps_are_named_as_shares_of_pods() -> None:
    with pytest.raises(InputError, match=r"30: 1 of 4 pods \(25 %\)\): give --weights"):
        weights(BY_PODS)


def test_weights_in_force_are_those_of_the_status() -> None:
    in_force = "{weights: {canary: {weight: 35}, stable: {weight: 65}}}"
    found = weights(f"{ROLLOUT}status: {{currentStepIndex: 0, canary: {in_force}}}")
    assert found == {"stable": 0.65, "canary": 0.35}
