"""A child that runs Locust on the locustfile, the same one that people run by hand."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from trafficsplit.analysis.plain import run_from_plain
from trafficsplit.analysis.run import Run
from trafficsplit.assets import asset
from trafficsplit.errors import BrokenError, ExitCode, InputError
from trafficsplit.frame import say
from trafficsplit.load.parquet import RECORDING
from trafficsplit.locust.parent import BEGUN, PROGRESS
from trafficsplit.locust.warm import WarmProcess
from trafficsplit.processes import free_port
from trafficsplit.settings.verify import SETTINGS, VerifySettings, write_settings

LOG = "locust.log"
MOST_LINES = 2000  # of its output that are kept, the last ones
OURS = "trafficsplit: "  # the beginning of our lines among Locust's
LONGEST_SHOWN = 300  # characters of a line in a message
PATIENCE = 5.0  # seconds from one request to stop to the next


class LocustProcess:
    """A run of Locust's in a process and a directory of its own.

    `warm` is the process to take for it, if there is one already. SIGTERM ends the load early, and
    the counts come all the same. Use it as a context manager, so that nothing is left running.
    Raises OSError where the directory cannot be written.
    """

    def __init__(
        self,
        settings: VerifySettings,
        directory: Path,
        *,
        progress: bool = False,
        warm: WarmProcess | None = None,
    ) -> None:
        self._directory = directory.absolute()
        self._begun = threading.Event()
        self._stopped = False
        self._messages: list[Any] = []
        self._output: deque[str] = deque(maxlen=MOST_LINES)
        self._says_progress = progress
        write_settings(settings, self._directory)
        warm = warm or WarmProcess()
        self._process = warm.process
        arguments = _arguments(settings)
        if progress and warm.terminal is not None:
            arguments += ["--progress", str(warm.terminal)]
        warm.begin(self._directory, arguments)
        pipe = os.fdopen(warm.messages, encoding="utf-8")
        assert self._process.stdout
        self._threads = [
            threading.Thread(target=self._take_messages, args=(pipe,), daemon=True),
            threading.Thread(target=self._keep_output, args=(self._process.stdout,), daemon=True),
        ]
        for thread in self._threads:
            thread.start()

    def _take_messages(self, pipe: IO[str]) -> None:
        with pipe:
            for line in pipe:
                try:
                    message = json.loads(line)
                except ValueError:  # the process has ended in the middle of a line
                    continue
                if message.get("event") == PROGRESS:
                    if self._says_progress:
                        say(f"  {message['line']}", to_error=True)
                    continue
                self._messages.append(message)
                self._begun.set()
        self._begun.set()

    def _keep_output(self, output: IO[str]) -> None:
        with output:
            for line in output:
                self._output.append(line.rstrip())

    def await_begin(self, seconds: float) -> bool:
        """Wait until requests are sent, `seconds` at most; return whether they are."""
        self._begun.wait(seconds)
        return bool(self._messages)

    def wait(self, seconds: float | None = None) -> bool:
        """Wait for the end, `seconds` at most; return whether it has come."""
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            return False
        return True

    def stop(self, *_: object) -> None:
        """Ask the process to send no more, and to hand over its counts."""
        self._stopped = True
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)

    @property
    def stopped_early(self) -> bool:
        """Whether it was asked to stop before it had anything to hand over."""
        codes = (-signal.SIGTERM, ExitCode.INTERRUPTED)
        return self._stopped and not self._messages and self._process.returncode in codes

    def run(self) -> Run:
        """Wait for the end, and return the run.

        Raises InputError where a setting was wrong, BrokenError where there are no counts.
        """
        while not self.wait(PATIENCE):
            if self._stopped:  # the signal may have come while Locust had no handler for it
                self.stop()
        if self._process.returncode < 0:
            self._kill_all()
        for thread in self._threads:
            thread.join()
        # The settings may have a secret in a header.
        (self._directory / SETTINGS).unlink(missing_ok=True)
        (self._directory / BEGUN).unlink(missing_ok=True)
        for message in self._messages:
            if "run" in message:
                self._write_log()
                return _run_of(message["run"])
        line = self._why_no_counts()
        if self._process.returncode == ExitCode.WRONG_USAGE:
            raise InputError(line)
        if not self.stopped_early:
            self._write_log()
        raise BrokenError(line)

    def _write_log(self) -> None:
        text = "\n".join(self._output).strip()
        if text:
            with contextlib.suppress(OSError):  # the run is worth more than its log
                (self._directory / LOG).write_text(text + "\n", "utf-8")

    def _why_no_counts(self) -> str:
        """Return the last line that is ours, or else how Locust has ended."""
        last = ""
        for line in reversed(self._output):
            if line.startswith(OURS):
                return line.removeprefix(OURS)
            if not last and line.strip():
                last = line
        code = self._process.returncode
        ended = f"signal {-code}" if code < 0 else f"code {code}"
        hint = "it said nothing"
        if last:
            hint = f"{last[:LONGEST_SHOWN]} (all of it: {self._directory / LOG})"
        recording = self._directory / RECORDING
        kept = f"; what was recorded is in {recording}" if recording.exists() else ""
        return f"broken: Locust ended with {ended} and left no counts: {hint}{kept}"

    def close(self) -> None:
        """End the process at once, where it has not ended."""
        if self._process.poll() is None:
            self._kill_all()
            self._process.wait()

    def _kill_all(self) -> None:
        """Kill Locust, and its workers, which go on for a minute where it was killed."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)

    def __enter__(self) -> LocustProcess:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


def _run_of(plain: Any) -> Run:
    try:
        return run_from_plain(plain)
    except (TypeError, KeyError, ValueError) as error:
        raise BrokenError(f"broken: the run that came back is damaged: {error}") from None


def _arguments(settings: VerifySettings) -> list[str]:
    """Return Locust's own options for these settings."""
    sending = settings.sending
    spawn_rate = float(sending.users)
    if sending.ramp:
        spawn_rate = sending.users / sending.ramp
    arguments = [
        *("-f", str(asset("locustfiles", "color.py")), "--headless", "--only-summary"),
        *("--host", ",".join(settings.hosts), "--loglevel", "WARNING"),
        *("--users", str(sending.users), "--spawn-rate", f"{spawn_rate:g}"),
    ]
    if sending.processes > 1:
        # Locust's default port may be another run's, whose master would get our workers.
        port = str(free_port())
        arguments += ["--processes", str(sending.processes), "--master-bind-host", "127.0.0.1"]
        arguments += ["--master-bind-port", port, "--master-port", port]
    return arguments


@contextlib.contextmanager
def signals_passed_on(process: LocustProcess, caught: Sequence[int] = ()) -> Iterator[None]:
    """Let SIGINT and SIGTERM end the load early, and not this process, which waits for its counts.

    `caught` are signals that have come before.
    """
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(number, process.stop) for number in numbers]
    if caught:
        process.stop()
    try:
        yield
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)
