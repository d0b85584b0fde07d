"""The tutorial, from its first section to its last, on the real Kubernetes and the real Istio."""

from __future__ import annotations

import json
import os
import signal
from collections import Counter as Counts
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.istio.conftest import GATEWAYS
from tests.support.istio import CANARY, Cluster, cluster, need_istio

pytestmark = pytest.mark.slow


def set_weights(istio: Cluster, blue: int, green: int) -> None:
    """Set weights as a reader of the tutorial does: by kubectl apply of the edited file."""
    text = CANARY.read_text("utf-8")
    text = text.replace("weight: 75", f"weight: {blue}").replace("weight: 25", f"weight: {green}")
    istio.kubectl("apply", "-f", "-", text=text)


def counters(istio: Cluster) -> Counts[str]:
    """Return the requests that the gateways' own Envoys have sent to each subset."""
    found: Counts[str] = Counts()
    for number in range(GATEWAYS):
        way = istio.url(f"istio-system/gateway-{number}:admin")
        query = {"filter": "upstream_rq_total", "format": "json"}
        answer = requests.get(f"{way}/stats", params=query, timeout=5)
        for stat in answer.json()["stats"]:
            name = str(stat.get("name", ""))
            for subset in ("blue-sub", "green-sub"):
                if f"|{subset}|color-service." in name and name.endswith("upstream_rq_total"):
                    found[subset] += stat["value"]
    return found


def test_a_canary_a_rollback_and_a_promotion(istio: Cluster) -> None:
    assert istio.verify("--weight", "25")[0] == 0
    code, off = istio.verify("--weight", "33")
    assert (code, off["verdict"]) == (1, "mismatch")
    for blue, green in ((100, 0), (0, 100), (75, 25)):
        set_weights(istio, blue, green)
        code, verdict = istio.verify("--weight", str(green), "--settle", "2s")
        assert code == 0, verdict["reason"]


def test_counts_are_those_of_the_gateways_own_envoy(istio: Cluster) -> None:
    set_weights(istio, 75, 25)
    before = counters(istio)
    code, verdict = istio.verify("--weight", "25", "--no-diagnosis")
    after = counters(istio)
    assert code == 0, verdict["reason"]
    asked_before = 1  # whether it is there: readiness
    total = sum(after.values()) - sum(before.values())
    assert 0 <= total - verdict["requests"] <= asked_before
    observed = verdict["observed"]
    green = after["green-sub"] - before["green-sub"]
    assert 0 <= green - observed["green"] <= asked_before


def test_routes_by_header_and_cookie(istio: Cluster) -> None:
    header = ("--path", "/header", "--header")
    assert istio.verify(*header, "want-color: green", "--weight", "100")[0] == 0
    assert istio.verify("--path", "/header", "--weight", "0")[0] == 0
    cookie = ("--path", "/cookie", "--header")
    assert istio.verify(*cookie, "Cookie: a=1; my-color=green; b=2", "--weight", "100")[0] == 0
    assert istio.verify(*cookie, "Cookie: my-color=greenish", "--weight", "0")[0] == 0


def test_a_node_port_splits_by_replicas(istio: Cluster) -> None:
    host = istio.url("default/color-service-np:http")
    done = istio.run(
        *("verify", "--host", host, "--path", "/", "--weight", "50", "--tolerance", "5"),
        *("--unit", "session", "--json"),
    )
    verdict = json.loads(done.stdout)
    # Istio's relay deals connections in turn, as kube-proxy's IPVS does: better than chance.
    assert (done.returncode, verdict["verdict"]) == (0, "match"), verdict["reason"]


def test_the_api_server_refuses_what_every_installation_refuses(istio: Cluster) -> None:
    text = CANARY.read_text("utf-8").replace("weight: 75", "weight: -5")
    done = istio.try_kubectl("apply", "-f", "-", text=text)
    assert done.returncode == 1
    assert "istio" in done.stderr


def test_weights_are_read_from_the_cluster(istio: Cluster) -> None:
    set_weights(istio, 60, 40)
    code, verdict = istio.verify("--virtual-service", "default/color-is-vs", "--settle", "1s")
    assert code == 0, verdict["reason"]
    assert verdict["expected"] == {"blue": 0.6, "green": 0.4}
    set_weights(istio, 75, 25)


def test_pods_are_rolled_and_scaled_by_the_real_controllers(istio: Cluster) -> None:
    istio.kubectl("scale", "deployment/dep-color-green", "--replicas=3")
    istio.kubectl("rollout", "status", "deployment/dep-color-green", "--timeout=60s")
    istio.kubectl("rollout", "restart", "deployment/dep-color-blue")
    istio.kubectl("rollout", "status", "deployment/dep-color-blue", "--timeout=60s")
    code, verdict = istio.verify("--weight", "25")
    assert code == 0, verdict["reason"]
    istio.kubectl("scale", "deployment/dep-color-green", "--replicas=1")


def test_a_gateway_of_the_gateway_api_is_made_by_istiod(istio: Cluster) -> None:
    istio.kubectl("apply", "-f", "-", text=GATEWAY_API)
    name = "default/public-istio:http"

    def is_there() -> bool:
        done = istio.run("lab", "url", name)
        return done.returncode == 0 and answers(done.stdout.strip())

    istio.wait_until(is_there, "the gateway that istiod makes")
    done = istio.run(
        *("verify", "--host", istio.url(name), "--weight", "10", "--tolerance", "5", "--json")
    )
    assert done.returncode == 0, done.stderr
    istio.kubectl("delete", "-f", "-", text=GATEWAY_API)


def answers(url: str) -> bool:
    try:
        return requests.get(f"{url}/color", timeout=2).status_code == 200
    except requests.RequestException:
        return False


GATEWAY_API = """
apiVersion: v1
kind: Service
metadata: {name: only-blue}
spec:
  selector: {app: color, color: blue}
  ports: [{name: http, port: 80, targetPort: 8080}]
---
apiVersion: v1
kind: Service
metadata: {name: only-green}
spec:
  selector: {app: color, color: green}
  ports: [{name: http, port: 80, targetPort: 8080}]
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: public}
spec:
  gatewayClassName: istio
  listeners: [{name: http, port: 80, protocol: HTTP}]
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: color}
spec:
  parentRefs: [{name: public}]
  rules:
    - backendRefs:
        - {name: only-blue, port: 80, weight: 90}
        - {name: only-green, port: 80, weight: 10}
"""


def test_an_image_that_the_lab_does_not_know_is_named_with_the_way_out(istio: Cluster) -> None:
    istio.kubectl("create", "deployment", "shop", "--image=example.com/shop:1", "--replicas=1")

    def reason() -> str:
        pods: dict[str, Any] = json.loads(
            istio.kubectl("get", "pods", "-l", "app=shop", "-o", "json")
        )
        for pod in pods["items"]:
            for status in pod.get("status", {}).get("containerStatuses", ()):
                return str(status["state"].get("waiting", {}).get("message", ""))
        return ""

    istio.wait_until(lambda: "trafficsplit.dev/command" in reason(), "the reason")
    assert "example.com/shop:1" in reason()
    annotated = {"metadata": {"annotations": {"trafficsplit.dev/command": "sleep infinity"}}}
    patch = json.dumps({"spec": {"template": annotated}})
    istio.kubectl("patch", "deployment", "shop", "--patch", patch)
    istio.kubectl("rollout", "status", "deployment/shop", "--timeout=60s")
    istio.kubectl("delete", "deployment", "shop")


def test_two_side_by_side_and_what_is_left_of_one_that_is_killed(tmp_path: Path) -> None:
    need_istio()
    one, other = tmp_path / "one", tmp_path / "other"
    one.mkdir()
    other.mkdir()
    with cluster(one, "--gateways", "2") as first, cluster(other) as second:
        assert first.url() != second.url()
        state = json.loads((one / ".lab" / "state.json").read_text("utf-8"))
        os.kill(state["pid"], signal.SIGKILL)
        first.wait_until(lambda: not first.processes(), "that nothing is left of it")
        assert "No lab is up" in first.run("lab", "status").stdout
        assert second.verify("--weight", "25", "--tolerance", "5")[0] == 0
    assert not second.processes()
