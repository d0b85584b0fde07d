"""A process that imports Locust while this one still reads what is to be sent.

The imports of each take as long as a short run, so they go on side by side.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from trafficsplit.processes import dying_with_us, environment_without


class WarmProcess:
    """A child that waits for its task, and ends when this process ends without giving it one.

    `messages` is the descriptor of the pipe that its counts will come on, and `terminal` its own
    copy of our standard error, None where that is no terminal. Use it as a context manager, so that
    nothing is left running. Raises OSError where no process can be started.
    """

    def __init__(self) -> None:
        self._begun = False
        self.messages, pipe = os.pipe()
        descriptors = [pipe]
        self.terminal: int | None = None
        if sys.stderr is not None and sys.stderr.isatty():
            self.terminal = os.dup(sys.stderr.fileno())
            descriptors.append(self.terminal)
        try:
            self.process = subprocess.Popen(
                [sys.executable, "-P", "-m", "trafficsplit.locust.child", str(pipe)],
                # The user's own modules, in the present directory, are not ours to import.
                cwd="/",
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                encoding="utf-8",
                errors="replace",
                # Options in the environment have been read already; others may have replaced them.
                env=environment_without("TRAFFICSPLIT_", "LOCUST_"),
                pass_fds=descriptors,
                start_new_session=True,  # a Ctrl-C comes to us first
                preexec_fn=dying_with_us(signal.SIGTERM),
            )
        except BaseException:
            os.close(self.messages)
            raise
        finally:
            for descriptor in descriptors:
                os.close(descriptor)

    def begin(self, directory: Path, arguments: Sequence[str]) -> None:
        """Give the child its task: Locust's arguments, and the directory of the settings."""
        assert self.process.stdin
        self._begun = True
        with contextlib.suppress(BrokenPipeError):  # it has ended, and its exit code says why
            self.process.stdin.write(json.dumps([str(directory), *arguments]) + "\n")
            self.process.stdin.close()

    def close(self) -> None:
        """End the child at once, where it has not ended."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        if self._begun:  # the LocustProcess reads the pipes, and closes them
            return
        os.close(self.messages)
        for stream in (self.process.stdin, self.process.stdout):
            assert stream
            stream.close()

    def __enter__(self) -> WarmProcess:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
