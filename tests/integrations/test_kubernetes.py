"""The manifests of master and workers: they fit together, and their commands are run for real."""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from tests.conftest import ROOT
from tests.fakes.servers import free_port
from trafficsplit.lab import Lab

HERE = ROOT / "integrations" / "kubernetes"


def documents() -> dict[str, Any]:
    """All objects, by kind."""
    found = {}
    for path in sorted(HERE.glob("*.yaml")):
        for document in YAML(typ="safe").load_all(path):
            found[document["kind"]] = document
    return found


def container(workload: dict[str, Any]) -> dict[str, Any]:
    (only,) = workload["spec"]["template"]["spec"]["containers"]
    assert isinstance(only, dict)
    return only


def test_the_service_finds_the_master_and_the_workers_the_service() -> None:
    found = documents()
    job, service, workers = found["Job"], found["Service"], found["Deployment"]
    labels = job["spec"]["template"]["metadata"]["labels"]
    assert service["spec"]["selector"].items() <= labels.items()
    worker_labels = workers["spec"]["template"]["metadata"]["labels"]
    assert workers["spec"]["selector"]["matchLabels"].items() <= worker_labels.items()
    assert not service["spec"]["selector"].items() <= worker_labels.items()
    (port,) = service["spec"]["ports"]
    assert port["port"] == container(job)["ports"][0]["containerPort"] == 5557  # Locust's own
    name = service["metadata"]["name"]
    assert f"--master-host={name}" in container(workers)["args"]
    expected = f"--expect-workers={workers['spec']['replicas']}"
    assert expected in container(job)["args"]
    assert container(job)["image"] == container(workers)["image"]


@pytest.mark.slow
@pytest.mark.lab
def test_their_commands_reach_a_verdict(tmp_path: Path, the_lab: Lab) -> None:
    found = documents()
    job = container(found["Job"])
    workers = container(found["Deployment"])
    port = free_port()
    environment = {**os.environ, **{one["name"]: one["value"] for one in job["env"]}}
    assert re.match(r"http://[\w.-]+$", environment["LOCUST_HOST"])
    environment["LOCUST_HOST"] = the_lab.host
    environment["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])

    def started(pod: dict[str, Any], *more: str) -> subprocess.Popen[str]:
        words = [*pod["command"], *pod["args"], *more]
        return subprocess.Popen(
            [word.replace("trafficsplit-master", "127.0.0.1") for word in words],
            cwd=tmp_path,
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE if "--master" in words else subprocess.DEVNULL,
            text=True,
        )

    them = [started(job, f"--master-bind-port={port}")]
    try:
        them += [started(workers, f"--master-port={port}") for _ in range(2)]
        said = them[0].communicate(timeout=180)[1]
    finally:
        for process in them:
            process.kill()
            process.wait()
    assert them[0].returncode == 0, said
    assert "match: The split is as configured" in said.splitlines()[-1]
