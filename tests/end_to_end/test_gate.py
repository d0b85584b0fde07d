"""The gate, asked as Flagger and Argo Rollouts ask, in front of the real lab."""

import asyncio
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil
import pytest
import requests
from prometheus_client.parser import text_string_to_metric_families
from starlette.types import ASGIApp

from tests.conftest import Cli, needs, refused
from tests.fakes.cluster import Cluster
from tests.fakes.servers import always, free_port, plain, served
from tests.support.clusters import documents, kubeconfig
from tests.support.processes import processes_of, refuses
from tests.support.waiting import until
from trafficsplit import lab
from trafficsplit.gate import service
from trafficsplit.gate.metrics import Metrics
from trafficsplit.gate.requests import Reader, verification_from_plain
from trafficsplit.gate.verifications import Keeping, Verifications
from trafficsplit.gate.worker import REQUEST
from trafficsplit.settings.commands import parse_gate
from trafficsplit.settings.options import GATE, Texts

pytestmark = pytest.mark.lab
QUICK = ("--tolerance", "4", "--users", "8")
TOKEN = "right"
HOOKS = (
    "confirm-rollout",
    "pre-rollout",
    "rollout",
    "confirm-traffic-increase",
    "confirm-promotion",
)
CANARY = {
    "apiVersion": "flagger.app/v1beta1",
    "kind": "Canary",
    "metadata": {"name": "podinfo", "namespace": "test"},
    "spec": {
        "targetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "podinfo"},
        "service": {"port": 80},
        "analysis": {"interval": "1m"},
    },
    "status": {"phase": "Progressing", "canaryWeight": 25},
}


class Gate:
    def __init__(self, process: subprocess.Popen[str], url: str, session: requests.Session) -> None:
        self.process = process
        self.url = url
        self.session = session
        self.session.headers["Authorization"] = f"Bearer {TOKEN}"

    def flagger(
        self, hook: str, checksum: str = "85d557f47b", **metadata: Any
    ) -> requests.Response:
        """As Flagger's webhooks are documented: name, namespace, phase, checksum, metadata."""
        payload = {
            "name": "podinfo",
            "namespace": "test",
            "phase": "Progressing",
            "checksum": checksum,
            "metadata": {name: str(value) for name, value in metadata.items()},
        }
        return self.session.post(f"{self.url}/flagger/{hook}", json=payload, timeout=60)

    def argo(self, **query: Any) -> dict[str, Any]:
        answer = self.session.get(f"{self.url}/argo", params=query, timeout=120)
        assert answer.status_code == 200
        found = answer.json()["data"]
        assert isinstance(found, dict)
        return found

    def metric(self, name: str, **labels: str) -> float:
        text = self.session.get(f"{self.url}/metrics", timeout=60).text
        value = 0.0
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                if sample.name == name and labels.items() <= sample.labels.items():
                    value += sample.value
        return value


@contextlib.contextmanager
def running(tmp_path: Path, *options: str, scheme: str = "http", **env: str) -> Iterator[Gate]:
    address = f"127.0.0.1:{free_port()}"
    process = subprocess.Popen(
        [
            *(str(Path(sys.executable).with_name("trafficsplit")), "gate", "--listen", address),
            *("--results", str(tmp_path / "results"), *QUICK, *options),
        ],
        env={**os.environ, "TRAFFICSPLIT_TOKEN": TOKEN, **env},
        text=True,
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    try:
        assert process.stdout
        line = process.stdout.readline()
        assert line.startswith(f"The gate listens on {scheme}://{address}"), line
        assert until(lambda: not refuses(address))
        with contextlib.closing(requests.Session()) as session:
            yield Gate(process, f"{scheme}://{address}", session)
    finally:
        process.terminate()
        process.communicate(timeout=60)


def reports(tmp_path: Path) -> list[Path]:
    return sorted(tmp_path.glob("results/*/verdict.json"))


@pytest.mark.slow
def test_every_hook_of_flaggers_and_fifty_at_once(the_lab: lab.Lab, tmp_path: Path) -> None:
    with running(tmp_path, "--host", the_lab.host, "--wait", "60") as gate:
        assert gate.session.get(f"{gate.url}/healthz", timeout=60).text == "ok\n"
        with ThreadPoolExecutor(50) as pool:
            answers = list(pool.map(lambda i: gate.flagger(HOOKS[i % 5], weight=25), range(50)))
        assert {answer.status_code for answer in answers} == {200}
        (line,) = {answer.text for answer in answers}
        assert line.startswith("match: The split is as configured in")
        assert len(reports(tmp_path)) == 1  # one load for all of them
        for hook in HOOKS:
            no = gate.flagger(hook, weight=60)
            assert (no.status_code, no.text.count("\n")) == (409, 1)
            assert no.text.startswith("mismatch: green gets")
        assert gate.flagger("rollback", weight=60).status_code == 200  # passing: roll back
        assert gate.flagger("rollback", weight=25).status_code == 409
        assert len(reports(tmp_path)) == 2
        # another step of the release, or another release, is measured anew
        assert gate.flagger("rollout", checksum="next", weight=25).status_code == 200
        assert len(reports(tmp_path)) == 3
        where = {"target": f"{the_lab.host}/color"}
        assert gate.metric("trafficsplit_verifications_total", **where) == 3
        assert gate.metric("trafficsplit_verdict", verdict="match", **where) == 1
        assert gate.metric("trafficsplit_weight", variant="green", **where) == 0.25
        assert 0.2 < gate.metric("trafficsplit_share", variant="green", **where) < 0.3


@pytest.mark.slow
def test_argo_gets_a_measurement_whatever_happens(the_lab: lab.Lab, tmp_path: Path) -> None:
    dead = f"http://127.0.0.1:{free_port()}"
    with running(tmp_path, "--host", the_lab.host, "--host", dead) as gate:
        found = gate.argo(weight=25)
        assert (found["verdict"], found["errors"]) == ("match", 0)
        assert found["shares"]["green"] == pytest.approx(0.25, abs=0.05)
        assert gate.argo(weight=60)["verdict"] == "mismatch"
        body = {"weights": "blue=40,green=60"}
        answer = gate.session.post(f"{gate.url}/argo", json=body, timeout=60).json()
        assert answer["data"]["verdict"] == "mismatch"
        for query, verdict, said in (
            ({"weight": 25, "host": dead}, "failing", "refused"),
            ({"weight": 25, "host": "http://example.org"}, "error", "is not one of the gateways"),
            ({"weight": 125}, "error", "from 0 to 100"),
            ({"weight": 25, "tolerance": "x"}, "error", "tolerance"),
            ({}, "error", "which weights?"),
        ):
            found = gate.argo(**query)
            assert (found["verdict"], said in found["reason"]) == (verdict, True), found
        before = len(reports(tmp_path))
        assert gate.argo(weight=25)["verdict"] == "match"  # no id: each is a new measurement
        assert len(reports(tmp_path)) == before + 1


def test_who_may_not_ask_is_refused_and_a_slow_one_holds_nobody_up(
    the_lab: lab.Lab, tmp_path: Path
) -> None:
    with running(tmp_path, "--host", the_lab.host, "--wait", "60") as gate:
        url = f"{gate.url}/flagger/rollout"
        for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": "right"}):
            for path in ("/flagger/rollout", "/argo", "/metrics"):
                method = "GET" if path == "/metrics" else "POST"
                answer = requests.request(method, gate.url + path, headers=headers, timeout=60)
                assert answer.status_code == 401
        for token, status in (("wrong", 401), (TOKEN, 200)):  # Flagger has no headers of ours
            payload = {"name": "a", "namespace": "b", "metadata": {"token": token, "weight": "25"}}
            assert requests.post(url, json=payload, timeout=60).status_code == status
        host, _, port = gate.url.removeprefix("http://").partition(":")
        head = f"POST /flagger/rollout HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\n"
        with contextlib.ExitStack() as stack:
            for number in range(20):
                slow = stack.enter_context(socket.create_connection((host, int(port))))
                part = head if number % 2 else f"{head}Content-Length: 100\r\n\r\n{{"
                slow.sendall(part.encode())
            assert gate.flagger("rollout", weight=25).status_code == 200
        far = gate.flagger("rollout", weight=25, host="http://169.254.169.254")
        assert (far.status_code, "is not one of the gateways" in far.text) == (403, True)
        for data, status in ((b"x" * 70_000, 413), (b"nonsense", 400), (b"[]", 400), (b"{}", 400)):
            assert gate.session.post(url, data=data, timeout=60).status_code == status
        assert gate.flagger("nothing", weight=25).status_code == 404
        assert len(reports(tmp_path)) == 2


def test_what_takes_longer_goes_on_and_is_answered_at_the_next_call(
    the_lab: lab.Lab, tmp_path: Path
) -> None:
    with running(tmp_path, "--host", the_lab.host, "--wait", "0.1") as gate:
        statuses = []

        def passed() -> bool:
            statuses.append(gate.flagger("confirm-traffic-increase", weight=25).status_code)
            return statuses[-1] == 200

        assert until(passed)
        assert set(statuses[:-1]) == {503}
        assert len(reports(tmp_path)) == 1


def senders(tmp_path: Path) -> list[psutil.Process]:
    """Return the processes that write below our directory, but for the gate: verify, and Locust."""
    return [one for one in processes_of(tmp_path / "results") if "gate" not in one.cmdline()]


def running_loads(tmp_path: Path) -> list[Path]:
    """Return what the runs leave that have requests on their way."""
    return list(tmp_path.glob("results/*/.run-*/begun"))


@pytest.mark.slow
def test_a_kill_in_mid_run_leaves_no_load_and_loses_no_result(
    the_lab: lab.Lab, tmp_path: Path
) -> None:
    slow = ("--host", the_lab.host, "--wait", "0.1", "--rate", "300")
    with running(tmp_path, "--host", the_lab.host, "--wait", "60") as gate:
        assert gate.flagger("rollout", weight=25).status_code == 200
    (kept,) = reports(tmp_path)
    with running(tmp_path, *slow) as gate:
        assert gate.flagger("rollout", checksum="two", weight=25).status_code == 503
        assert until(lambda: len(running_loads(tmp_path)) == 1)
        assert gate.argo(weight=25, id="test/podinfo/85d557f47b")["verdict"] == "match"
        gate.process.kill()
        gate.process.wait()
        assert until(lambda: not senders(tmp_path))
    assert kept in reports(tmp_path)
    with running(tmp_path, *slow) as gate:
        before = len(list(tmp_path.glob("results/*")))
        assert gate.flagger("rollout", weight=25).status_code == 200  # from before, at once
        assert len(list(tmp_path.glob("results/*"))) == before
        # The one that was cut short is no verdict, and is measured again.
        assert gate.flagger("rollout", checksum="two", weight=25).status_code == 503
        assert until(lambda: len(list(tmp_path.glob("results/*"))) == before + 1)
        # stopped in mid-run: it ends by itself, and who waits is told
        assert until(lambda: len(running_loads(tmp_path)) == 1)
        gate.process.send_signal(signal.SIGTERM)
        gate.process.wait(60)
        assert not senders(tmp_path)


@pytest.mark.slow
def test_weights_of_a_canary_and_of_a_virtual_service(the_lab: lab.Lab, tmp_path: Path) -> None:
    versions = (deployment("podinfo-primary", "blue"), deployment("podinfo", "green"))
    with Cluster(CANARY, *versions, *documents()) as cluster:
        config = str(kubeconfig(tmp_path / "kubeconfig", cluster.url))
        options = ("--host", the_lab.host, "--wait", "60")
        with running(tmp_path, *options, KUBECONFIG=config) as gate:
            assert gate.flagger("rollout").status_code == 200
            cluster.the("Canary")["status"]["canaryWeight"] = 50
            half = gate.flagger("rollout")
            assert (half.status_code, "less than its 50 %" in half.text) == (409, True)
            routes = gate.flagger("rollout", virtualService="default/color-is-vs")
            assert routes.status_code == 200
            missing = gate.flagger("rollout", virtualService="default/nothing")
            assert missing.status_code == 400
            assert "there is no VirtualService nothing" in missing.text


def deployment(name: str, color: str) -> dict[str, Any]:
    container = {"name": "app", "env": [{"name": "COLOR", "value": color}]}
    spec = {"template": {"spec": {"containers": [container]}}}
    metadata = {"name": name, "namespace": "test"}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": spec}


@pytest.mark.slow
def test_a_gateway_that_fails_is_asked_again(tmp_path: Path) -> None:
    with served(always(plain(b"no", "500 Internal Server Error"))) as port:
        host = f"http://127.0.0.1:{port}"
        with running(tmp_path, "--host", host, "--wait", "60") as gate:
            first = gate.flagger("rollout", weight=25)
            assert (first.status_code, first.text.startswith("failing:")) == (409, True)
            assert gate.flagger("rollout", weight=25).status_code == 409
            assert len(reports(tmp_path)) == 2


def test_a_fault_of_our_own_is_an_answer_of_one_line(tmp_path: Path) -> None:
    def broken(*_: object) -> Any:
        raise RuntimeError("boom")

    reader = Reader(parse_gate(Texts(GATE, {"host": "http://x"})), broken, broken)
    verifications = Verifications(Keeping(tmp_path), lambda _: None)
    app = service.application(service.Gate(reader, verifications, Metrics()))
    asked = {"virtualService": "default/color"}
    status, text = asyncio.run(called(app, "/flagger/rollout", {"metadata": asked}))
    assert (status, text.count("\n")) == (503, 1)
    assert text.startswith("broken: RuntimeError: boom")
    status, text = asyncio.run(called(app, "/argo", asked))
    assert (status, json.loads(text)["data"]["verdict"]) == (200, "error")


async def called(app: ASGIApp, path: str, body: object) -> tuple[int, str]:
    """Return the status and the body of the answer to a POST."""
    sent: list[Any] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": json.dumps(body).encode()}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "POST", "path": path, "headers": [], "query_string": b""}
    await app(scope, receive, send)
    return sent[0]["status"], b"".join(one.get("body", b"") for one in sent).decode()


def write_certificate(directory: Path, name: str) -> None:
    """Write a certificate of this machine's address that signs itself, and its key."""
    subprocess.run(
        [
            *(needs("openssl"), "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"),
            *("-subj", f"/CN={name}", "-addext", "subjectAltName=IP:127.0.0.1"),
            *("-keyout", str(directory / f"{name}.key"), "-out", str(directory / f"{name}.pem")),
        ],
        check=True,
        capture_output=True,
    )


HOSTILE = """
import pathlib
pathlib.Path(__file__).with_suffix(".was-run").touch()
raise SystemExit(7)
"""
NAMES = (
    *("analysis", "trafficsplit", "load", "lab/__init__", "lab/__main__", "gate/__init__"),
    *("locust", "requests", "locustfile", "sitecustomize", "usercustomize"),
)


def test_a_users_own_files_in_the_working_directory_are_not_ours(
    the_lab: lab.Lab, tmp_path: Path
) -> None:
    for name in NAMES:
        file = tmp_path / f"{name}.py"
        file.parent.mkdir(exist_ok=True)
        file.write_text(HOSTILE)
    (tmp_path / "locust.conf").write_text("users = 1\nnonsense\n")
    with running(tmp_path, "--host", the_lab.host, "--wait", "60") as gate:
        answer = gate.flagger("rollout", weight=25)
        assert (answer.status_code, answer.text[:6]) == (200, "match:")
        assert gate.flagger("rollout", weight=60).status_code == 409
    assert not list(tmp_path.rglob("*.was-run"))


def test_a_worker_gets_its_settings_from_its_file_alone(the_lab: lab.Lab, tmp_path: Path) -> None:
    # Options of verify's, and of Locust's, that the gate has not.
    outside = {
        "TRAFFICSPLIT_WEIGHTS": "blue=1,green=99",
        "TRAFFICSPLIT_PROCESSES": "nonsense",
        "LOCUST_USERS": "nonsense",
    }
    options = ("--host", the_lab.host, "--wait", "60", "--header", "X-Asked: gate")
    with running(tmp_path, *options, **outside) as gate:
        answer = gate.flagger("rollout", weight="25", path="/color?by=flagger", tolerance="5")
        assert answer.status_code == 200, answer.text
    (report,) = (file.parent for file in reports(tmp_path))
    asked = verification_from_plain(json.loads((report / REQUEST).read_text())).settings
    assert asked.hosts == (the_lab.host,)
    assert dict(asked.split.weights) == {"blue": 0.75, "green": 0.25}
    assert asked.limits.tolerance == 0.05
    assert asked.sending.users == 8
    assert dict(asked.load.request.headers) == {"X-Asked": "***"}  # its value is not kept
    verdict = json.loads((report / "verdict.json").read_text())
    assert verdict["path"] == asked.load.request.path == "/color?by=flagger"
    assert verdict["expected"] == {"blue": 0.75, "green": 0.25}
    assert verdict["tolerance"] == 0.05


WRONG = (
    ({"weight": "125"}, "from 0 to 100"),
    ({"weight": "many"}, "weight is not a number"),
    ({"weights": "blue=1,green=-1"}, "negative"),
    ({"weights": "blue=0,green=0"}, "zero"),
    ({"weight": 25, "tolerance": "x"}, "tolerance is not a number"),
    ({"weight": 25, "tolerance": "99"}, "above 0 and below 50"),
    ({"weight": 25, "tolerance": "30"}, "tolerance"),
    ({"weight": 25, "tolerance": "0.0000001%"}, "tolerance"),
    ({"weight": 25, "alpha": "0"}, "alpha"),
    ({"weight": 25, "alpha": "1e-320"}, "alpha"),
    ({"weight": 25, "unit": "visitor"}, "there is no unit 'visitor'"),
    ({"weight": 25, "settle": "soon"}, "settle is no time"),
    ({"weight": 25, "previous_weight": "200"}, "previous_weight is 200"),
    ({"weight": 25, "max_p99_ratio": "0.5"}, "max_p99_ratio is 0.5"),
    ({"weight": 25, "path": "color"}, "is no path"),
    ({"weight": 25, "host": "nonsense"}, "is no address"),
)


def test_a_request_is_parsed_before_anything_is_begun(tmp_path: Path) -> None:
    with running(tmp_path, "--host", "http://127.0.0.1:9") as gate:
        for metadata, said in WRONG:
            answer = gate.flagger("rollout", **metadata)
            assert (answer.status_code, answer.text.count("\n")) == (400, 1), answer.text
            assert said in answer.text, (metadata, answer.text)
            found = gate.argo(**metadata)
            assert (found["verdict"], said in found["reason"]) == ("error", True), found
        assert gate.metric("trafficsplit_verifications_total") == 0
    assert not list((tmp_path / "results").iterdir())


def test_clients_with_a_certificate(the_lab: lab.Lab, tmp_path: Path) -> None:
    for name in ("server", "client"):
        write_certificate(tmp_path, name)
    options = ("--tls-cert", "server.pem", "--tls-key", "server.key", "--client-ca", "client.pem")
    with running(tmp_path, "--host", the_lab.host, *options, scheme="https") as gate:
        gate.session.trust_env = False  # a machine's own CA bundle would win
        gate.session.verify = str(tmp_path / "server.pem")
        with pytest.raises(requests.ConnectionError):
            gate.session.get(f"{gate.url}/healthz", timeout=60)
        gate.session.cert = (str(tmp_path / "client.pem"), str(tmp_path / "client.key"))
        assert gate.session.get(f"{gate.url}/healthz", timeout=60).text == "ok\n"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "no gateway to ask"),
        (("--host", "nonsense"), "is no address"),
        (("--host", "http://x", "--listen", "0.0.0.0:0"), "is not this machine alone"),
        (("--host", "http://x", "--listen", "here"), "is no ADDRESS:PORT"),
        (("--host", "http://x", "--listen", "192.0.2.1:1", "--open"), "192.0.2.1:1 cannot be used"),
        (("--host", "http://x", "--tolerance", "99"), "--tolerance is 99: give percentage points"),
        (("--host", "http://x", "--client-ca", "x.pem"), "--client-ca needs --tls-cert"),
        (("--host", "http://x", "--tls-cert", "x", "--tls-key", "y"), "x cannot be used"),
        (("--host", "http://x", "--variants", "blue"), "--variants is not STABLE,CANARY"),
        (("--host", "http://x", "--tolerence", "3"), "No such option '--tolerence'"),
        (("--host", "http://x", "--rate", "abc"), "--rate is not a number: 'abc'"),
        (("--host", "http://x", "--max-p99-ratio", "0.5"), "--max-p99-ratio is 0.5"),
        (("--host", "http://x", "--wait", "soon"), "--wait is no time: 'soon'"),
        (("--host", "http://x", "--header", "x"), "--header 'x' is no header"),
        (("--host", "http://x", "--ca-file", "nothing"), "--ca-file"),
        (("--host", "http://x", "--variant-from", "nothing"), "cannot be read from 'nothing'"),
        (("--host", "http://x", "--unit", "visitor"), "there is no --unit 'visitor'"),
        (("--host", "http://x", "--results", "/proc/x"), "/proc/x cannot be written"),
    ],
)
def test_what_cannot_be_served_is_refused_in_a_line(
    cli: Cli, arguments: tuple[str, ...], said: str
) -> None:
    assert said in refused(cli, "gate", *arguments)
