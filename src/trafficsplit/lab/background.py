"""One lab that goes on in the background, with its state in a file.

    .lab/state.json     the gateway's address and the processes, while it runs
    .lab/*.log          the output of the processes

`up` starts `python -m trafficsplit.lab`, which owns the lab's processes, and stops them when it
gets a SIGTERM or when one of them ends.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from trafficsplit.errors import BrokenError, LabError
from trafficsplit.files import replace_text
from trafficsplit.lab import owner
from trafficsplit.lab.istio import background as istio
from trafficsplit.lab.lab import MANIFESTS, PATIENCE, Lab, start
from trafficsplit.lab.owner import STATE
from trafficsplit.lab.system import read_system
from trafficsplit.lab.weights import weights_of, with_weights
from trafficsplit.processes import STOP_PATIENCE, last_line
from trafficsplit.weights.percent import complete_weights

PAUSE = 0.02  # seconds between two looks at whether a lab is up
ISTIO_PATIENCE = 180.0  # seconds until a cluster that does not get ready is given up


@dataclass(frozen=True)
class State:
    """The lab in the background. `pid` is its owner's.

    `replicas` have deployment, pid and port each; `weights` are those in force, in per cent, by
    variant; `node_ports` are the base URLs of services of type NodePort, by name. `kubeconfig` is
    the file of a cluster with the real Istio, empty where it is the plain lab.
    """

    pid: int
    host: str
    admin: str
    envoy_pid: int
    replicas: Sequence[dict[str, Any]]
    manifests: Sequence[str]
    weights: Mapping[str, float]
    node_ports: Mapping[str, str]
    kubeconfig: str = ""


# The owners that this process started. They outlive it on purpose; it waits for those that end.
_owners: list[subprocess.Popen[bytes]] = []


def home() -> Path:
    """Return the state's directory: `.lab` in the working directory, or $TRAFFICSPLIT_LAB_DIR."""
    return Path(os.environ.get("TRAFFICSPLIT_LAB_DIR") or ".lab").absolute()


def status() -> State | None:
    """Return the state of the running lab, None where there is none."""
    try:
        # After a restart of the machine a process id alone could be that of any other process.
        with (home() / "lock").open() as lock, contextlib.suppress(BlockingIOError):
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
            return None
        return State(**json.loads((home() / STATE).read_text("utf-8")))
    except (OSError, ValueError, TypeError):
        return None


def up(manifests: Sequence[Path] = MANIFESTS, access_log: str = "") -> State:
    """Return the state of the lab in the background, which is started where none is running.

    `access_log` is as for `lab.start`. Raises LabError.
    """
    if state := status():
        return state
    return _up(lambda directory: _start_owner(directory, manifests, access_log), PATIENCE)


def up_with_istio(manifests: Sequence[Path], gateways: int) -> State:
    """Return the state of a cluster with the real Istio, which is started where none is running.

    It has so many ingress gateways. Raises LabError.
    """
    if state := status():
        return state
    istio.check(gateways)
    return _up(lambda directory: istio.begin(directory, gateways, manifests), ISTIO_PATIENCE)


def _up(begin: Callable[[Path], subprocess.Popen[bytes]], patience: float) -> State:
    """Start an owner, and return the state of its lab. Raises LabError."""
    directory = home()
    log = directory / "lab.log"
    try:
        directory.mkdir(parents=True, exist_ok=True)
        process = begin(directory)
    except OSError as error:
        raise LabError(f"{directory} cannot be used: {error.strerror or error}") from None
    _owners.append(process)
    deadline = time.monotonic() + patience + STOP_PATIENCE
    while not (state := status()):
        if (process.poll() is not None and not status()) or time.monotonic() > deadline:
            process.terminate()
            check_can_be_written(log)
            raise LabError(last_line(log))
        time.sleep(PAUSE)
    return state


def check_can_be_written(log: Path) -> None:
    """Raise BrokenError where a log takes no more: its last line is not the reason, then."""
    try:
        with log.open("a") as output:
            output.write("\n" * 4096)
    except OSError as error:
        reason = error.strerror or error
        raise BrokenError(f"broken: the lab cannot write to {log.parent}: {reason}") from None


def _start_owner(
    directory: Path, manifests: Sequence[Path], access_log: str
) -> subprocess.Popen[bytes]:
    """Start the process that owns the lab. Raises OSError."""
    with (directory / "lab.log").open("w") as output:
        return subprocess.Popen(
            [sys.executable, "-P", "-m", "trafficsplit.lab", directory, access_log, *manifests],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def down() -> bool:
    """Stop the lab in the background; return whether there was one.

    Raises BrokenError for one that does not end.
    """
    state = status()
    if state is None:
        return False
    if state.kubeconfig:
        istio.end(state.pid)
    else:
        with contextlib.suppress(ProcessLookupError):
            os.kill(state.pid, signal.SIGTERM)
    deadline = time.monotonic() + 2 * STOP_PATIENCE
    while status() and time.monotonic() < deadline:
        time.sleep(PAUSE)
    for process in _owners:
        if process.pid == state.pid:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(STOP_PATIENCE)
    if status():
        raise BrokenError(f"broken: the lab does not end: its owner is process {state.pid}")
    (home() / STATE).unlink(missing_ok=True)
    return True


def set_weights(weights: Mapping[str, float]) -> State:
    """Put weights in force, in per cent; variants that are not given share the rest as before.

    No request is lost. Returns the state when the weights are in force. Raises LabError.
    """
    state = status()
    if state is None:
        raise LabError("no lab is up: trafficsplit lab up")
    if state.kubeconfig:
        raise LabError(
            "the lab is a cluster: trafficsplit set-weights --virtual-service NAMESPACE/NAME …, "
            'after eval "$(trafficsplit lab env)"'
        )
    system = read_system(map(Path, state.manifests))
    every = complete_weights(weights, state.weights)
    lab = Lab(home(), system, host=state.host, admin=state.admin)
    lab.set_routes(with_weights(system, every))
    new = replace(state, weights=every)
    _write_state(home(), vars(new))
    return new


def _write_state(directory: Path, state: Mapping[str, Any]) -> None:
    replace_text(directory / STATE, json.dumps(state, indent=2) + "\n")


def _state_of(lab: Lab, manifests: Sequence[Path]) -> dict[str, Any]:
    return {
        "pid": os.getpid(),
        "host": lab.host,
        "admin": lab.admin,
        "envoy_pid": lab.envoy.pid,
        "replicas": [vars(replica) for replica in lab.replicas],
        "manifests": list(map(str, manifests)),
        "weights": weights_of(lab.system),
        "node_ports": lab.node_ports,
    }


def own(directory: Path, manifests: Sequence[Path], access_log: str = "") -> int:
    """Start a lab and keep it until SIGTERM, or until one of its processes ends.

    Returns the exit code.
    """

    def keep(is_stopping: Callable[[], bool]) -> None:
        with start(directory, manifests, access_log) as lab:
            _write_state(directory, _state_of(lab, manifests))
            owner.wait(lab.dead, is_stopping)

    return owner.own(directory, keep)
