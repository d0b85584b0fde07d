"""Locust, run on the locustfile: the same one that people run by hand."""

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
from trafficsplit.locust.parent import BEGUN
from trafficsplit.locust.warm import WarmProcess
from trafficsplit.processes import free_port
from trafficsplit.settings.verify import SETTINGS, VerifySettings, write_settings

LOG = "locust.log"
MOST_LINES = 2000  # of what it says
OURS = "trafficsplit: "  # begins our lines among Locust's
KILL_AFTER = 30.0  # seconds that a child may take to end


class LocustProcess:
    """A run of Locust's that goes on beside us, in a directory of its own.

    `warm` is the process to take for it, if there is one already. SIGTERM ends the load early;
    what was counted comes all the same. Use it as a context manager, so that nothing is left
    running. Raises OSError where the directory cannot be written.
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
        self._said: deque[str] = deque(maxlen=MOST_LINES)
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
            threading.Thread(target=self._listen, args=(self._process.stdout,), daemon=True),
        ]
        for thread in self._threads:
            thread.start()

    def _take_messages(self, pipe: IO[str]) -> None:
        with pipe:
            for line in pipe:
                try:
                    message = json.loads(line)
                except ValueError:  # cut off by its end
                    continue
                self._messages.append(message)
                self._begun.set()
        self._begun.set()

    def _listen(self, output: IO[str]) -> None:
        with output:
            for line in output:
                self._said.append(line.rstrip())

    def await_begin(self, seconds: float) -> bool:
        """Wait until requests are on their way; return whether they are."""
        self._begun.wait(seconds)
        return bool(self._messages)

    def wait(self, seconds: float | None = None) -> bool:
        """Wait for its end; return whether it came."""
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            return False
        return True

    def stop(self, *_: object) -> None:
        """Ask it to send no more, and to hand over what it has counted."""
        self._stopped = True
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)

    @property
    def stopped_early(self) -> bool:
        """Whether it was asked to stop before it had anything to hand over."""
        codes = (-signal.SIGTERM, ExitCode.INTERRUPTED)
        return self._stopped and not self._messages and self._process.returncode in codes

    def run(self) -> Run:
        """Return what was counted, once it has ended.

        Raises InputError where it was wrongly asked for, BrokenError where it came to nothing.
        """
        self._process.wait()
        for thread in self._threads:
            thread.join()
        # It may hold a header that is nobody's business.
        (self._directory / SETTINGS).unlink(missing_ok=True)
        (self._directory / BEGUN).unlink(missing_ok=True)
        for message in self._messages:
            if "run" in message:
                self._write_log()
                return self._taken(message["run"])
        line = self._why()
        if self._process.returncode == ExitCode.WRONG_USAGE:
            raise InputError(line)
        if not self.stopped_early:
            self._write_log()
        raise BrokenError(line)

    def _taken(self, plain: Any) -> Run:
        try:
            return run_from_plain(plain)
        except (TypeError, KeyError, ValueError) as error:
            raise BrokenError(f"broken: the run that came back is damaged: {error}") from None

    def _write_log(self) -> None:
        text = "\n".join(self._said).strip()
        if text:
            with contextlib.suppress(OSError):  # on a full disk there is more to say than this
                (self._directory / LOG).write_text(text + "\n", "utf-8")

    def _why(self) -> str:
        said = [line for line in self._said if line.strip()]
        ours = [line.removeprefix(OURS) for line in said if line.startswith(OURS)]
        if ours:
            return ours[-1]
        code = self._process.returncode
        ended = f"signal {-code}" if code < 0 else f"code {code}"
        last = "it said nothing"
        if said:
            last = f"{said[-1][:300]} (all of it: {self._directory / LOG})"
        return f"broken: Locust ended with {ended} and left no counts: {last}"

    def close(self) -> None:
        """End it at once, where it has not ended."""
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()

    def __enter__(self) -> LocustProcess:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


def _arguments(settings: VerifySettings) -> list[str]:
    sending = settings.sending
    spawn_rate = sending.users / sending.ramp if sending.ramp else sending.users
    arguments = [
        *("-f", str(asset("locustfiles", "color.py")), "--headless", "--only-summary"),
        *("--host", ",".join(settings.hosts), "--loglevel", "WARNING"),
        *("--users", str(sending.users), "--spawn-rate", f"{spawn_rate:g}"),
    ]
    if sending.processes > 1:
        # Locust's own port may be another run's, whose master would get our workers.
        port = str(free_port())
        arguments += ["--processes", str(sending.processes), "--master-bind-host", "127.0.0.1"]
        arguments += ["--master-bind-port", port, "--master-port", port]
    return arguments


@contextlib.contextmanager
def signals_passed_on(process: LocustProcess, caught: Sequence[int] = ()) -> Iterator[None]:
    """Let SIGINT and SIGTERM end the load early, and not us: its counts are waited for.

    `caught` are signals that came before.
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
