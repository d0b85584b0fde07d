"""A cluster with the real Istio, for tests: `trafficsplit lab up --istio`, and what asks it."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import ROOT
from trafficsplit.errors import LabError
from trafficsplit.lab.istio import network, parts

CANARY = ROOT / "istio" / "color-istio-gw-canary-pct.yaml"
SETTLED = 0.7  # seconds until what istiod is told is at all gateways, on an idle machine
LONGEST = 300  # seconds for a command; only what hangs takes them
PAUSE = 0.1  # seconds between two looks
TRAFFICSPLIT = str(Path(sys.executable).with_name("trafficsplit"))


@dataclass(frozen=True)
class Cluster:
    """A cluster that is up, with its files in `directory`."""

    directory: Path

    def run(self, *arguments: str, kubeconfig: str = "") -> subprocess.CompletedProcess[str]:
        """Run trafficsplit in the cluster's directory, with its kubeconfig or another."""
        kubeconfig = kubeconfig or str(self.directory / ".lab" / "kubeconfig")
        return subprocess.run(
            [TRAFFICSPLIT, *arguments],
            cwd=self.directory,
            env={**os.environ, "KUBECONFIG": kubeconfig},
            capture_output=True,
            text=True,
            timeout=LONGEST,
        )

    def kubectl(self, *arguments: str, text: str = "") -> str:
        """Run kubectl, with a text as its input; return what it says."""
        done = self.try_kubectl(*arguments, text=text)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def try_kubectl(self, *arguments: str, text: str = "") -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [TRAFFICSPLIT, "lab", "kubectl", *arguments],
            cwd=self.directory,
            input=text,
            capture_output=True,
            text=True,
            timeout=LONGEST,
        )

    def url(self, service: str = "") -> str:
        """Return the base URL of the gateway, or of a service that is open to the outside."""
        done = self.run("lab", "url", *([service] if service else []))
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def verify(self, *arguments: str) -> tuple[int, dict[str, Any]]:
        """Verify the gateway; return the exit code and the verdict."""
        done = self.run("verify", "--json", "--host", self.url(), *arguments)
        try:
            return done.returncode, json.loads(done.stdout)
        except ValueError:
            raise AssertionError(done.stderr) from None

    def processes(self, *parts_of_command: str) -> list[int]:
        """Return the process numbers of the cluster's processes with these in their command."""
        found = []
        for file in Path("/proc").glob("[0-9]*/cmdline"):
            with contextlib.suppress(OSError):
                command = file.read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")
                if str(self.directory) in command and all(p in command for p in parts_of_command):
                    found.append(int(file.parent.name))
        return found

    def settle(self) -> None:
        """Wait until changes are in force."""
        time.sleep(SETTLED)

    def wait_until(self, condition: Callable[[], bool], what: str) -> None:
        deadline = time.monotonic() + LONGEST
        while not condition():
            assert time.monotonic() < deadline, f"it never was: {what}"
            time.sleep(PAUSE)


def gateway_pods(istio: Cluster) -> list[str]:
    """Return the names of the ingress gateways' pods."""
    selector = ("-n", "istio-system", "-l", "istio=ingressgateway", "-o", "name")
    names = istio.kubectl("get", "pods", *selector).split()
    return [name.removeprefix("pod/") for name in names]


def has_way(istio: Cluster, service: str) -> bool:
    """Return whether a service can be reached from the outside."""
    return istio.run("lab", "url", service).returncode == 0


def need_istio() -> None:
    """Skip where no cluster can be had here, and say why; in CI that is a failure."""
    need_network()
    _need(parts.check_built)


def need_network() -> None:
    """Skip where no namespaces can be had here, and say why; in CI that is a failure."""
    _need(network.check_host)


def _need(check: Callable[[], None]) -> None:
    try:
        check()
    except LabError as error:
        if os.environ.get("CI") == "true":
            pytest.fail(str(error))
        pytest.skip(str(error))


@contextlib.contextmanager
def cluster(directory: Path, *arguments: str) -> Iterator[Cluster]:
    """Yield a cluster that ends with this context."""
    need_istio()
    up = Cluster(directory)
    done = up.run("lab", "up", "--istio", *arguments)
    assert done.returncode == 0, done.stderr
    try:
        yield up
    finally:
        up.run("lab", "down")
