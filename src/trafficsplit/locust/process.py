"""Locust, run on the locustfile: the same one that people run by hand."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import locustfiles
from analysis import InputError
from analysis.run import BEGUN
from lab.processes import dying_with_us, environment_without, free_socket

WRONG_USAGE = 2
LOCUSTFILE = Path(locustfiles.__file__).with_name("color.py")


class DriveError(InputError):
    """The load ended without its counts. The text is one line.

    `refused` says that it was wrongly asked for, and nothing was sent.
    """

    def __init__(self, message: str, *, refused: bool) -> None:
        super().__init__(message)
        self.refused = refused


def drive(
    host: str,
    run_dir: Path,
    options: Mapping[str, str],
    *,
    users: int,
    ramp: float = 0.0,
    processes: int = 1,
) -> None:
    """Send requests until the run is complete; the counts are in `run_dir` then.

    `users` are added over `ramp` seconds; `options` are the locustfile's, by name, a flag without a
    value.

    SIGINT and SIGTERM end the load early, and its counts are still written. Raises DriveError
    where there are none.
    """
    log = run_dir / "locust.log"
    arguments = [
        *("-f", str(LOCUSTFILE), "--headless", "--only-summary", "--host", host),
        *("--users", str(users), "--spawn-rate", f"{users / ramp if ramp else users:g}"),
        *("--loglevel", "WARNING"),
        *("--run-dir", str(run_dir)),
    ]
    arguments += [f"--{name}={value}" if value else f"--{name}" for name, value in options.items()]
    if processes > 1:
        # Locust's own port may be another run's, whose master would get our workers.
        with free_socket() as free:
            port = str(free.getsockname()[1])
        arguments += ["--processes", str(processes), "--master-bind-host", "127.0.0.1"]
        arguments += ["--master-bind-port", port, "--master-port", port]
    descriptors: list[int] = []
    if sys.stderr.isatty():
        descriptors = [os.dup(sys.stderr.fileno())]
        arguments += ["--progress", str(descriptors[0])]
    log.touch()
    process = subprocess.Popen(
        [sys.executable, "-m", "locust", *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        # Options in the environment have been read, and were perhaps overruled.
        env=environment_without("TRAFFICSPLIT_", "LOCUST_"),
        pass_fds=descriptors,
        start_new_session=True,  # a Ctrl-C comes to us first
        preexec_fn=dying_with_us(signal.SIGTERM),
    )
    try:
        said = _wait(process)
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
        for descriptor in descriptors:
            os.close(descriptor)
        (run_dir / BEGUN).unlink(missing_ok=True)  # it said that a run goes on
    with contextlib.suppress(OSError):  # on a full disk there is more to say than this
        log.write_text(said, "utf-8")
    if not (run_dir / "run.json").exists():
        refused = process.returncode == WRONG_USAGE
        raise DriveError(_why(process.returncode, said, log), refused=refused)


def _wait(process: subprocess.Popen[bytes]) -> str:
    """What it says until its end; what asks us to stop is passed on, and waited for all the same.

    It is kept in memory: the disk may be full.
    """

    def pass_on(*_: object) -> None:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)

    signals = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(number, pass_on) for number in signals]
    try:
        return process.communicate()[0].decode("utf-8", "replace")
    finally:
        for number, handler in zip(signals, before, strict=True):
            signal.signal(number, handler)


def _why(code: int, said: str, log: Path) -> str:
    lines = said.strip().splitlines()
    ours = [
        line.removeprefix("trafficsplit: ") for line in lines if line.startswith("trafficsplit")
    ]
    if ours:
        return ours[-1]
    ended = f"signal {-code}" if code < 0 else f"code {code}"
    last = lines[-1][:300] if lines else "it said nothing"
    return f"Locust ended with {ended} and left no counts: {last} (all of it: {log})"
