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

PR_SET_PDEATHSIG = 1  # linux/prctl.h
STOP_PATIENCE = 3.0  # seconds from SIGTERM to SIGKILL
LONGEST_LINE = 300  # characters of a process's last line


def spawn(
    command: Sequence[str | Path],
    log: Path,
    environment: Mapping[str, str] | None = None,
    descriptors: Sequence[int] = (),
) -> subprocess.Popen[bytes]:
    """Start a process that writes to `log`, and return it. Raises InputError.

    It has a session of its own: a Ctrl-C reaches only us, and we decide in which order things end.
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
    """Return what a child runs first, so that it gets a signal when we end, even by SIGKILL.

    None on systems other than Linux, which have no prctl(PR_SET_PDEATHSIG).
    """
    if sys.platform != "linux":
        return None
    prctl = ctypes.CDLL(None).prctl
    return lambda: prctl(PR_SET_PDEATHSIG, number)


def environment_without(*prefixes: str) -> dict[str, str]:
    """Return our environment for a child, without the names that begin with a prefix."""
    return {name: value for name, value in os.environ.items() if not name.startswith(prefixes)}


def stop(processes: Sequence[subprocess.Popen[bytes]]) -> None:
    """End all of the processes, the first ones first; return when they are gone."""
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
    """Return a listening socket on a free port, which no other process can take any more."""
    return socket.create_server(("127.0.0.1", 0), backlog=4096)


def free_port() -> int:
    """Return a port that was free when it was chosen."""
    with free_socket() as free:
        port: int = free.getsockname()[1]
    return port


def last_line(log: Path) -> str:
    """Return the last line of a process's log, for a message."""
    try:
        lines = log.read_text("utf-8", "replace").strip().splitlines()
    except OSError:
        lines = []
    if not lines:
        return "it said nothing"
    return lines[-1][:LONGEST_LINE]
