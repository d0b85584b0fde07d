"""A user's own files, named as our modules and libraries are, in the directory of the command."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.conftest import Cli
from tests.support.locusts import locust
from tests.support.questions import SURE_25
from trafficsplit.lab import Lab

pytestmark = pytest.mark.lab
# What version 0.1 had at the top level; a person may well have them.
OURS_ONCE = ("analysis.py", "analysis/__init__.py", "load.py", "lab/__init__.py", "lab/__main__.py")
LIBRARIES = ("requests.py", "numpy.py", "click.py", "yaml.py", "uvicorn.py", "envoy.py")
MODULE = """
import pathlib
pathlib.Path(r"{marker}").touch()
raise SystemExit("{name} of the user's was run")
"""
CONFIG = "no-such-option = 1\n"  # which Locust refuses


def be_hostile(directory: Path, names: tuple[str, ...]) -> None:
    """Write modules that leave a mark when they are run, and end the process."""
    for name in names:
        file = directory / name
        file.parent.mkdir(exist_ok=True)
        marker = directory / f"ran-{name.replace('/', '-')}"
        file.write_text(MODULE.format(marker=marker, name=name))


def marks(directory: Path) -> list[str]:
    """Return which of the modules were run."""
    return sorted(path.name for path in directory.glob("ran-*"))


def test_verify_runs_nothing_of_the_users(cli: Cli, tmp_path: Path) -> None:
    be_hostile(tmp_path, OURS_ONCE + LIBRARIES)
    (tmp_path / "locust.conf").write_text(CONFIG)
    result = cli("verify", *SURE_25)
    assert marks(tmp_path) == []
    assert result.returncode == 0, result.stdout + result.stderr
    assert result.stdout.startswith("match: ")


@pytest.mark.slow
def test_several_processes_run_nothing_of_the_users(cli: Cli, the_lab: Lab, tmp_path: Path) -> None:
    be_hostile(tmp_path, OURS_ONCE + LIBRARIES)
    (tmp_path / "locust.conf").write_text(CONFIG)
    result = cli("verify", "--host", the_lab.host, *SURE_25, "--processes", "2", "--plots")
    assert marks(tmp_path) == []
    assert result.returncode == 0, result.stdout + result.stderr


def test_locust_by_hand_needs_none_of_these_names(cli: Cli, the_lab: Lab, tmp_path: Path) -> None:
    be_hostile(tmp_path, OURS_ONCE)
    file = cli("locustfile").stdout.strip()
    options = ("--headless", "-u", "8", "-r", "8", "--host", the_lab.host, *SURE_25)
    result = locust(tmp_path, *options, file=file)
    assert marks(tmp_path) == []
    assert result.returncode == 0, result.stderr
    assert "match: " in result.stderr


def test_the_lab_in_the_background_runs_nothing_of_the_users(cli: Cli, tmp_path: Path) -> None:
    be_hostile(tmp_path, OURS_ONCE + LIBRARIES)
    settings = {"TRAFFICSPLIT_LAB_DIR": str(tmp_path / "state")}
    try:
        up = cli("lab", "up", **settings)
        assert marks(tmp_path) == []
        assert up.returncode == 0, up.stderr
        verified = cli("verify", *SURE_25, **settings)
        assert marks(tmp_path) == []
        assert verified.returncode == 0, verified.stderr
    finally:
        down: subprocess.CompletedProcess[str] = cli("lab", "down", **settings)
    assert "down" in down.stdout
