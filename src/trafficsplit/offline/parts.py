"""The parts of a recording, read in constant memory; `load.parquet` has their format."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from trafficsplit.errors import InputError
from trafficsplit.load.parquet import KEY, parquet_of_arrow
from trafficsplit.offline.batches import Batch

if TYPE_CHECKING:
    import pyarrow as pa

BATCH = 1 << 19  # rows at a time
_PART = re.compile(r"part-(\d+)-(\d+)\.parquet")


@dataclass(frozen=True)
class Part:
    """One file, what it says of its run, and which worker wrote it.

    Of a worker's requests those before `complete` are to be counted: some that were sent later are
    missing, and the slower variant's are likelier to.
    """

    path: Path
    facts: Mapping[str, Any]
    worker: str
    complete: int | None


def parts_of(path: Path) -> list[Part]:
    """Return the parts of a recording, in order. Raises InputError."""
    parquet = parquet_of_arrow()
    files = sorted(path.glob("part-*.parquet")) if path.is_dir() else [path]
    if not files:
        raise InputError(f"{path} has no recording: it was to have part-*.parquet in it")
    found: list[Part] = []
    for file in files:
        try:
            metadata = parquet.read_metadata(file)
            facts = json.loads((metadata.metadata or {}).get(KEY, b"{}"))
        except (OSError, ValueError) as error:
            if path.is_dir() and found:
                continue  # cut off in the middle of a copy, say: the others are whole
            reason = str(error).splitlines()[0].rstrip(".")
            raise InputError(f"{file} is no recording: {reason}") from None
        names = metadata.schema.to_arrow_schema().names
        if "variant" not in names:
            raise InputError(f"{file} has no column variant, but {', '.join(names)}")
        match = _PART.fullmatch(file.name)
        worker = f"{file.parent}/{match[1]}" if match else str(file)
        found.append(Part(file, facts, worker, facts.get("complete")))
    complete = {part.worker: part.complete for part in found}  # the last part knows
    return [replace(part, complete=complete[part.worker]) for part in found]


def unread_parts(path: Path, parts: Iterable[Part]) -> list[Path]:
    """Return the files of a recording's directory that could not be read."""
    read = {part.path for part in parts}
    return [file for file in sorted(path.glob("part-*.parquet")) if file not in read]


def batches_of(part: Part, *, ordered: bool = True) -> Iterator[Batch]:
    """Yield the requests of a part, where `ordered` in order of sending. Raises InputError."""
    import pyarrow as pa

    parquet = parquet_of_arrow()
    try:
        with parquet.ParquetFile(part.path, memory_map=True, read_dictionary=["variant"]) as file:
            there = set(file.schema_arrow.names)
            wanted = {"sent", "variant", "status", "latency_us"}
            if ordered or _reaches(file.metadata, part.complete):
                wanted |= {"number", "connection"}
            for rows in file.iter_batches(BATCH, columns=sorted(wanted & there)):
                yield _batch(rows, part, in_order=ordered)
    except (OSError, pa.ArrowException) as error:
        reason = str(error).splitlines()[0].rstrip(".")
        raise InputError(f"{part.path} cannot be read: {reason}") from None


def _reaches(metadata: Any, complete: int | None) -> bool:
    """Return whether a file may have numbers that are not to be counted."""
    names = [metadata.schema.column(i).name for i in range(metadata.num_columns)]
    if complete is None or "number" not in names:
        return False
    column = names.index("number")
    for index in range(metadata.num_row_groups):
        statistics = metadata.row_group(index).column(column).statistics
        if statistics is None or not statistics.has_min_max or statistics.max >= complete:
            return True
    return False


def _batch(rows: pa.RecordBatch, part: Part, *, in_order: bool) -> Batch:
    names, codes = _variants(rows)
    numbered = "number" in rows.schema.names
    batch = Batch(
        names=names,
        codes=codes,
        statuses=_column(rows, "status", 200),
        sent=_sent(rows),
        latencies=_column(rows, "latency_us", 0),
        connections=_column(rows, "connection", 0),
        ordered=numbered and in_order,
    )
    if not numbered:
        return batch
    numbers = _column(rows, "number", 0)
    if part.complete is not None and len(numbers) and int(numbers.max()) >= part.complete:
        kept = numbers < part.complete
        numbers = numbers[kept]
        batch = _taken(batch, kept)
    if in_order and (numbers[1:] < numbers[:-1]).any():
        batch = _taken(batch, np.argsort(numbers, kind="stable"))
    return batch


def _taken(batch: Batch, wanted: NDArray[Any]) -> Batch:
    """Return some requests of a batch, or all of them in another order."""
    assert batch.connections is not None
    return replace(
        batch,
        codes=batch.codes[wanted],
        statuses=batch.statuses[wanted],
        sent=batch.sent[wanted],
        latencies=batch.latencies[wanted],
        connections=batch.connections[wanted],
    )


def _variants(rows: pa.RecordBatch) -> tuple[list[str], NDArray[Any]]:
    """Return the names of variants, and of each request the name's index, −1 for none."""
    import pyarrow as pa
    import pyarrow.compute as pc

    variants: Any = rows.column("variant")
    if not pa.types.is_dictionary(variants.type):
        variants = variants.cast(pa.string()).dictionary_encode()
    indices = variants.indices
    if indices.null_count:
        indices = pc.fill_null(indices, -1)
    names = [str(name) for name in variants.dictionary.to_pylist()]
    return names, indices.to_numpy(zero_copy_only=False)


def _column(rows: pa.RecordBatch, name: str, default: int) -> NDArray[Any]:
    """Return a column of whole numbers, `default` where it is missing or null."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if name not in rows.schema.names:
        return np.full(rows.num_rows, default, np.int64)
    values: Any = rows.column(name)
    if values.null_count:
        values = pc.fill_null(values, default)
    return np.asarray(values.cast(pa.int64(), safe=False).to_numpy(zero_copy_only=False))


def _sent(rows: pa.RecordBatch) -> NDArray[np.int64]:
    """Return when requests were sent, in microseconds since the epoch; 0 where nobody knows."""
    import pyarrow as pa

    if "sent" not in rows.schema.names:
        return np.zeros(rows.num_rows, np.int64)
    sent: Any = rows.column("sent").cast(pa.timestamp("us", "UTC")).cast(pa.int64())
    return np.asarray(sent.to_numpy(zero_copy_only=False))
