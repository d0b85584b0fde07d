"""Where a report goes: written aside, put in its place at the end, and never beside another run's.

A run works in a directory of its own. When its report is whole, the files are moved to where they
belong, verdict.json last; a run that ends without one leaves nothing of an earlier run that could
be taken for its own.
"""

from __future__ import annotations

import contextlib
import datetime
import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from trafficsplit.errors import InputError
from trafficsplit.load.parquet import RECORDING

REPORTS = Path("reports")
ASIDE = ".run-"  # begins the name of a directory in which a run works
VERDICT = "verdict.json"
# What a run writes. Of an earlier run it is removed, and nothing else is.
FILES = (
    VERDICT,
    "junit.xml",
    "summary.md",
    "run.json",
    "tally.csv",
    "latency.csv",
    "gateways.csv",
    "report.html",
    "locust.log",
    "settings.json",
    "shares.png",
    "share-over-requests.png",
    "share-over-time.png",
    "latency.png",
    "rate.png",
)


@dataclass
class ReportDirectory:
    """Where a run works, `aside`, and where its report will be, `target`.

    `target` is None for a directory that gets its name from the verdict.
    """

    aside: Path
    target: Path | None

    def put_in_place(self, name: str) -> Path:
        """Move the report to where it belongs, and return where that is. Raises OSError.

        `name` is the directory's, where nobody has given it one.
        """
        if self.target is None:
            return self._renamed(name)
        _remove_earlier(self.target, recording=(self.aside / RECORDING).exists())
        for file in sorted(self.aside.iterdir(), key=lambda file: file.name == VERDICT):
            self._move(file.name)
        self.aside.rmdir()
        return self.target

    def _move(self, name: str) -> None:
        assert self.target is not None
        place = self.target / name
        if place.is_dir() and not place.is_symlink():
            shutil.rmtree(place)
        (self.aside / name).replace(place)

    def _renamed(self, name: str) -> Path:
        for attempt in range(1, 1000):
            suffix = "" if attempt == 1 else f"-{attempt}"
            place = self.aside.with_name(f"{name}{suffix}")
            if not place.exists():
                self.aside.chmod(0o777 & ~_umask())
                return self.aside.rename(place)
        return self.aside


@contextlib.contextmanager
def report_directory(directory: Path | None, *, keep: bool = False) -> Iterator[ReportDirectory]:
    """A directory for a run, whose report goes to `directory`, or to a new one in reports/.

    With `keep` what is there already stays until the report is put in its place: it may be what is
    judged. Raises InputError where there is none to be had, or another run is writing into it.
    """
    target = directory
    made = target is not None and not target.exists()
    try:
        if target is None:
            REPORTS.mkdir(parents=True, exist_ok=True)
            report = ReportDirectory(_aside(REPORTS), None)
            lock = None
        else:
            target.mkdir(parents=True, exist_ok=True)
            lock = _lock(target)
            if not keep:
                _remove_earlier(target, recording=True)
            report = ReportDirectory(_aside(target), target)
    except OSError as error:
        where = error.filename or directory or REPORTS
        raise InputError(
            f"{where} cannot be written ({error.strerror or error}): give another --report DIR"
        ) from None
    try:
        yield report
    finally:
        _remove_if_empty(report.aside)
        if made and target is not None:
            with contextlib.suppress(OSError):  # there is something in it
                target.rmdir()
        if lock is not None:
            os.close(lock)


def _aside(parent: Path) -> Path:
    return Path(tempfile.mkdtemp(prefix=ASIDE, dir=parent))


def _lock(target: Path) -> int:
    """Lock a directory for as long as the descriptor is open. Raises InputError, OSError."""
    descriptor = os.open(target, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise InputError(
            f"another run is writing into {target}: give another --report DIR, or wait for it"
        ) from None
    except OSError:  # a file system without locks
        return descriptor
    return descriptor


def _remove_earlier(target: Path, *, recording: bool) -> None:
    """Remove what an earlier run has written, so that nobody takes it for this one's."""
    for name in FILES:
        with contextlib.suppress(FileNotFoundError, IsADirectoryError):
            (target / name).unlink()
    if recording:
        shutil.rmtree(target / RECORDING, ignore_errors=True)


def _umask() -> int:
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


def _remove_if_empty(aside: Path) -> None:
    """Remove a directory that was not put in its place, where nothing in it is worth anything."""
    if not aside.exists() or not aside.name.startswith(ASIDE):
        return
    if {file.name for file in aside.iterdir()} <= {"settings.json", "begun", "lab"}:
        shutil.rmtree(aside, ignore_errors=True)


def directory_name(started_at: str, what: str) -> str:
    """Return the name that a report's directory gets by itself: `20261125T210000Z-match`."""
    moment = datetime.datetime.fromisoformat(started_at).strftime("%Y%m%dT%H%M%SZ")
    return f"{moment}-{what}"
