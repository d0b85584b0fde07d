"""A run's files, so that any stage after the load can be run again.

run.json      all of it
tally.csv     counts by stretch of time: from, to (seconds), errors, unidentified, variants …
latency.csv   counts by variant and latency: variant, status, low_us, high_us, requests
gateways.csv  tally.csv of each gateway, where there are several; its name comes first
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from trafficsplit.analysis.latency import bounds_of
from trafficsplit.analysis.plain import run_as_plain, run_from_plain
from trafficsplit.analysis.run import Run, Stretch
from trafficsplit.errors import InputError
from trafficsplit.files import write_whole

RUN = "run.json"
DIGEST = "digest"  # in it
TALLY = "tally.csv"
LATENCY = "latency.csv"
GATEWAYS = "gateways.csv"
Table = list[list[str | int]]
_COLUMNS = ("from_seconds", "to_seconds", "errors", "unidentified")


def write_run(run: Run, directory: Path) -> None:
    """Write the run's files, run.json last: where it is, the others are whole. Raises OSError."""
    write_tally(run, directory / TALLY)
    write_latency(run, directory / LATENCY)
    if run.counted.gateways:
        write_gateways(run, directory / GATEWAYS)
    plain = json.loads(json.dumps(run_as_plain(run)))
    text = json.dumps({**plain, DIGEST: _digest(plain)}, ensure_ascii=False)
    write_whole(directory / RUN, text + "\n")


def read_run(directory: Path) -> Run:
    """Return the run of a directory. Raises InputError if there is none, or it is damaged.

    A verdict that was reached while the run went on stands for the very question and counts of
    then; where these have been edited since, the run is damaged.
    """
    try:
        plain = json.loads((directory / RUN).read_text("utf-8"))
        digest = plain.pop(DIGEST, None)
        if digest is not None and digest != _digest(plain):
            raise ValueError("it was changed after it was written; judge what is known by --counts")
        return run_from_plain(plain)
    except OSError as error:
        raise InputError(f"no run in {directory}: {error.strerror or error}") from None
    except (ValueError, KeyError, TypeError, IndexError, AttributeError) as error:
        raise InputError(
            f"the run in {directory} is damaged, or of another version: {error}"
        ) from None


def _digest(plain: Mapping[str, Any]) -> str:
    """Return a digest of what a verdict rests on: the question, the counts and the ending."""
    parts = [plain[name] for name in ("question", "counted", "ending")]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def write_tally(run: Run, path: Path) -> None:
    """Write counts by stretch of time: a row each, a column a variant. Raises OSError."""
    variants = list(run.tally.counts)
    rows = [_row(stretch, variants) for stretch in run.counted.stretches]
    _write_table(path, [[*_COLUMNS, *variants], *rows])


def write_gateways(run: Run, path: Path) -> None:
    """Write counts by gateway and stretch of time, the gateway's name first. Raises OSError."""
    variants = list(run.tally.counts)
    table: Table = [["gateway", *_COLUMNS, *variants]]
    for gateway in run.counted.gateways:
        for stretch in gateway.stretches:
            table.append([gateway.name, *_row(stretch, variants)])
    _write_table(path, table)


def _row(stretch: Stretch, variants: Sequence[str]) -> list[str | int]:
    tally = stretch.tally
    counts = tally.counts_of(variants)
    times = [f"{stretch.start:.3f}", f"{stretch.end:.3f}"]
    return [*times, tally.errors, tally.unidentified, *counts]


def write_latency(run: Run, path: Path) -> None:
    """Write counts by variant, status and bucket of latency, in microseconds. Raises OSError."""
    table: Table = [["variant", "status", "low_us", "high_us", "requests"]]
    for key, buckets in run.counted.latency.items():
        for bucket in sorted(buckets):
            table.append([key.variant, key.status, *bounds_of(bucket), buckets[bucket]])
    _write_table(path, table)


def _write_table(path: Path, table: Table) -> None:
    text = io.StringIO(newline="")
    csv.writer(text).writerows(table)
    write_whole(path, text.getvalue())
