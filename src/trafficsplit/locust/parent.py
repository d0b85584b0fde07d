"""The pipe to the process that has started this one: the counts of Locust need no disk."""

from __future__ import annotations

import contextlib
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trafficsplit.analysis.plain import run_as_plain
from trafficsplit.analysis.run import Run
from trafficsplit.settings.verify import VerifySettings

BEGUN = "begun"
RUN = "run"
PROGRESS = "progress"


@dataclass(frozen=True)
class Parent:
    """A process that waits for our run: the settings that it gave, and the pipe to it.

    `directory` is the run's own, `descriptor` the pipe's end here.
    """

    settings: VerifySettings
    directory: str
    descriptor: int

    def tell_begun(self) -> None:
        """Say that requests are on their way: on the pipe, and by a file for people."""
        self._send({"event": BEGUN})
        with contextlib.suppress(OSError):
            (Path(self.directory) / BEGUN).touch()

    def tell_progress(self, line: str) -> None:
        """Say how far it is, in one line for people."""
        self._send({"event": PROGRESS, "line": line})

    def hand_over(self, run: Run) -> None:
        """Send all that was counted."""
        self._send({"event": RUN, "run": run_as_plain(run)})

    def _send(self, message: dict[str, Any]) -> None:
        data = json.dumps(message).encode() + b"\n"
        with contextlib.suppress(BrokenPipeError):  # the parent has ended
            while data:
                data = data[os.write(self.descriptor, data) :]


_parents: list[Parent] = []


def connect(parent: Parent) -> None:
    """Make a process the parent of this one."""
    _parents[:] = [parent]


def parent() -> Parent | None:
    """Return the process that waits for our run; None where people run Locust themselves."""
    return _parents[0] if _parents else None
