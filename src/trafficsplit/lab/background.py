"""One lab that goes on in the background, with its state in a file.

    .lab/state.json     the gateway's address and the processes, while it runs
    .lab/*.log          what they said

`up` starts `python -m lab`, which owns the lab's processes and stops them when it is
told to, or when one of them ends.
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

from trafficsplit.errors import InputError, LabError
from trafficsplit.files import replace_text
from trafficsplit.lab.lab import MANIFESTS, PATIENCE, Lab, start
from trafficsplit.lab.system import read_system
from trafficsplit.lab.weights import weights_of, with_weights
from trafficsplit.processes import STOP_PATIENCE, last_line
from trafficsplit.weights.percent import complete_weights


@dataclass(frozen=True)
class State:
    """The lab in the background. `pid` is its owner's; `replicas` lists deployment, pid, port.

    `weights` are those in force, in per cent, by variant; `node_ports` the base URLs of services of
    type NodePort, by name.
    """

    pid: int
    host: str
    admin: str
    envoy_pid: int
    replicas: Sequence[dict[str, Any]]
    manifests: Sequence[str]
    weights: Mapping[str, float]
    node_ports: Mapping[str, str]


# Owners that we started outlive us on purpose; while we live, theirs is an end to be noticed.
_owners: list[subprocess.Popen[bytes]] = []


def home() -> Path:
    """Where the state is kept: `.lab` in the working directory, or $TRAFFICSPLIT_LAB_DIR."""
    return Path(os.environ.get("TRAFFICSPLIT_LAB_DIR") or ".lab").absolute()


def status() -> State | None:
    """The lab that is running, None where there is none."""
    try:
        # A process id alone would be somebody else's after a restart of the machine.
        with (home() / "lock").open() as lock, contextlib.suppress(BlockingIOError):
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
            return None
        return State(**json.loads((home() / "state.json").read_text("utf-8")))
    except (OSError, ValueError, TypeError):
        return None


def up(manifests: Sequence[Path] = MANIFESTS, access_log: str = "") -> State:
    """The lab in the background, started where none is running. Raises LabError.

    `access_log` as for `lab.start`.
    """
    if state := status():
        return state
    directory = home()
    log = directory / "lab.log"
    try:
        directory.mkdir(parents=True, exist_ok=True)
        with log.open("w") as output:
            owner = subprocess.Popen(
                [sys.executable, "-P", "-m", "trafficsplit.lab", directory, access_log, *manifests],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
    except OSError as error:
        raise LabError(f"{directory} cannot be used: {error.strerror or error}") from None
    _owners.append(owner)
    deadline = time.monotonic() + PATIENCE + STOP_PATIENCE
    while not (state := status()):
        if (owner.poll() is not None and not status()) or time.monotonic() > deadline:
            owner.terminate()
            raise LabError(last_line(log))
        time.sleep(0.02)
    return state


def down() -> bool:
    """Stop the lab in the background. False: there was none."""
    state = status()
    if state is None:
        return False
    with contextlib.suppress(ProcessLookupError):
        os.kill(state.pid, signal.SIGTERM)
    deadline = time.monotonic() + 2 * STOP_PATIENCE
    while status() and time.monotonic() < deadline:
        time.sleep(0.02)
    for owner in _owners:
        if owner.pid == state.pid:
            with contextlib.suppress(subprocess.TimeoutExpired):
                owner.wait(STOP_PATIENCE)
    return True


def set_weights(weights: Mapping[str, float]) -> State:
    """Put weights, in per cent, in force: of some variants, the others share the rest as before.

    No request is lost. Returns when Envoy has them in force. Raises LabError.
    """
    state = status()
    if state is None:
        raise LabError("no lab is up: trafficsplit lab up")
    system = read_system([Path(file) for file in state.manifests])
    every = complete_weights(weights, state.weights)
    lab = Lab(home(), system, host=state.host, admin=state.admin)
    lab.set_routes(with_weights(system, every))
    new = replace(state, weights=every)
    _write_state(home(), vars(new))
    return new


def _write_state(directory: Path, state: Mapping[str, Any]) -> None:
    replace_text(directory / "state.json", json.dumps(state, indent=2) + "\n")


def _state_of(lab: Lab, manifests: Sequence[Path]) -> dict[str, Any]:
    return {
        "pid": os.getpid(),
        "host": lab.host,
        "admin": lab.admin,
        "envoy_pid": lab.envoy.pid,
        "replicas": [vars(replica) for replica in lab.replicas],
        "manifests": [str(file) for file in manifests],
        "weights": weights_of(lab.system),
        "node_ports": lab.node_ports,
    }


def own(directory: Path, manifests: Sequence[Path], access_log: str = "") -> int:
    """Start the lab and keep it until SIGTERM, or until one of its processes ends."""
    told = False

    def tell(*_: object) -> None:
        nonlocal told
        told = True

    signal.signal(signal.SIGTERM, tell)
    signal.signal(signal.SIGINT, tell)
    file = directory / "state.json"
    with (directory / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print("a lab is starting or running here already", flush=True)
            return 1
        return _keep(directory, manifests, access_log, file, lambda: told)


def _keep(
    directory: Path,
    manifests: Sequence[Path],
    access_log: str,
    file: Path,
    told: Callable[[], bool],
) -> int:
    try:
        with start(directory, manifests, access_log) as lab:
            _write_state(directory, _state_of(lab, manifests))
            while not told() and not (dead := lab.dead()):
                time.sleep(0.1)
        if not told():
            print(f"{dead} has ended, so the lab was stopped", flush=True)
        return 0
    except (InputError, OSError) as error:
        print(error, flush=True)
        return 1
    finally:
        file.unlink(missing_ok=True)
