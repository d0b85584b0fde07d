"""Waiting for something to be so, on a machine that may be busy: no longer than needed."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path

PATIENCE = 60.0  # seconds; nothing that is waited for takes them on a machine that is idle


def until(condition: Callable[[], object], seconds: float = PATIENCE) -> bool:
    """Wait until a condition holds; return whether it did."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def when(condition: Callable[[], object], act: Callable[[], object]) -> threading.Thread:
    """Do something once a condition holds, in a thread of its own."""

    def watch() -> None:
        if until(condition):
            act()

    thread = threading.Thread(target=watch)
    thread.start()
    return thread


def begun(report: Path) -> Callable[[], bool]:
    """Return a condition: the run whose report goes to a directory has requests on their way.

    A run works in a directory `.run-…` aside until its report is whole.
    """
    return lambda: any(report.glob(".run-*/begun"))
