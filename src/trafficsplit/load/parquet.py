"""Recordings: every request of a run as Parquet, written by `--record`, read in constant memory.

A recording is a directory of parts, each whole or not there; any single Parquet file with these
columns can be read as well:

    number      int64                order of sending, within a worker
    sent        timestamp[us, UTC]
    variant     string               null where the answer names none
    status      int16                HTTP's, 0 without an answer
    latency_us  int32
    connection  int32                0: one of its own
    gateway     string
    bytes       int32                of the body

Only `variant` must be there. Needs pyarrow, the extra `record`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from analysis.errors import InputError
from analysis.gathering import Batch

if TYPE_CHECKING:
    import pyarrow as pa

RECORDING = "requests.parquet"
KEY = b"trafficsplit"
NO_PYARROW = "recordings need pyarrow: pip install 'trafficsplit[record]'"
BATCH = 1 << 19  # rows at a time
_PART = re.compile(r"part-(\d+)-(\d+)\.parquet")


def part_name(worker: int, number: int) -> str:
    """The file name of a part: they sort by worker, then by number."""
    return f"part-{worker:02d}-{number:05d}.parquet"


def schema() -> pa.Schema:
    """The columns."""
    import pyarrow as pa

    name = pa.dictionary(pa.int16(), pa.string())
    return pa.schema(
        [
            ("number", pa.int64()),
            ("sent", pa.timestamp("us", "UTC")),
            ("variant", name),
            ("status", pa.int16()),
            ("latency_us", pa.int32()),
            ("connection", pa.int32()),
            ("gateway", name),
            ("bytes", pa.int32()),
        ]
    )


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
    """The parts of a recording, in order. Raises InputError."""
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
    return [Part(p.path, p.facts, p.worker, complete[p.worker]) for p in found]


def unread_parts(path: Path, parts: Iterable[Part]) -> list[Path]:
    """Files of a recording's directory that could not be read."""
    read = {part.path for part in parts}
    return [file for file in sorted(path.glob("part-*.parquet")) if file not in read]


def batches_of(part: Part, *, ordered: bool = True) -> Iterator[Batch]:
    """The requests of a part, where `ordered` in order of sending. Raises InputError."""
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
    """Whether a file may have numbers that are not to be counted."""
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
    import pyarrow as pa
    import pyarrow.compute as pc

    def column(name: str, type_: pa.DataType, default: int) -> np.ndarray[Any, Any]:
        if name not in rows.schema.names:
            return np.full(rows.num_rows, default, type_.to_pandas_dtype())
        values: Any = rows.column(name)
        if values.null_count:
            values = pc.fill_null(values, default)
        return np.asarray(values.cast(type_, safe=False).to_numpy(zero_copy_only=False))

    variants: Any = rows.column("variant")
    if not pa.types.is_dictionary(variants.type):
        variants = variants.cast(pa.string()).dictionary_encode()
    names = [str(name) for name in variants.dictionary.to_pylist()]
    indices = variants.indices
    codes = (pc.fill_null(indices, -1) if indices.null_count else indices).to_numpy(
        zero_copy_only=False
    )
    ordered = "number" in rows.schema.names
    sent = rows.column("sent").cast(pa.timestamp("us", "UTC")).cast(pa.int64()) if (
        "sent" in rows.schema.names) else None  # fmt: skip
    numbers = column("number", pa.int64(), 0)
    arrays = [
        codes,
        column("status", pa.int16(), 200),
        np.zeros(rows.num_rows, np.int64) if sent is None else sent.to_numpy(zero_copy_only=False),
        column("latency_us", pa.int32(), 0),
        column("connection", pa.int32(), 0),
    ]
    if ordered:
        if part.complete is not None and len(numbers) and int(numbers.max()) >= part.complete:
            kept = numbers < part.complete
            numbers, arrays = numbers[kept], [array[kept] for array in arrays]
        if in_order and (numbers[1:] < numbers[:-1]).any():
            order = np.argsort(numbers, kind="stable")
            arrays = [array[order] for array in arrays]
    codes, statuses, sent_at, latencies, connections = arrays
    return Batch(names, codes, statuses, sent_at, latencies, connections, ordered and in_order)


def parquet_of_arrow() -> Any:
    """pyarrow.parquet. Raises InputError where it is not installed."""
    try:
        import pyarrow.parquet as parquet
    except ImportError:
        raise InputError(NO_PYARROW) from None
    return parquet


def table_of(
    columns: Mapping[str, Sequence[Any] | np.ndarray[Any, Any]], facts: Mapping[str, Any]
) -> pa.Table:
    """A part's table, from arrays by column; of variant and gateway: indices and names."""
    import pyarrow as pa

    arrays = []
    for field in schema():
        value: Any = columns[field.name]
        if pa.types.is_dictionary(field.type):
            indices, names = value
            mask = np.asarray(indices) < 0
            value = pa.DictionaryArray.from_arrays(
                pa.array(indices, pa.int16(), mask=mask), pa.array(names, pa.string())
            )
        arrays.append(pa.array(value, field.type) if not isinstance(value, pa.Array) else value)
    text = json.dumps(facts, ensure_ascii=False).encode()
    return pa.Table.from_arrays(arrays, schema=schema().with_metadata({KEY: text}))
