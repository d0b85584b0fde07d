"""The real Flagger and the real Argo Rollouts, each of whose steps the gate verifies."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from tests.support.controllers import (
    INTEGRATIONS,
    ROUTES,
    analysis,
    canary,
    release,
    rollout,
    start_argo,
    start_flagger,
    start_gate,
)
from tests.support.istio import Cluster, cluster
from trafficsplit.lab.istio import parts

pytestmark = pytest.mark.slow


@dataclass(frozen=True)
class Controllers:
    """A cluster with both controllers, a gate, and an application of each: color and shop."""

    istio: Cluster

    def status(self, kind: str, name: str) -> dict[str, Any]:
        found = json.loads(self.istio.kubectl("get", kind, name, "-o", "json"))
        status: dict[str, Any] = found.get("status", {})
        return status

    def reaches(self, kind: str, name: str, *phases: str) -> str:
        """Wait until a release is in one of some phases; return which."""

        def is_there() -> bool:
            return self.status(kind, name).get("phase") in phases

        self.istio.wait_until(is_there, f"{kind} {name} is {' or '.join(phases)}")
        return str(self.status(kind, name)["phase"])

    def by_flagger(self, color: str) -> str:
        """Release another color of the application color; return how it ends."""
        release(self.istio, "color", color)
        self.reaches("canary", "color", "Progressing")
        return self.reaches("canary", "color", "Succeeded", "Failed")

    def by_argo(self, color: str) -> str:
        """Release another color of the application shop; return how it ends."""
        rollout(self.istio, "shop", color)
        self.reaches("rollout", "shop", "Progressing")
        return self.reaches("rollout", "shop", "Healthy", "Degraded")

    def asked(self) -> list[str]:
        """Return the lines of the gate's log: each call, with its answer."""
        (log,) = (self.istio.directory / ".lab" / "pods").glob("trafficsplit.*/gate.log")
        return log.read_text("utf-8").splitlines()


@pytest.fixture(scope="module")
def controllers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Controllers]:
    with cluster(tmp_path_factory.mktemp("controllers")) as istio:
        for part in ("flagger", "rollouts-controller"):
            assert parts.program(part).exists(), f"{part} is not built: make istio"
        istio.kubectl("delete", "virtualservices,deployments", "--all")
        start_flagger(istio)
        start_argo(istio)
        gate = start_gate(istio, ("color.test", "shop.test"), TRAFFICSPLIT_IN_FORCE_WITHIN="5s")
        release(istio, "color", "blue")
        istio.kubectl("apply", "-f", "-", text=json.dumps(canary(gate, maxWeight=25)))
        istio.kubectl("apply", "-f", "-", text=ROUTES.format(name="shop"))
        analysis(istio, gate, "shop.test")
        rollout(istio, "shop", "blue")
        both = Controllers(istio)
        both.reaches("canary", "color", "Initialized")
        both.reaches("rollout", "shop", "Healthy")
        yield both


def test_releases_in_a_row_by_both_at_once(controllers: Controllers) -> None:
    ends: list[str] = []

    def argo() -> None:
        ends.extend(controllers.by_argo(color) for color in ("green", "blue"))

    thread = threading.Thread(target=argo)
    thread.start()
    # After the first release green is the stable color, and blue the canary.
    flagger = [controllers.by_flagger(color) for color in ("green", "blue")]
    thread.join()
    assert (flagger, ends) == (["Succeeded"] * 2, ["Healthy"] * 2), controllers.asked()
    verdicts = [line for line in controllers.asked() if " match: " in line]
    for split in ("blue 75 %, green 25 %", "green 75 %, blue 25 %"):
        for asking in ("flagger/confirm-traffic-increase", "argo"):
            assert any(line.startswith(asking) and split in line for line in verdicts), split


def test_a_split_that_is_another_is_stopped_and_measured_anew_when_mended(
    controllers: Controllers,
) -> None:
    istio = controllers.istio
    # A second VirtualService, which is asked before the one that Argo Rollouts sets.
    istio.kubectl("apply", "-f", "-", text=BESIDE)
    assert controllers.by_argo("green") == "Degraded"
    assert "mismatch" in controllers.asked()[-1]
    istio.kubectl("delete", "-f", "-", text=BESIDE)
    retried = ("patch", "rollout", "shop", "--subresource=status", "--type=merge", "-p")
    istio.kubectl(*retried, json.dumps({"status": {"abort": False}}))
    controllers.reaches("rollout", "shop", "Progressing")
    assert controllers.reaches("rollout", "shop", "Healthy", "Degraded") == "Healthy"


BESIDE = """
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: a-second-one}
spec:
  hosts: [shop.test]
  gateways: [color-is-gw]
  http:
    - match: [{uri: {prefix: /color}}]
      route:
        - {destination: {host: shop-stable}, weight: 50}
        - {destination: {host: shop-canary}, weight: 50}
"""


@pytest.mark.parametrize(
    "file",
    [
        "flagger/canary.yaml",
        "argo-rollouts/analysis.yaml",
        "gate/gate.yaml",
        "kubernetes/master.yaml",
        "kubernetes/workers.yaml",
        "kubernetes/roles.yaml",
    ],
)
def test_the_api_server_takes_a_file_of_ours_as_it_is(controllers: Controllers, file: str) -> None:
    istio = controllers.istio
    dry = ("--dry-run=server", "--validate=strict", "-f", str(INTEGRATIONS / file))
    # In a cluster that has it already, since a dry run makes no namespace for what follows.
    done = istio.try_kubectl("apply", *dry)
    assert done.returncode == 0, done.stderr
    assert "unchanged" in done.stdout or "(server dry run)" in done.stdout
