"""Every request kept: a directory of Parquet files, which grows while the run goes on.

`requests.parquet/part-00-00003.parquet` is part 3 of worker 0's. Each part is written aside and
renamed when it is whole, so that whatever ends us, all parts can be read. pandas, DuckDB, Spark and
`trafficsplit analyze` take the directory for one table; `analysis.recording` has its columns.
"""

from __future__ import annotations

import contextlib
import datetime
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gevent
import numpy as np

from trafficsplit.errors import InputError
from trafficsplit.load.parquet import RECORDING, part_name, table_of

if TYPE_CHECKING:
    from trafficsplit.analysis.kinds import Kind
    from trafficsplit.load.counting import Ended

FEWEST, MOST = 1 << 16, 1 << 20  # rows of a part, but the last
GROWTH = 1.05  # in time: a crash loses at most this much of a run, or a second
FIRST = 1.0  # seconds
MOST_WAITING = 1 << 22  # rows, on a disk that is slower than the gateway


class Recorder:
    """Takes requests as they end, and writes them in a thread of its own.

    `facts` are about the run: `started_at`, and what `analyze` may want to know. Where the disk
    fails, it ends, and `trouble` says why: the run is worth more than its recording. Raises
    InputError where the directory cannot be written.
    """

    def __init__(
        self, directory: Path, worker: int, facts: Mapping[str, Any], gateways: Sequence[str]
    ) -> None:
        self._directory, self._worker = directory / RECORDING, worker
        self._facts, self._gateways = facts, list(gateways)
        self._epoch = 1e6 * datetime.datetime.fromisoformat(facts["started_at"]).timestamp()
        self._waiting: list[Ended] = []
        self._rows = self._written = self._parts = 0
        self._next_at = FIRST
        self._job: Any = None
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
        """Requests that have ended; called where nothing may block."""
        if self.trouble:
            return
        self._waiting.append(ended)
        self._rows += len(ended.codes)
        enough = min(max(FEWEST, self._written // 32), MOST)
        if self._rows < enough and elapsed < self._next_at:
            return
        if self._job is None or self._job.ready():
            self._take_stock()
            self._next_at = max(GROWTH * elapsed, elapsed + FIRST)
            self._begin(kinds)
        elif self._rows > MOST_WAITING:
            self.trouble = "the disk was slower than the gateway"

    def close(self, kinds: Sequence[Kind]) -> None:
        """Write what is left. Waits."""
        if self._job is not None:
            self._job.wait()
        self._take_stock()
        if self._rows and not self.trouble:
            self._begin(kinds)
            self._job.wait()
            self._take_stock()

    def _begin(self, kinds: Sequence[Kind]) -> None:
        """Write what waits, in the thread."""
        taken, number = self._waiting, self._parts
        self._written += self._rows
        self._waiting, self._rows, self._parts = [], 0, self._parts + 1
        self._job = gevent.get_hub().threadpool.spawn(self._write, taken, number, list(kinds))

    def _take_stock(self) -> None:
        """How the last writing went."""
        if self._job is not None and self._job.ready():
            self.trouble = self.trouble or self._job.get()
            self._job = None

    def _write(self, ended: list[Ended], number: int, kinds: list[Kind]) -> str:
        """One part; what went wrong, empty where nothing did. Runs in a thread."""
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
        codes = _joined(ended, "codes")
        names = list(dict.fromkeys(kind.variant for kind in kinds if kind.variant))
        index = {name: number for number, name in enumerate(names)}
        variants = np.array([index.get(kind.variant, -1) for kind in kinds])
        sent = self._epoch + _joined(ended, "sent_at") * 1e6
        latencies = np.minimum(_joined(ended, "latencies") * 1e6, 2**31 - 1)
        return {
            "number": _joined(ended, "tickets"),
            "sent": sent.astype(np.int64),
            "variant": (variants[codes], names),
            "status": np.array([kind.answer for kind in kinds])[codes],
            "latency_us": latencies.astype(np.int32),
            "connection": _joined(ended, "connections"),
            "gateway": (np.array([kind.gateway for kind in kinds])[codes], self._gateways),
            "bytes": _joined(ended, "sizes"),
        }


def _joined(ended: list[Ended], column: str) -> Any:
    return np.concatenate([getattr(batch, column) for batch in ended])
