"""A cluster that is read with a real service account, and whose gateway moves meanwhile."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.support.istio import CANARY, Cluster

ROLES = ROOT / "integrations" / "kubernetes" / "roles.yaml"
ROUTE = ("--virtual-service", "default/color-is-vs")

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module", autouse=True)
def _reachable(istio: Cluster) -> Iterator[None]:
    istio.kubectl("apply", "-f", str(ROLES))
    reach(istio)
    yield
    istio.kubectl("delete", "-f", "-", text=EDGE)
    istio.kubectl("apply", "-f", str(CANARY))
    istio.settle()


def reach(istio: Cluster) -> None:
    """Make a Service whose load balancer's address and port lead to the gateway from here.

    The gateway listens on 8080 for it, so that it is the Service of the Gateway's server.
    """
    istio.kubectl("apply", "-f", "-", text=EDGE)
    name = "istio-system/edge:http"
    istio.wait_until(lambda: istio.run("lab", "url", name).returncode == 0, "a way")
    port = int(istio.url(name).rpartition(":")[2])
    patch = {"spec": {"ports": [{"name": "http", "port": port, "targetPort": 8080}]}}
    edge = ("-n", "istio-system", "service", "edge")
    istio.kubectl("patch", *edge, "--type=merge", "-p", json.dumps(patch))
    server = {"port": {"number": 8080, "name": "http", "protocol": "HTTP"}, "hosts": ["*"]}
    gateway = json.dumps({"spec": {"servers": [server]}})
    istio.kubectl(
        "patch", "gateway.networking.istio.io", "color-is-gw", "--type=merge", "-p", gateway
    )


EDGE = """
apiVersion: v1
kind: Service
metadata: {name: edge, namespace: istio-system}
spec:
  type: LoadBalancer
  selector: {app: istio-ingressgateway, istio: ingressgateway}
  ports: [{name: http, port: 8080, targetPort: 8080}]
"""


def as_account(istio: Cluster, tmp_path: Path, *roles: str) -> str:
    """Return the kubeconfig of a new service account with some roles."""
    istio.kubectl("create", "serviceaccount", tmp_path.name.replace("_", "-"))
    account = tmp_path.name.replace("_", "-")
    for role in roles:
        binding = f"{account}-{role}"
        subject = f"--serviceaccount=default:{account}"
        istio.kubectl("create", "clusterrolebinding", binding, f"--clusterrole={role}", subject)
    token = istio.kubectl("create", "token", account).strip()
    config = json.loads((istio.directory / ".lab" / "kubeconfig").read_text("utf-8"))
    config["users"][0]["user"] = {"token": token}
    file = tmp_path / "kubeconfig"
    file.write_text(json.dumps(config))
    return str(file)


def test_the_role_for_verify_is_enough_and_the_address_comes_from_the_cluster(
    istio: Cluster, tmp_path: Path
) -> None:
    kubeconfig = as_account(istio, tmp_path, "trafficsplit-verify")
    done = istio.run("verify", *ROUTE, "--json", kubeconfig=kubeconfig)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["expected"] == {"blue": 0.75, "green": 0.25}


def test_without_a_role_the_cluster_forbids_it_in_one_line(istio: Cluster, tmp_path: Path) -> None:
    kubeconfig = as_account(istio, tmp_path)
    done = istio.run("verify", *ROUTE, kubeconfig=kubeconfig)
    assert done.returncode == 2
    assert "forbids us" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_gateway_that_moves_meanwhile_is_no_verdict(istio: Cluster) -> None:
    patch = json.dumps({"status": {"loadBalancer": {"ingress": [{"ip": "127.0.0.2"}]}}})
    edge = ("-n", "istio-system", "service", "edge")
    act = ("patch", *edge, "--subresource=status", "--type=merge", "-p", patch)
    reports = istio.directory / "moved"
    over = threading.Event()

    def move() -> None:
        # The gateway has been looked up when the run has a directory of its own.
        while not over.wait(0.05):
            if any(reports.glob(".run-*")):
                istio.kubectl(*act)
                return

    mover = threading.Thread(target=move)
    mover.start()
    report = ("--report", str(reports))
    done = istio.run("verify", *ROUTE, "--rate", "500", "--json", *report)
    over.set()
    mover.join()
    verdict = json.loads(done.stdout)
    assert (done.returncode, verdict["verdict"]) == (3, "inconclusive"), verdict["reason"]
    assert "127.0.0.1" in verdict["reason"]
    assert "is gone" in verdict["reason"]
    assert "127.0.0.2" in verdict["reason"]


def test_weights_of_a_resource_that_kubectl_applied_are_set_and_applied_again(
    istio: Cluster, tmp_path: Path
) -> None:
    # As the tutorial's reader has it: by client-side apply, with the role that docs name.
    kubeconfig = as_account(istio, tmp_path, "trafficsplit-verify", "trafficsplit-set-weights")
    done = istio.run("set-weights", "green=40", *ROUTE, kubeconfig=kubeconfig)
    assert done.returncode == 0, done.stderr
    found = json.loads(istio.kubectl("get", "virtualservice", "color-is-vs", "-o", "json"))
    assert [one["weight"] for one in found["spec"]["http"][0]["route"]] == [60, 40]
    applied = istio.try_kubectl("apply", "-f", str(CANARY))
    assert applied.returncode == 0, applied.stderr


def test_a_rollout_on_the_cluster_is_walked_and_verified(istio: Cluster) -> None:
    walked = ("rollout", *ROUTE, "--host", istio.url(), "--steps", "50", "--tolerance", "5")
    done = istio.run(*walked)
    assert done.returncode == 0, done.stdout + done.stderr
    istio.kubectl("apply", "-f", str(CANARY))
    istio.settle()
