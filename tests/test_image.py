"""The image's build, step by step in a clean root, and what runs in it as nobody in particular.

There is no container engine here: the steps of the Dockerfile run in a directory that stands for
the image's root, with a Python of this machine for the base image's.
"""

import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import ROOT
from trafficsplit.lab import Lab

USER = 10001


@pytest.fixture(scope="module")
def image() -> Iterator[tuple[Path, dict[str, str]]]:
    """The root, and the environment that the Dockerfile sets."""
    directory = Path(tempfile.mkdtemp(prefix="image"))
    directory.chmod(0o755)  # another user must find a way in
    try:
        yield directory, build(directory)
    finally:
        shutil.rmtree(directory)


def instructions() -> list[tuple[str, str]]:
    text = (ROOT / "Dockerfile").read_text()
    text = re.sub(r"^#.*\n", "", text, flags=re.MULTILINE).replace("\\\n", " ")
    return [(line.split()[0], line.split(maxsplit=1)[1]) for line in text.splitlines() if line]


def build(root: Path) -> dict[str, str]:
    """Run the steps below `root`."""
    ignored = (ROOT / ".dockerignore").read_text().split()
    work, environment = Path("/"), {"PATH": os.environ["PATH"]}
    for word, rest in instructions():
        if word == "WORKDIR":
            work = Path(rest)
            (root / rest.lstrip("/")).mkdir(parents=True, exist_ok=True)
        elif word == "COPY" and not rest.startswith("--from"):
            *sources, target = rest.split()
            for source in sources:
                assert f"!{source.split('/')[0]}" in ignored, f"{source} is not in the context"
                to = root / work.relative_to("/") / target
                if (ROOT / source).is_dir():
                    shutil.copytree(ROOT / source, to, ignore=shutil.ignore_patterns("__pycache__"),
                                    dirs_exist_ok=True)  # fmt: skip
                else:
                    shutil.copy(ROOT / source, to)
        elif word == "RUN":
            # Absolute paths are the image's; Python's own is this machine's.
            command = re.sub(r"(?<![\w.])/(venv|src|trafficsplit)\b", rf"{root}/\1", rest)
            command = command.replace("python -m venv", f"{sys.executable} -m venv --copies")
            if "chown" in command and os.geteuid():
                command = command.split("&&")[0]
            subprocess.run(command, shell=True, check=True, cwd=root / work.relative_to("/"),
                           env=environment, timeout=400, capture_output=True)  # fmt: skip
        elif word == "ENV":
            for pair in shlex.split(rest):
                name, _, value = pair.partition("=")
                environment[name] = value.replace("/venv", f"{root}/venv").replace(
                    "$PATH", environment["PATH"]
                )
    return environment


def words(name: str) -> list[str]:
    (found,) = [rest for word, rest in instructions() if word == name]
    return found.strip('[]"').split('", "')


@pytest.mark.lab
@pytest.mark.slow
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_it_verifies_by_its_environment_alone_and_writes_nowhere_else(
    image: tuple[Path, dict[str, str]], the_lab: Lab, tmp_path: Path
) -> None:
    root, environment = image
    assert words("USER") == [str(USER)]
    home = root / "trafficsplit"
    # Nothing but reports/ and /tmp is this user's.
    assert [p.name for p in home.iterdir() if p.stat().st_uid == USER] == ["reports"]
    before = sorted(p for p in root.rglob("*") if "reports" not in p.parts)
    command = words("ENTRYPOINT") + words("CMD")

    def run(*command: str, **settings: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command, cwd=home, env={**environment, **settings}, user=USER, group=USER,
            capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip

    asked = {"TRAFFICSPLIT_HOST": the_lab.host, "TRAFFICSPLIT_WEIGHT": "25"}
    result = run(*command, **asked)
    assert result.returncode == 0, result.stdout + result.stderr
    assert result.stdout.startswith("match:")
    assert len(list((home / "reports").glob("*-match/report.html"))) == 1
    # Locust's master and workers, as integrations/kubernetes starts them
    result = run("locust", "-f", "locustfiles/color.py", "--headless", "--users", "8",
                 "--spawn-rate", "8", "--only-summary", **asked,
                 LOCUST_HOST=the_lab.host)  # fmt: skip
    assert result.returncode == 0, result.stdout + result.stderr
    assert "match: The split is as configured" in result.stderr
    # the gate, as far as it goes without a port
    refused = run(words("ENTRYPOINT")[0], "gate", TRAFFICSPLIT_HOST="nonsense")
    assert (refused.returncode, len(refused.stderr.splitlines())) == (2, 1)
    # what is not in it says what to do
    record = run(*command, **asked, TRAFFICSPLIT_RECORD="1")
    assert (record.returncode, "pyarrow" in record.stderr) == (2, True), record.stderr
    lab = run(*command, TRAFFICSPLIT_WEIGHT="25")
    assert (lab.returncode, "--host" in lab.stderr) == (2, True), lab.stderr
    after = sorted(p for p in root.rglob("*") if "reports" not in p.parts)
    assert after == before
