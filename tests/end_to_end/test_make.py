"""`make`: 0 for a match and make's own 2 for everything else, without a compiler, in any shell."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT, needs
from trafficsplit.lab import Lab

FILES = ("Makefile", "install.sh", "requirements.lock", "requirements-dev.lock", "pyproject.toml")


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout that is set up already: this environment, under the name that make expects."""
    for name in FILES:
        shutil.copy(ROOT / name, tmp_path)
    venv = tmp_path / ".venv"
    venv.mkdir()
    (venv / "bin").symlink_to(Path(sys.executable).parent)
    (venv / ".run").touch()
    (venv / ".dev").touch()
    return tmp_path


def make(directory: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    needs("make")
    return subprocess.run(
        ["make", *arguments],
        cwd=directory,
        env=dict(os.environ),
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )


@pytest.mark.lab
@pytest.mark.parametrize(
    ("weight", "code", "said"),
    [
        ("25", 0, "match: "),
        ("0", 2, "mismatch: green has weight 0"),
        ("abc", 2, "--weight is not a number: 'abc'"),
        ("130", 2, "--weight is 130: give per cent, from 0 to 100"),
    ],
)
def test_make_verify_is_0_for_a_match_alone(
    checkout: Path, the_lab: Lab, weight: str, code: int, said: str
) -> None:
    result = make(checkout, "verify", f"WEIGHT={weight}", f"HOST={the_lab.host}")
    assert result.returncode == code, result.stdout + result.stderr
    assert said in result.stdout + result.stderr


@pytest.mark.lab
@pytest.mark.parametrize("shell", ["dash", "bash"])
@pytest.mark.parametrize("compiler", ["CC=none", "CC=false"])
def test_a_mismatch_fails_without_a_compiler_in_any_shell(
    checkout: Path, the_lab: Lab, shell: str, compiler: str
) -> None:
    path = needs(shell)
    result = make(
        checkout, "verify", "WEIGHT=90", f"HOST={the_lab.host}", compiler, f"SHELL={path}"
    )
    assert "mismatch: " in result.stdout
    assert result.returncode == 2, result.stdout + result.stderr


@pytest.mark.parametrize("arguments", [("help",), (), ("-n", "verify"), ("-n", "test")])
def test_what_only_tells_builds_nothing(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    for name in FILES:
        shutil.copy(ROOT / name, tmp_path)
    result = make(tmp_path, *arguments)
    assert result.returncode == 0, result.stderr
    assert {path.name for path in tmp_path.iterdir()} == set(FILES)


def test_help_tells_of_every_target(tmp_path: Path) -> None:
    shutil.copy(ROOT / "Makefile", tmp_path)
    said = make(tmp_path, "help").stdout
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert targets == set(re.findall(r"^  ([a-z-]+) ", said, re.MULTILINE))


def test_the_makefile_uses_nothing_newer_than_make_3_81() -> None:
    # GNU make's NEWS: what came with 3.82 and later, of what a Makefile like this might use.
    text = (ROOT / "Makefile").read_text()
    newer = (
        r"^-?load\b",  # 4.0
        r"!=",  # 4.0
        r"\$\(file\b|\$\(guile\b",  # 4.0
        r"^define \w+ *[:?+]?=",  # 3.82
        r"^undefine\b|^private\b",  # 3.82
        r"\.ONESHELL|\.RECIPEPREFIX|\.SHELLFLAGS",  # 3.82
        r"\$\(let\b|\$\(intcmp\b",  # 4.4
        r"&:",  # 4.3
        r"::?:=",  # 4.0
    )
    for pattern in newer:
        assert not re.search(pattern, text, re.MULTILINE), pattern


def test_an_old_python_is_refused_in_one_line(tmp_path: Path) -> None:
    for name in FILES:
        shutil.copy(ROOT / name, tmp_path)
    result = make(tmp_path, "setup", "PYTHON=no-such-python")
    assert result.returncode == 2
    assert "there is no no-such-python: give make PYTHON=python3.13" in result.stderr
    old = tmp_path / "old-python"
    old.write_text('#!/bin/sh\n[ "$1" = -V ] && echo Python 3.8.1\nexit 1\n')
    old.chmod(0o755)
    result = make(tmp_path, "setup", f"PYTHON={old}")
    assert result.returncode == 2
    assert "Python 3.11 or newer is needed" in result.stderr
    assert "Python 3.8.1" in result.stderr
