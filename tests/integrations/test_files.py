"""The ready files, each held against what its project publishes, and against what they call."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import kubernetes_validate  # type: ignore[import-untyped]
import pytest
from ruamel.yaml import YAML

from tests.conftest import ROOT, needs
from trafficsplit.cli import trafficsplit
from trafficsplit.errors import ExitCode
from trafficsplit.gate.service import HOOKS
from trafficsplit.settings.options import LOCUSTFILE

HERE = ROOT / "integrations"
BIN = Path(sys.executable).parent


def documents(*parts: str) -> list[dict[str, Any]]:
    return list(YAML(typ="safe").load_all(HERE.joinpath(*parts).read_text()))


@pytest.mark.slow
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
        [BIN / "check-jsonschema", "--builtin-schema", schema, ROOT / file], check=True, timeout=120
    )


def test_dockerfiles_are_clean() -> None:
    files = [ROOT / "Dockerfile", ROOT / "color" / "Dockerfile"]
    subprocess.run([BIN / "hadolint", *files], check=True, timeout=120)


@pytest.fixture(scope="module")
def npm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Linters that only npm has."""
    directory = tmp_path_factory.mktemp("npm")
    needs("node")
    subprocess.run(
        [
            *(needs("npm"), "install", "--silent", "--no-audit", "--no-fund"),
            *("--prefix", directory, "@ibm/tekton-lint@1.1.0", "@kubernetes-models/argo-rollouts"),
        ],
        check=True,
        timeout=400,
    )
    return directory


@pytest.mark.slow
def test_tekton_files_are_clean(npm: Path) -> None:
    lint = npm / "node_modules" / ".bin" / "tekton-lint"
    file = HERE / "tekton" / "verify-split.yaml"
    result = subprocess.run([lint, file], capture_output=True, text=True, timeout=120, check=False)
    assert (result.returncode, result.stdout.strip()) == (0, ""), result.stdout


@pytest.mark.slow
def test_analysis_templates_are_as_their_schema_says(npm: Path) -> None:
    wrong = {"metadata": {"name": "x"}, "spec": {"metrics": [{"name": 1}]}}
    assert not valid_template(npm, wrong)
    for document in documents("argo-rollouts", "analysis.yaml"):
        assert valid_template(npm, document)


def valid_template(npm: Path, document: dict[str, Any]) -> bool:
    """Return whether the published model of an AnalysisTemplate takes a document."""
    code = (
        "const m = require('@kubernetes-models/argo-rollouts/argoproj.io/v1alpha1');"
        "const at = new m.AnalysisTemplate(JSON.parse(process.argv[1])); at.validate();"
    )
    command = [needs("node"), "-e", code, json.dumps(document)]
    return subprocess.run(command, cwd=npm, timeout=120, check=False).returncode == 0


def test_kubernetes_manifests_are_as_its_schemas_say() -> None:
    files = [*HERE.glob("kubernetes/*.yaml"), *HERE.glob("gate/*.yaml")]
    assert len(files) == 4
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
    known = set()
    for command in trafficsplit.commands.values():
        known |= {parameter.envvar for parameter in command.params if parameter.envvar}
    assert {option.variable for option in LOCUSTFILE} <= known
    said = set()
    for file in (ROOT / "action.yml", *HERE.rglob("*"), ROOT / "Dockerfile"):
        if file.is_file():
            said |= set(re.findall(r"TRAFFICSPLIT_[A-Z0-9_]+", file.read_text()))
    assert said <= known, said - known


def test_every_file_names_one_version_of_the_image() -> None:
    project = (ROOT / "pyproject.toml").read_text()
    (version,) = re.findall(r'^version = "(.*)"$', project, re.MULTILINE)
    for file in (ROOT / "Dockerfile", *HERE.rglob("*")):
        if file.is_file():
            named = re.findall(r"trafficsplit(?::|/trafficsplit@v)(\d+\.[\w.]+)", file.read_text())
            assert set(named) <= {version}, file


def test_controllers_call_what_the_gate_serves() -> None:
    (service,) = [d for d in documents("gate", "gate.yaml") if d["kind"] == "Service"]
    metadata = service["metadata"]
    port = service["spec"]["ports"][0]["port"]
    base = f"http://{metadata['name']}.{metadata['namespace']}:{port}"
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


# In the place of trafficsplit: it ends with a code, and writes a verdict or none.
STUB = """#!/bin/sh
while [ $# -gt 0 ]; do
  [ "$1" = --report ] && TRAFFICSPLIT_REPORT=$2
  shift
done
if [ -n "$STUB_VERDICT" ]; then
  mkdir -p "$TRAFFICSPLIT_REPORT"
  cd "$TRAFFICSPLIT_REPORT"
  printf '{"verdict": "%s", "reason": "because"}' "$STUB_VERDICT" > verdict.json
fi
exit $STUB_CODE
"""
ENDS = [(code, code.name.lower()) for code in ExitCode if code.name != "INTERRUPTED"]


def stubbed(directory: Path, code: ExitCode, name: str) -> dict[str, str]:
    """Put the stub on a path of its own, and return the environment in which it is called."""
    folder = directory / "trafficsplit" / "bin"
    folder.mkdir(parents=True)
    stub = folder / "trafficsplit"
    stub.write_text(STUB)
    stub.chmod(0o755)
    verdict = "" if code in (ExitCode.WRONG_USAGE, ExitCode.BROKEN) else name
    path = os.pathsep.join([str(folder), str(BIN), os.environ["PATH"]])
    return {**os.environ, "PATH": path, "STUB_CODE": str(int(code)), "STUB_VERDICT": verdict}


@pytest.mark.parametrize(("code", "name"), ENDS)
def test_the_action_says_the_verdict_and_ends_with_its_code(
    tmp_path: Path, code: ExitCode, name: str
) -> None:
    steps = YAML(typ="safe").load(ROOT / "action.yml")["runs"]["steps"]
    (verify,) = [step for step in steps if step.get("id") == "verify"]
    output = tmp_path / "output"
    environment = stubbed(tmp_path, code, name)
    environment |= {
        "RUNNER_TEMP": str(tmp_path),
        "GITHUB_OUTPUT": str(output),
        "TRAFFICSPLIT_REPORT": str(tmp_path / "report"),
    }
    # As GitHub runs `shell: bash`.
    command = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", verify["run"]]
    result = subprocess.run(command, env=environment, timeout=60, check=False)
    assert result.returncode == code
    verdict = "" if code is ExitCode.WRONG_USAGE else name
    assert output.read_text() == f"verdict={verdict}\n"


@pytest.mark.parametrize(("code", "name"), ENDS)
def test_the_task_of_tektons_has_its_own_verdict_for_a_result(
    tmp_path: Path, code: ExitCode, name: str
) -> None:
    task = documents("tekton", "verify-split.yaml")[0]
    (step,) = task["spec"]["steps"]
    report = tmp_path / "workspace" / "report"
    report.mkdir(parents=True)
    earlier = {"verdict": "match", "reason": "of an earlier run"}
    (report / "verdict.json").write_text(json.dumps(earlier))
    script = tmp_path / "script"
    script.write_text(step["script"])
    script.chmod(0o755)
    environment = stubbed(tmp_path, code, name)
    environment |= {
        "WORKSPACE": str(report.parent),
        "VERDICT": str(tmp_path / "verdict"),
        "REASON": str(tmp_path / "reason"),
    }
    result = subprocess.run([script], env=environment, timeout=60, check=False)
    assert result.returncode == code
    expected = "error" if code is ExitCode.WRONG_USAGE else name
    assert (tmp_path / "verdict").read_text() == expected
    has_verdict = bool(environment["STUB_VERDICT"])
    assert (tmp_path / "reason").read_text() == ("because" if has_verdict else "see the log")
