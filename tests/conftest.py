"""What tests share: the real lab, and strictness about what the machine must have."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# The machine is shared: how long something takes is no property of it.
settings.register_profile("ours", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("fast", settings.get_profile("ours"), max_examples=10)
settings.load_profile("ours")

# A shell that starts us in the background has us ignore SIGINT, and nohup SIGHUP, and so all that
# we start: a handler is not inherited, and what is ignored is.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
    signal.signal(signal.SIGHUP, lambda *_: None)

ROOT = Path(__file__).resolve().parent.parent
LONGEST_COMMAND = 300  # seconds; only what hangs takes them
Cli = Callable[..., subprocess.CompletedProcess[str]]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest first: a long one at the end would run alone, with a core idle beside it."""
    items.sort(key=lambda item: item.get_closest_marker("slow") is None)


# Modules of tests/istio with clusters of their own.
OF_THEIR_OWN = ("test_controllers.py", "test_how_to.py", "test_scale.py")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> object:
    """Give tests to processes one by one, but all that share a cluster to the same one.

    What has a cluster of its own goes to another process, as all of it takes minutes.
    """
    from xdist.scheduler import LoadScopeScheduling

    class OneByOne(LoadScopeScheduling):  # type: ignore[misc]
        def _split_scope(self, nodeid: str) -> str:
            if not nodeid.startswith("tests/istio/"):
                return nodeid
            module = nodeid.partition("::")[0]
            return module if module.endswith(OF_THEIR_OWN) else "tests/istio"

    return OneByOne(config, log)


def needs(program: str) -> str:
    """The path of a system program. Without it a test skips, and in CI it fails."""
    found = shutil.which(program) or shutil.which(program, path="/usr/sbin:/sbin")
    if found is None:
        message = f"{program} is not installed: apt-get install {program}"
        if os.environ.get("CI") == "true":
            pytest.fail(message)
        pytest.skip(message)
    return found


def refused(cli: Cli, *arguments: str) -> str:
    """The one line by which a command refuses its arguments: nothing was sent."""
    result = cli(*arguments)
    assert (result.returncode, len(result.stderr.splitlines())) == (2, 1), result.stderr
    return result.stderr


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        # Of make's too: `make test ARGS=…` hands ARGS on to a make that a test runs.
        if name.startswith(("TRAFFICSPLIT_", "LOCUST_", "MAKE", "MFLAGS")) or name == "ARGS":
            monkeypatch.delenv(name)


@pytest.fixture(scope="session")
def the_lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[object]:
    """A lab from the repository's own manifests, one for each worker of the tests."""
    from trafficsplit import lab

    with lab.start(tmp_path_factory.mktemp("lab")) as started:
        yield started


@pytest.fixture
def cli(tmp_path: Path) -> Cli:
    """Run `trafficsplit` as a user does, in a directory of its own, with no lab up."""

    def run(*arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "TRAFFICSPLIT_LAB_DIR": str(tmp_path / "no-lab"), **settings}
        return subprocess.run(
            [str(Path(sys.executable).with_name("trafficsplit")), *arguments],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            timeout=LONGEST_COMMAND,
            check=False,
        )

    return run
