"""Child processes of ours: they end with us, whatever ends us."""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from trafficsplit.errors import InputError

STOP_PATIENCE = 3.0  # seconds until SIGTERM becomes SIGKILL


def spawn(
    command: Sequence[str | Path],
    log: Path,
    environment: Mapping[str, str] | None = None,
    descriptors: Sequence[int] = (),
) -> subprocess.Popen[bytes]:
    """Start a process that writes to `log`, and return it. Raises InputError.

    It has a session of its own, so that a Ctrl-C reaches only us and we decide the order of things.
    """
    try:
        with log.open("ab") as output:
            return subprocess.Popen(
                list(map(str, command)),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**os.environ, **(environment or {})},
                pass_fds=descriptors,
                start_new_session=True,
                preexec_fn=dying_with_us(signal.SIGKILL),
            )
    except OSError as error:
        raise InputError(f"{command[0]} cannot be started: {error.strerror or error}") from None


def dying_with_us(number: signal.Signals) -> Callable[[], None] | None:
    """Return what a child runs first, so that it gets a signal when we end, be it by SIGKILL.

    prctl(PR_SET_PDEATHSIG), so Linux only; None elsewhere.
    """
    if sys.platform != "linux":
        return None
    prctl = ctypes.CDLL(None).prctl
    return lambda: prctl(1, number)


def environment_without(*prefixes: str) -> dict[str, str]:
    """Return our environment for a child, without the names that begin so."""
    return {name: value for name, value in os.environ.items() if not name.startswith(prefixes)}


def stop(processes: Sequence[subprocess.Popen[bytes]]) -> None:
    """End all of them, the first ones first; return when they are gone."""
    for process in processes:
        process.terminate()
    deadline = time.monotonic() + STOP_PATIENCE
    for process in processes:
        try:
            process.wait(max(deadline - time.monotonic(), 0.01))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def free_socket() -> socket.socket:
    """Return a listening socket on a free port, to be handed over before another can take it."""
    return socket.create_server(("127.0.0.1", 0), backlog=4096)


def free_port() -> int:
    """Return a port that was free when it was chosen."""
    with free_socket() as free:
        port: int = free.getsockname()[1]
    return port


def last_line(log: Path) -> str:
    """Return what a process said last, for a message."""
    try:
        lines = log.read_text("utf-8", "replace").strip().splitlines()
    except OSError:
        lines = []
    return lines[-1][:300] if lines else "it said nothing"
