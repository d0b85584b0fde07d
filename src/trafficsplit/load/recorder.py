"""A recording of every request: a directory of Parquet files that grows while the run goes on.

`requests.parquet/part-00-00003.parquet` is part 3 of worker 0. Each part is written under another
name and renamed when it is whole, so that all parts can be read however the run ends. pandas,
DuckDB, Spark and `trafficsplit analyze` read the directory as one table; `load.parquet` has its
columns.
"""

from __future__ import annotations

import contextlib
import datetime
import logging
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gevent
import numpy as np

from trafficsplit.errors import InputError
from trafficsplit.load.parquet import RECORDING, part_name, table_of

if TYPE_CHECKING:
    from trafficsplit.analysis.kinds import Codes, Kind
    from trafficsplit.load.counting import Ended

FEWEST = 1 << 16  # rows of a part, except where its time has come
MOST = 1 << 20  # rows after which a part is due, in any case
PARTS = 32  # a part is due when it has this fraction of the rows before it
GROWTH = 1.05  # of the run's time from part to part: a crash loses 5 % of it at most,
FIRST = 1.0  # or this many seconds
MOST_WAITING = 1 << 22  # rows in memory, where the disk is slower than the gateway
MICROSECONDS = 1e6  # in a second
LONGEST_LATENCY = 2**31 - 1  # microseconds in a column of 32 bits

log = logging.getLogger(__name__)


class Recorder:
    """Takes requests as they end, and writes them in a thread of its own.

    `facts` are about the run: `started_at`, in ISO format, and what `analyze` needs to know. When
    the disk fails the recording stops, and `trouble` says why; the run goes on without it. Raises
    InputError where the directory cannot be written.
    """

    def __init__(
        self, directory: Path, worker: int, facts: Mapping[str, Any], gateways: Sequence[str]
    ) -> None:
        self._directory = directory / RECORDING
        self._worker = worker
        self._facts = facts
        self._gateways = list(gateways)
        self._waiting: list[Ended] = []
        self._rows = 0  # that wait
        self._written = 0  # rows in parts
        self._parts = 0
        self._next_at = FIRST  # seconds from the start
        self._job: Any = None  # of the thread
        self.trouble = ""
        try:
            self._directory.mkdir(parents=True, exist_ok=True)
            for older in self._directory.glob(f"*{part_name(worker, 0)[:8]}*"):
                older.unlink()
        except OSError as error:
            raise InputError(
                f"{self._directory} cannot be written ({error.strerror or error}): without "
                "--record, or into another directory"
            ) from None

    def add(self, ended: Ended, kinds: Sequence[Kind], elapsed: float) -> None:
        """Add requests that have ended, `elapsed` seconds after the start. It does not block."""
        if self.trouble:
            return
        self._waiting.append(ended)
        self._rows += len(ended.codes)
        enough = min(max(FEWEST, self._written // PARTS), MOST)
        if self._rows < enough and elapsed < self._next_at:
            return
        if self._job is None or self._job.ready():
            self._end_job()
            self._next_at = max(GROWTH * elapsed, elapsed + FIRST)
            self._begin_job(kinds)
        elif self._rows > MOST_WAITING:
            self._stop("the disk was slower than the gateway")

    def close(self, kinds: Sequence[Kind]) -> None:
        """Write the rows that wait, and return when they are written."""
        if self._job is not None:
            self._job.wait()
        self._end_job()
        if self._rows and not self.trouble:
            self._begin_job(kinds)
            self._job.wait()
            self._end_job()

    def _begin_job(self, kinds: Sequence[Kind]) -> None:
        """Begin to write the rows that wait, in the thread."""
        job = gevent.get_hub().threadpool.spawn(
            self._write, self._waiting, self._parts, list(kinds)
        )
        self._job = job
        self._written += self._rows
        self._waiting = []
        self._rows = 0
        self._parts += 1

    def _end_job(self) -> None:
        """Take note of how the last writing went, if it has ended."""
        if self._job is not None and self._job.ready():
            trouble = self._job.get()
            self._job = None
            if trouble:
                self._stop(trouble)

    def _stop(self, trouble: str) -> None:
        if not self.trouble:
            self.trouble = trouble
            log.warning("the recording stops after %s parts: %s", self._parts, trouble)

    def _write(self, ended: list[Ended], number: int, kinds: list[Kind]) -> str:
        """Write one part; return what went wrong, empty where nothing did. Runs in the thread."""
        import pyarrow.parquet as parquet

        path = self._directory / part_name(self._worker, number)
        aside = path.with_name(f".{path.name}")
        facts = {**self._facts, "complete": ended[-1].complete}
        table = table_of(self._columns(ended, kinds), facts)
        try:
            parquet.write_table(table, aside, compression="zstd", compression_level=1)
            aside.rename(path)
        except OSError as error:
            with contextlib.suppress(OSError):
                aside.unlink()
            return os.strerror(error.errno) if error.errno else str(error)
        return ""

    def _columns(self, ended: list[Ended], kinds: list[Kind]) -> dict[str, Any]:
        """Return the arrays of a part by column, as `table_of` takes them."""
        codes = _join(ended, "codes")
        variants, names = _variants(kinds)
        gateways = np.array([kind.gateway for kind in kinds])
        statuses = np.array([kind.answer for kind in kinds])
        began = datetime.datetime.fromisoformat(self._facts["started_at"]).timestamp()
        sent = MICROSECONDS * began + _join(ended, "sent_at") * MICROSECONDS
        latencies = np.minimum(_join(ended, "latencies") * MICROSECONDS, LONGEST_LATENCY)
        return {
            "number": _join(ended, "tickets"),
            "sent": sent.astype(np.int64),
            "variant": (variants[codes], names),
            "status": statuses[codes],
            "latency_us": latencies.astype(np.int32),
            "connection": _join(ended, "connections"),
            "gateway": (gateways[codes], self._gateways),
            "bytes": _join(ended, "sizes"),
        }


def _variants(kinds: Sequence[Kind]) -> tuple[Codes, list[str]]:
    """Return the index of each kind's variant, -1 where it has none, and the variants' names."""
    names: dict[str, int] = {}
    indices = []
    for kind in kinds:
        index = names.setdefault(kind.variant, len(names)) if kind.variant else -1
        indices.append(index)
    return np.array(indices, np.int64), list(names)


def _join(ended: list[Ended], column: str) -> Any:
    return np.concatenate([getattr(batch, column) for batch in ended])
