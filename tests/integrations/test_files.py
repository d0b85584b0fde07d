"""The ready files, each held against what its project publishes, and against what they call."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
from ruamel.yaml import YAML

from tests.conftest import ROOT, needs
from trafficsplit.gate.service import HOOKS
from trafficsplit.settings.options import EXPECTATIONS, LOAD

HERE = ROOT / "integrations"
BIN = Path(sys.executable).parent


def documents(*parts: str) -> list[dict[str, Any]]:
    return list(YAML(typ="safe").load_all(HERE.joinpath(*parts).read_text()))


@pytest.mark.parametrize(
    ("schema", "file"),
    [
        ("vendor.github-actions", "action.yml"),
        ("vendor.github-workflows", "integrations/github-actions/verify.yml"),
        ("vendor.gitlab-ci", "integrations/gitlab-ci/trafficsplit.gitlab-ci.yml"),
    ],
)
def test_ci_files_are_as_their_schemas_say(schema: str, file: str) -> None:
    subprocess.run(
        [BIN / "check-jsonschema", "--builtin-schema", schema, ROOT / file], check=True, timeout=60
    )


def test_dockerfiles_are_clean() -> None:
    files = [ROOT / "Dockerfile", ROOT / "color" / "Dockerfile"]
    subprocess.run([BIN / "hadolint", *files], check=True, timeout=60)


@pytest.fixture(scope="module")
def npm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Linters that only npm has."""
    directory = tmp_path_factory.mktemp("npm")
    needs("node")
    subprocess.run(
        [needs("npm"), "install", "--silent", "--no-audit", "--no-fund", "--prefix", directory,
         "@ibm/tekton-lint@1.1.0", "@kubernetes-models/argo-rollouts"],
        check=True, timeout=240,
    )  # fmt: skip
    return directory


def test_tekton_files_are_clean(npm: Path) -> None:
    lint = npm / "node_modules" / ".bin" / "tekton-lint"
    file = HERE / "tekton" / "verify-split.yaml"
    result = subprocess.run([lint, file], capture_output=True, text=True, timeout=60, check=False)
    assert (result.returncode, result.stdout.strip()) == (0, ""), result.stdout


def test_analysis_templates_are_as_their_schema_says(npm: Path) -> None:
    code = (
        "const m = require('@kubernetes-models/argo-rollouts/argoproj.io/v1alpha1');"
        "const at = new m.AnalysisTemplate(JSON.parse(process.argv[1])); at.validate();"
    )
    wrong = {"metadata": {"name": "x"}, "spec": {"metrics": [{"name": 1}]}}
    found = documents("argo-rollouts", "analysis.yaml")
    for document, good in ((wrong, False), *((one, True) for one in found)):
        result = subprocess.run(
            [needs("node"), "-e", code, json.dumps(document)], cwd=npm, capture_output=True,
            text=True, timeout=60, check=False,
        )  # fmt: skip
        assert (result.returncode == 0) == good, result.stderr


def test_kubernetes_manifests_are_as_its_schemas_say() -> None:
    files = [*HERE.glob("kubernetes/*.yaml"), *HERE.glob("gate/*.yaml")]
    assert len(files) == 3
    for file in files:
        for document in YAML(typ="safe").load_all(file.read_text()):
            kubernetes_validate.validate(document, "1.31", strict=True)
    for template in documents("argo-rollouts", "analysis.yaml"):
        provider = template["spec"]["metrics"][0]["provider"]
        if "job" in provider:
            job = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "x"}}
            kubernetes_validate.validate({**job, **provider["job"]}, "1.31", strict=True)
            assert provider["job"]["spec"]["backoffLimit"] == 0


def test_what_they_set_are_options_that_exist() -> None:
    from trafficsplit.cli import trafficsplit

    known = {
        parameter.envvar
        for command in trafficsplit.commands.values()
        for parameter in command.params
        if parameter.envvar
    }
    assert {f"TRAFFICSPLIT_{name.upper()}" for name in (*EXPECTATIONS, *LOAD)} <= known
    said = set()
    for file in (ROOT / "action.yml", *HERE.rglob("*"), ROOT / "Dockerfile"):
        if file.is_file():
            said |= set(re.findall(r"TRAFFICSPLIT_[A-Z0-9_]+", file.read_text()))
    assert said <= known, said - known


def test_controllers_call_what_the_gate_serves() -> None:
    (service,) = [d for d in documents("gate", "gate.yaml") if d["kind"] == "Service"]
    metadata = service["metadata"]
    base = (
        f"http://{metadata['name']}.{metadata['namespace']}:{service['spec']['ports'][0]['port']}"
    )
    (canary,) = documents("flagger", "canary.yaml")
    for hook in canary["spec"]["analysis"]["webhooks"]:
        assert hook["url"] == f"{base}/flagger/{hook['type']}"
        assert hook["type"] in HOOKS
    template = documents("argo-rollouts", "analysis.yaml")[0]
    assert template["spec"]["metrics"][0]["provider"]["web"]["url"].startswith(f"{base}/argo?")


def test_nobody_retries_a_verification() -> None:
    for file in HERE.rglob("*"):
        if file.is_file():
            for line in file.read_text().splitlines():
                setting = re.match(r"\s*(retr\w*|backoffLimit)\s*[:(]\s*([1-9].*)", line)
                assert not setting, f"{file}: {line}"
