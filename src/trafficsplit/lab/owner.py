"""The process that owns a lab in the background: only one a directory, until it is told to stop."""

from __future__ import annotations

import fcntl
import signal
import time
from collections.abc import Callable
from pathlib import Path

from trafficsplit.errors import InputError

STATE = "state.json"
PAUSE = 0.1  # seconds between two looks at a lab's processes


def own(directory: Path, keep: Callable[[Callable[[], bool]], None]) -> int:
    """Keep a lab while its directory is locked; return the exit code.

    `keep` starts the lab, and returns when it has stopped; it is given what says whether a SIGTERM
    has come.
    """
    stopping: list[int] = []
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.append(1))
    with (directory / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print("a lab is starting or running here already", flush=True)
            return 1
        try:
            keep(lambda: bool(stopping))
            return 0
        except (InputError, OSError) as error:
            print(error, flush=True)
            return 1
        finally:
            (directory / STATE).unlink(missing_ok=True)


def wait(dead: Callable[[], str], is_stopping: Callable[[], bool]) -> None:
    """Return when the lab is to stop, or one of its processes, which `dead` names, has ended."""
    while not is_stopping():
        name = dead()
        if name:
            print(f"{name} has ended, so the lab was stopped", flush=True)
            return
        time.sleep(PAUSE)
