"""The processes that a command has started, and commands that go on beside a test."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO

import psutil

TRAFFICSPLIT = str(Path(sys.executable).with_name("trafficsplit"))
LONGEST_END = 180  # seconds that a command may take to end; only what hangs takes them


def with_few_files(limit: int) -> tuple[str, ...]:
    """Return what a command begins with that may have so many files and sockets open."""
    return ("sh", "-c", f'ulimit -n {limit} && exec "$0" "$@"')


@contextlib.contextmanager
def started_command(
    directory: Path,
    *arguments: str,
    stdout: int | IO[str] = subprocess.PIPE,
    before: Sequence[str] = (),
) -> Iterator[subprocess.Popen[str]]:
    """A `trafficsplit` with arguments, started in a directory, with no lab up.

    `before` is what the command line begins with. It is killed at the end, where it has not ended
    by itself; its children end with it.
    """
    process = subprocess.Popen(
        [*before, TRAFFICSPLIT, *arguments],
        cwd=directory,
        env={**os.environ, "TRAFFICSPLIT_LAB_DIR": str(directory / "no-lab")},
        stdout=stdout,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        try:
            yield process
        finally:
            process.kill()


def ended(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    """Wait for the end of a command; return its exit code, and what it said on both streams."""
    out, err = process.communicate(timeout=LONGEST_END)
    return process.returncode, out, err


def processes_of(directory: Path) -> list[psutil.Process]:
    """Return every process that works in this directory, or was started for a file of it."""
    found = []
    for process in psutil.process_iter():
        try:
            command = process.cmdline()
            files = [process.cwd(), *(f.path for f in process.open_files())] if command else []
        except psutil.Error:
            continue
        if any(str(directory) in text for text in [*command, *files]):
            found.append(process)
    return [p for p in found if p.pid != os.getpid()]


def locusts_of(process: subprocess.Popen[str]) -> list[psutil.Process]:
    """Return the Locust that a `verify` has started, and its workers behind it."""
    children = psutil.Process(process.pid).children(recursive=True)
    return [one for one in children if "trafficsplit.locust.child" in one.cmdline()]


def refuses(address: str) -> bool:
    """Return whether nobody listens at `HOST:PORT`."""
    host, _, port = address.partition(":")
    with socket.socket() as probe:
        return probe.connect_ex((host, int(port))) != 0


def is_running(pid: int) -> bool:
    """Return whether a process goes on; one that has ended and is not waited for does not."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
