"""The image's build, step by step in a clean root, and what runs in it as nobody in particular.

There is no container engine here: the steps of the Dockerfile run in a directory that stands for
the image's root, with a Python of this machine for the base image's.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.conftest import ROOT
from trafficsplit.lab import Lab

USER = 10001


def instructions() -> list[tuple[str, str]]:
    text = (ROOT / "Dockerfile").read_text()
    text = re.sub(r"^#.*\n", "", text, flags=re.MULTILINE).replace("\\\n", " ")
    return [(line.split()[0], line.split(maxsplit=1)[1]) for line in text.splitlines() if line]


def kept_out() -> list[str]:
    return (ROOT / ".dockerignore").read_text().split()


@dataclass
class Image:
    """A directory that stands for the image's root, and the environment that is set in it."""

    root: Path
    environment: dict[str, str] = field(default_factory=lambda: {"PATH": os.environ["PATH"]})
    work: Path = Path("/")

    def do(self, word: str, rest: str) -> None:
        """Carry out one instruction, as far as it makes files or sets variables."""
        if word == "WORKDIR":
            self.work = Path(rest)
            self.here.mkdir(parents=True, exist_ok=True)
        elif word == "COPY" and not rest.startswith("--from"):
            self._copy(*rest.split())
        elif word == "RUN":
            self._run(rest)
        elif word == "ENV":
            for pair in shlex.split(rest):
                name, _, value = pair.partition("=")
                value = value.replace("$PATH", self.environment["PATH"])
                self.environment[name] = value.replace("/venv", f"{self.root}/venv")

    @property
    def here(self) -> Path:
        return self.root / self.work.relative_to("/")

    def _copy(self, *names: str) -> None:
        *sources, target = names
        for source in sources:
            assert f"!{source.split('/')[0]}" in kept_out(), f"{source} is not in the context"
            if (ROOT / source).is_dir():
                ignored = shutil.ignore_patterns("__pycache__")
                shutil.copytree(ROOT / source, self.here / target, ignore=ignored)
            else:
                shutil.copy(ROOT / source, self.here / target)

    def _run(self, command: str) -> None:
        # Absolute paths are the image's; Python's own is this machine's.
        command = re.sub(r"(?<![\w.])/(venv|src|trafficsplit)\b", rf"{self.root}/\1", command)
        command = command.replace("python -m venv", f"{sys.executable} -m venv --copies")
        if "chown" in command and os.geteuid():
            command = command.split("&&")[0]
        result = subprocess.run(
            command,
            shell=True,
            cwd=self.here,
            env=self.environment,
            timeout=600,
            capture_output=True,
            text=True,
            check=False,
        )
        assert result.returncode == 0, result.stdout + result.stderr


@pytest.fixture(scope="module")
def image() -> Iterator[Image]:
    """An image of the repository, built as the Dockerfile says."""
    directory = Path(tempfile.mkdtemp(prefix="image"))
    directory.chmod(0o755)  # another user must find a way in
    try:
        built = Image(directory)
        for word, rest in instructions():
            built.do(word, rest)
        yield built
    finally:
        shutil.rmtree(directory)


def words(name: str) -> list[str]:
    (found,) = [rest for word, rest in instructions() if word == name]
    return found.strip('[]"').split('", "')


@pytest.mark.lab
@pytest.mark.slow
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_it_verifies_by_its_environment_alone_and_writes_nowhere_else(
    image: Image, the_lab: Lab
) -> None:
    assert words("USER") == [str(USER)]
    home = image.root / "trafficsplit"
    # Nothing but reports/ and /tmp is this user's.
    assert [(path.name, path.stat().st_uid) for path in home.iterdir()] == [("reports", USER)]
    before = files_beside_reports(image)
    entry = words("ENTRYPOINT")
    verify = entry + words("CMD")

    def run(*command: str, **settings: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command,
            cwd=home,
            env={**image.environment, **settings},
            user=USER,
            group=USER,
            capture_output=True,
            text=True,
            timeout=180,
            check=False,
        )

    asked = {"TRAFFICSPLIT_HOST": the_lab.host, "TRAFFICSPLIT_WEIGHT": "25"}
    result = run(*verify, **asked)
    assert result.returncode == 0, result.stdout + result.stderr
    assert result.stdout.startswith("match:")
    assert len(list((home / "reports").glob("*-match/report.html"))) == 1
    # Locust's master and workers, as integrations/kubernetes starts them
    locustfile = run(*entry, "locustfile").stdout.strip()
    assert locustfile.startswith(f"{image.root}/venv/")
    options = ("--headless", "--users", "8", "--spawn-rate", "8", "--only-summary")
    result = run("locust", "-f", locustfile, *options, **asked, LOCUST_HOST=the_lab.host)
    assert result.returncode == 0, result.stdout + result.stderr
    assert "match: The split is as configured" in result.stderr
    # the gate, as far as it goes without a port
    gate = run(*entry, "gate", TRAFFICSPLIT_HOST="nonsense")
    assert (gate.returncode, len(gate.stderr.splitlines())) == (2, 1), gate.stderr
    recorded = run(*verify, **asked, TRAFFICSPLIT_RECORD="1", TRAFFICSPLIT_REPORT="reports/kept")
    assert recorded.returncode == 0, recorded.stderr
    assert run(*entry, "analyze", "reports/kept/requests.parquet").returncode == 0
    # what is not in it says what to do
    plots = run(*verify, **asked, TRAFFICSPLIT_PLOTS="1")
    assert (plots.returncode, "trafficsplit[plots]" in plots.stderr) == (2, True), plots.stderr
    lab = run(*verify, TRAFFICSPLIT_WEIGHT="25")
    assert (lab.returncode, "--host" in lab.stderr) == (2, True), lab.stderr
    assert files_beside_reports(image) == before


def files_beside_reports(image: Image) -> list[Path]:
    return sorted(path for path in image.root.rglob("*") if "reports" not in path.parts)
