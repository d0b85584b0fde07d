"""Where a report goes: written aside, put in its place at the end, and never mixed with another's.

A run works in a directory of its own. When its report is whole, the files are moved to where they
belong, verdict.json last. A run that ends without a report leaves no files of an earlier run that
could be taken for its own.
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
ASIDE = ".run-"  # the prefix of a directory in which a run works
MOST_NAMESAKES = 999  # directories of one name, with numbers behind it
VERDICT = "verdict.json"
# What a run writes. An earlier run's are removed, and nothing else is.
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

        `name` is what the directory is called, if no other name was given.
        """
        if self.target is None:
            return self._rename(name)
        _remove_earlier(self.target, recording=(self.aside / RECORDING).exists())
        for file in sorted(self.aside.iterdir(), key=lambda file: file.name == VERDICT):
            _move(file, self.target / file.name)
        self.aside.rmdir()
        return self.target

    def _rename(self, name: str) -> Path:
        """Give the directory a name that is free, and return it; its own if none is."""
        for number in range(1, MOST_NAMESAKES + 1):
            suffix = "" if number == 1 else f"-{number}"
            path = self.aside.with_name(f"{name}{suffix}")
            if not path.exists():
                self.aside.chmod(0o777 & ~_umask())
                return self.aside.rename(path)
        return self.aside


def _move(file: Path, path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    file.replace(path)


def report_directory(
    directory: Path | None, *, keep: bool = False
) -> contextlib.AbstractContextManager[ReportDirectory]:
    """Return, as a context, where a run works whose report goes to `directory`.

    None is a new one in reports/. With `keep` what is there already stays until the report is put
    in its place, since it may be what is judged. Raises InputError if the directory cannot be
    written, or another run is writing into it.
    """
    if directory is None:
        return _new_directory()
    return _given_directory(directory, keep=keep)


@contextlib.contextmanager
def _new_directory() -> Iterator[ReportDirectory]:
    with _refusing(REPORTS):
        REPORTS.mkdir(parents=True, exist_ok=True)
        report = ReportDirectory(_make_aside(REPORTS), None)
    try:
        yield report
    finally:
        _remove_if_empty(report.aside)


@contextlib.contextmanager
def _given_directory(target: Path, *, keep: bool) -> Iterator[ReportDirectory]:
    with _refusing(target):
        is_new = not target.exists()
        target.mkdir(parents=True, exist_ok=True)
        lock = _lock(target)
        if not keep:
            _remove_earlier(target, recording=True)
        report = ReportDirectory(_make_aside(target), target)
    try:
        yield report
    finally:
        _remove_if_empty(report.aside)
        if is_new:
            with contextlib.suppress(OSError):  # there is something in it
                target.rmdir()
        os.close(lock)


@contextlib.contextmanager
def _refusing(directory: Path) -> Iterator[None]:
    """Raise InputError for an OSError: the directory cannot be written."""
    try:
        yield
    except OSError as error:
        path = error.filename or directory
        raise InputError(
            f"{path} cannot be written ({error.strerror or error}): give another --report DIR"
        ) from None


def _make_aside(parent: Path) -> Path:
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
    """Remove what an earlier run has written, lest it be taken for this one's."""
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
    """Remove a directory that was not put in its place, if there is nothing of worth in it."""
    if not aside.exists() or not aside.name.startswith(ASIDE):
        return
    if {file.name for file in aside.iterdir()} <= {"settings.json", "begun", "lab"}:
        shutil.rmtree(aside, ignore_errors=True)


def directory_name(started_at: str, what: str) -> str:
    """Return a new report's directory name, from a start and a verdict: `20261125T210000Z-match`.

    `started_at` is in UTC, ISO 8601. Raises ValueError for any other text.
    """
    moment = datetime.datetime.fromisoformat(started_at).strftime("%Y%m%dT%H%M%SZ")
    return f"{moment}-{what}"
