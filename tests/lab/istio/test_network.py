"""The cluster's network: what a machine must have, and pods that reach each other."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.istio import need_network
from trafficsplit.errors import LabError
from trafficsplit.lab.istio import network

TWO_PODS = """
import socket, sys, time
from pathlib import Path
from trafficsplit.lab.istio import network
network.begin()
addresses = network.addresses()
one = network.PodNetwork(1, next(addresses))
other = network.PodNetwork(2, next(addresses))
log = Path(sys.argv[1])
serve = "import socket; s = socket.create_server(('', 80)); c, _ = s.accept(); c.sendall(b'one')"
ask = (
    "import socket, time\\n"
    "while True:\\n"
    "    try: c = socket.create_connection((%r, 80)); break\\n"
    "    except OSError: time.sleep(.05)\\n"
    "print('got', c.recv(9).decode())" % one.address
)
one.start([sys.executable, "-c", serve], log, {})
other.start([sys.executable, "-c", ask], log, {}).wait()
one.end()
other.end()
print(one.address, other.address, log.read_text())
"""


def test_two_pods_have_the_same_port_and_reach_each_other(tmp_path: Path) -> None:
    need_network()
    done = subprocess.run(
        [*network.unshared(), sys.executable, "-c", TWO_PODS, str(tmp_path / "log")],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["10.244.0.2", "10.244.0.3", "got", "one"]


def test_addresses_come_to_an_end() -> None:
    with pytest.raises(LabError, match="no address left"):
        for _ in network.addresses():
            pass


def test_a_machine_without_the_tools_is_told_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(LabError, match="`ip`: install iproute2"):
        network.check_host()


def test_a_machine_that_forbids_namespaces_is_told_the_way_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for tool in network.TOOLS:
        fake = tmp_path / tool
        fake.write_text("#!/bin/sh\necho 'unshare failed: Operation not permitted' >&2; exit 1\n")
        fake.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin")
    with pytest.raises(LabError, match=r"forbids user namespaces .*not permitted.*plain lab"):
        network.check_host()


def test_another_system_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    with pytest.raises(LabError, match="needs Linux's network namespaces"):
        network.check_host()
