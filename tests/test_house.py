"""What the house promises: its façade, its documents, its entry points."""

import ast
import importlib
import re
import subprocess
import sys

import pytest

from tests.conftest import ROOT


@pytest.mark.parametrize("package", ["lab"])
def test_all_that_is_exported_is_there_and_nothing_else(package: str) -> None:
    module = importlib.import_module(f"trafficsplit.{package}")
    tree = ast.parse((ROOT / "src" / "trafficsplit" / package / "__init__.py").read_text())
    imported = {
        alias.asname or alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert set(module.__all__) == imported


def test_the_readmes_python_runs() -> None:
    (code,) = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    code = code.replace("variant_of\n", "variant_of, Verdict\n")
    code += "\nassert test.verdict is Verdict.INCONCLUSIVE"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_make_help_lists_every_target_that_the_documents_name() -> None:
    result = subprocess.run(["make", "-C", str(ROOT), "help"], capture_output=True, text=True)
    targets = set(re.findall(r"^  ([a-z-]+) ", result.stdout, re.MULTILINE))
    text = "".join((ROOT / name).read_text() for name in ("README.md", "CONTRIBUTING.md"))
    assert set(re.findall(r"^    make ([a-z-]+)", text, re.MULTILINE)) <= targets


def test_no_document_or_code_names_a_registry_or_a_private_path() -> None:
    lock = (ROOT / "requirements.lock").read_text()
    assert "://" not in lock
    assert "--index-url" not in lock


def test_importing_analysis_brings_no_sockets_or_locust() -> None:
    code = "import trafficsplit.analysis.judge, sys; assert not {'locust', 'gevent', 'requests'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
