"""Every command of the README, run as it stands there; every figure, printed by a benchmark."""

import contextlib
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.fakes.cluster import Cluster
from tests.fakes.servers import free_port
from tests.support.clusters import documents, ingress, kubeconfig
from tests.support.processes import refuses
from tests.support.waiting import until
from trafficsplit import lab

README = (ROOT / "README.md").read_text()
BIN = Path(sys.executable).parent
# Where the README says something of a gateway at 75/25 that is not so, and the verdict shows it.
CODES = {
    "trafficsplit verify --weight 0": {1},
    # The lab's gateway keeps no user on a version.
    "trafficsplit verify --weight 25 --unit user": {1},
    # On a busy machine slow answers come together, and then a limit is left open.
    "trafficsplit verify --weight 25 --max-p99-ratio": {0, 3},
}
ENDLESS = ("trafficsplit gate", "locust -f")
NOT_HERE = ("make test",)  # it runs us


def commands() -> list[str]:
    """The commands, in their order, without comments."""
    lines = re.findall(r"^    ((?:make|trafficsplit|locust) [^#\n]*)", README, re.MULTILINE)
    return [line.strip() for line in lines if line.strip() not in NOT_HERE]


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the repository, with the packages that are installed already."""
    directory = tmp_path_factory.mktemp("clone") / "trafficsplit"
    left_out = shutil.ignore_patterns(".git", ".venv", ".lab", "reports", "__pycache__", ".*_cache")
    shutil.copytree(ROOT, directory, ignore=left_out)
    return directory


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """A gateway by the name that the README gives it, a lab of our own, and a cluster."""
    directory = tmp_path_factory.mktemp("readme")
    path = f"{BIN}{os.pathsep}{os.environ['PATH']}"
    with lab.start(directory / "gateway") as gateway, Cluster(*documents()) as cluster:
        cluster.add(ingress(gateway.host))
        yield {
            # Without what `make test ARGS=…` hands on to a make that is run here.
            **{k: v for k, v in os.environ.items() if not k.startswith(("TRAFFIC", "M", "ARGS"))},
            "PATH": path,
            "TRAFFICSPLIT_LAB_DIR": str(directory / "lab"),
            "KUBECONFIG": str(kubeconfig(directory / "kubeconfig", cluster.url)),
            "GATEWAY": gateway.host,
        }
    subprocess.run(
        [BIN / "trafficsplit", "lab", "down"],
        check=False,
        env={**os.environ, "TRAFFICSPLIT_LAB_DIR": str(directory / "lab")},
    )


@pytest.mark.lab
@pytest.mark.slow
def test_every_command_does_what_it_says(clone: Path, environment: dict[str, str]) -> None:
    said = commands()
    assert len(said) > 25
    host = environment["GATEWAY"]
    for command in said:
        words = [
            word.replace("http://other-gateway", host.replace("127.0.0.1", "localhost"))
            .replace("http://gateway", host)
            .replace("127.0.0.1:8080", f"127.0.0.1:{free_port()}")
            for word in shlex.split(command)
        ]
        if command.startswith(ENDLESS):
            serves(words, clone, environment)
            continue
        if words[0] == "make":
            # The packages that are installed stay those of this checkout.
            words += [f"VENV={ROOT / '.venv'}", "-o", f"{ROOT / '.venv'}/.run"]
        done = subprocess.run(
            words,
            cwd=clone,
            env=environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        expected = next((c for start, c in CODES.items() if command.startswith(start)), {0})
        assert done.returncode in expected, f"{command}\n{done.stdout}{done.stderr}"
        assert "Traceback" not in done.stdout + done.stderr


def serves(words: list[str], clone: Path, environment: dict[str, str]) -> None:
    """A command that goes on until it is stopped: it listens, and ends when it is told to."""
    if words[0] == "locust":
        words += ["--web-host", "127.0.0.1", "--web-port", free_port()]
        address = f"127.0.0.1:{words[-1]}"
    else:
        address = words[words.index("--listen") + 1]
    process = subprocess.Popen(
        words, cwd=clone, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        assert until(lambda: process.poll() is None and not refuses(address), 30), words
    finally:
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(30)
        if process.poll() is None:
            process.kill()
            process.wait()


def figures(text: str) -> set[str]:
    """Numbers as they stand in a text: with a decimal point, or above 100."""
    found = set(re.findall(r"(?<![\w.,])\d[\d,]*(?:\.\d+)?(?![\w])", text))
    return {
        number.rstrip(",")
        for number in found
        if "." in number or int(number.replace(",", "") or 0) > 100
    }


def test_every_figure_is_printed_by_a_benchmark() -> None:
    page = (ROOT / "docs" / "benchmarks.md").read_text()
    printed = "\n".join(p.read_text() for p in (ROOT / "benchmarks" / "results").glob("*.txt"))
    known = figures(printed)
    # How many runs, how many rows, and how many requests ten tries of 500 are.
    said = figures(page) - {"10,000", "10,000,000", "5,000"}
    assert len(said) > 60
    assert said <= known, said - known


def test_every_benchmark_that_is_named_is_there_with_what_it_printed() -> None:
    every = README + "".join(file.read_text() for file in (ROOT / "docs").glob("*.md"))
    named = set(re.findall(r"python\s+-m\s+benchmarks\.(\w+)", every)) | {"simulate"}
    assert named <= {path.stem for path in (ROOT / "benchmarks" / "results").glob("*.txt")}
    for name in named:
        command = ROOT / "benchmarks" / name
        assert command.with_suffix(".py").exists() or (command / "__main__.py").exists()


def test_every_link_leads_somewhere() -> None:
    pages = ("*.md", "docs/*.md", "integrations/**/*.md", "notebooks/*.md", "istio/*.md")
    for file in (found for pattern in pages for found in ROOT.glob(pattern)):
        for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", file.read_text()):
            if "://" not in target:
                assert (file.parent / target).exists(), f"{file}: {target}"


def test_the_options_page_is_what_the_commands_say() -> None:
    page = subprocess.run(
        [sys.executable, ROOT / "docs" / "reference.py"], capture_output=True, text=True, check=True
    ).stdout
    assert (ROOT / "docs" / "options.md").read_text() == page, (
        "python docs/reference.py > docs/options.md"
    )
