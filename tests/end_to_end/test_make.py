"""`make verify`: the verdict's code is make's own, which make by itself would not do."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT, needs
from trafficsplit.lab import Lab


@pytest.mark.lab
@pytest.mark.parametrize(
    ("weight", "code", "said"),
    [
        ("25", 0, "match: "),
        ("0", 1, "mismatch: green has weight 0"),
        ("abc", 2, "the weight of green is not a number: 'abc'"),
        ("130", 2, "the weight of green is 130"),
    ],
)
def test_make_verify_passes_the_code_on(
    tmp_path: Path, the_lab: Lab, weight: str, code: int, said: str
) -> None:
    needs("make")
    needs("cc")
    # A checkout that is set up already: this environment, under the name that make expects.
    for name in ("Makefile", "requirements.lock", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path)
    venv = tmp_path / ".venv"
    venv.mkdir()
    (venv / "bin").symlink_to(Path(sys.executable).parent)
    (venv / ".installed").touch()
    result = subprocess.run(
        ["make", "verify", f"WEIGHT={weight}", f"HOST={the_lab.host}"],
        cwd=tmp_path, env=dict(os.environ), capture_output=True, text=True, timeout=90,
    )  # fmt: skip
    assert result.returncode == code, result.stdout + result.stderr
    assert said in result.stdout + result.stderr
    assert "Error" not in result.stderr  # of make's own
    assert not list(venv.glob("code.*"))
