"""The cluster in the background, from the outside: what starts it in namespaces of its own."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from trafficsplit.errors import LabError
from trafficsplit.lab.istio import network, parts
from trafficsplit.processes import free_socket

OWNER = "TRAFFICSPLIT_LAB_OWNER"  # has the owner's process number, as seen from the outside
WAYS = 32  # listening sockets that are ready for services of the cluster
# Of an earlier cluster in the same directory.
LEFT = ("etcd", "certificates", "pods", "kubeconfig", "inside.kubeconfig", "accounts.key")
MOST_GATEWAYS = 32
END_PATIENCE = 10.0  # seconds
PAUSE = 0.02  # seconds between two looks at whether it has ended


@dataclass(frozen=True)
class Order:
    """What the owner of a cluster is told; `descriptors` are those of listening sockets."""

    directory: str
    gateways: int
    manifests: Sequence[str]
    descriptors: Sequence[int]


def check(gateways: int) -> None:
    """Raise LabError, with the way out, where no cluster can be had here."""
    if not 1 <= gateways <= MOST_GATEWAYS:
        raise LabError(f"--gateways {gateways}: give from 1 to {MOST_GATEWAYS}")
    network.check_host()
    parts.check_built()


def begin(directory: Path, gateways: int, manifests: Sequence[Path]) -> subprocess.Popen[bytes]:
    """Start the owner of a cluster, and return it. Raises LabError or OSError."""
    for name in LEFT:
        left = directory / name
        if left.is_dir():
            shutil.rmtree(left)
        else:
            left.unlink(missing_ok=True)
    listeners = [free_socket() for _ in range(WAYS)]
    try:
        order = Order(
            directory=str(directory),
            gateways=gateways,
            manifests=list(map(str, manifests)),
            descriptors=[listener.fileno() for listener in listeners],
        )
        # The shell's process becomes that of `unshare`, by whose number the owner is known outside.
        script = f'export {OWNER}=$$; exec "$@"'
        owner = [*network.unshared(), sys.executable, "-P", "-m", "trafficsplit.lab.istio"]
        with (directory / "lab.log").open("w") as output:
            return subprocess.Popen(
                ["sh", "-c", script, "sh", *owner, json.dumps(asdict(order))],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                pass_fds=order.descriptors,
                start_new_session=True,
            )
    finally:
        for listener in listeners:
            listener.close()


def end(pid: int) -> None:
    """End a cluster by its owner's process number.

    The kernel ends everything in the namespaces when their first process is killed; only then does
    the owner end, which waits for that one.
    """
    try:
        first = Path(f"/proc/{pid}/task/{pid}/children").read_text("ascii").split()
    except OSError:
        first = []
    for number in map(int, first or [str(pid)]):
        with contextlib.suppress(ProcessLookupError):
            os.kill(number, signal.SIGKILL)
    deadline = time.monotonic() + END_PATIENCE
    while _is_there(pid) and time.monotonic() < deadline:
        time.sleep(PAUSE)


def _is_there(pid: int) -> bool:
    """Return whether a process is there, and no zombie."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text("utf-8", "replace")
    except OSError:
        return False
    return status.rpartition(")")[2].split()[0] != "Z"
