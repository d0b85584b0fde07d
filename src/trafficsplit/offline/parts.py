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

from trafficsplit.analysis.kinds import Codes
from trafficsplit.errors import InputError
from trafficsplit.load.parquet import KEY, parquet_of_arrow
from trafficsplit.offline.batches import Batch, Integers

if TYPE_CHECKING:
    import pyarrow as pa

BATCH = 1 << 19  # rows
_PARTS = "part-*.parquet"
_PART = re.compile(r"part-(\d+)-(\d+)\.parquet")


class _DamagedError(InputError):
    """A file is no whole Parquet file."""


@dataclass(frozen=True)
class Part:
    """One file, what it says of its run (`facts`), and which worker wrote it.

    A worker's requests are counted up to the number `complete` (None: all of them). Of those that
    were sent later some are missing, and the slower variant's are likelier to be.
    """

    path: Path
    facts: Mapping[str, Any]
    worker: str
    complete: int | None


def parts_of(path: Path) -> list[Part]:
    """Return the parts of a recording, in order; those that are damaged only if the first is.

    `path` is a recording's directory, or one Parquet file. Raises InputError.
    """
    parts = _parts_in(path) if path.is_dir() else [_read_part(path)]
    complete = {part.worker: part.complete for part in parts}  # the last part knows
    return [replace(part, complete=complete[part.worker]) for part in parts]


def _parts_in(directory: Path) -> list[Part]:
    files = sorted(directory.glob(_PARTS))
    if not files:
        raise InputError(f"{directory} has no recording: it was to have {_PARTS} in it")
    parts: list[Part] = []
    for file in files:
        try:
            parts.append(_read_part(file))
        except _DamagedError:
            if not parts:
                raise
            # Cut off in the middle of a copy, say: the others are whole.
    return parts


def _read_part(file: Path) -> Part:
    parquet = parquet_of_arrow()
    try:
        metadata = parquet.read_metadata(file)
        facts = json.loads((metadata.metadata or {}).get(KEY, b"{}"))
        if not isinstance(facts, dict):
            raise ValueError("what it says of its run is no JSON object")
    except (OSError, ValueError) as error:
        raise _DamagedError(f"{file} is no recording: {_first_line(error)}") from None
    schema = metadata.schema.to_arrow_schema()
    if "variant" not in schema.names:
        raise InputError(f"{file} has no column variant, but {', '.join(schema.names)}")
    kind = schema.field("variant").type
    if kind.num_fields:  # lists, structs, maps
        raise InputError(f"the column variant of {file} has no names in it, but {kind}")
    match = _PART.fullmatch(file.name)
    worker = f"{file.parent}/{match[1]}" if match else str(file)
    return Part(file, facts, worker, facts.get("complete"))


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0].rstrip(".")


def unread_parts(directory: Path, parts: Iterable[Part]) -> list[Path]:
    """Return the files of a recording's directory that could not be read."""
    read = {part.path for part in parts}
    return [file for file in sorted(directory.glob(_PARTS)) if file not in read]


def batches_of(part: Part, *, ordered: bool = True) -> Iterator[Batch]:
    """Yield the requests of a part in batches, in order of sending if `ordered`.

    Raises InputError.
    """
    import pyarrow as pa

    parquet = parquet_of_arrow()
    try:
        with parquet.ParquetFile(part.path, memory_map=True, read_dictionary=["variant"]) as file:
            present = set(file.schema_arrow.names)
            wanted = {"sent", "variant", "status", "latency_us"}
            if ordered or _exceeds(file.metadata, part.complete):
                wanted |= {"number", "connection"}
            for rows in file.iter_batches(BATCH, columns=sorted(wanted & present)):
                yield _batch(rows, part, in_order=ordered)
    except (OSError, pa.ArrowException) as error:
        raise InputError(f"{part.path} cannot be read: {_first_line(error)}") from None


def _exceeds(metadata: Any, complete: int | None) -> bool:
    """Return whether a file may have numbers of `complete` or more, which are not counted."""
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
        batch = _select(batch, kept)
    if in_order and (numbers[1:] < numbers[:-1]).any():
        batch = _select(batch, np.argsort(numbers, kind="stable"))
    return batch


def _select(batch: Batch, wanted: Integers | NDArray[np.bool_]) -> Batch:
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


def _variants(rows: pa.RecordBatch) -> tuple[list[str], Integers]:
    """Return the variants' names, and for each request the index of its name, −1 for none."""
    import pyarrow as pa
    import pyarrow.compute as pc

    variants: Any = rows.column("variant")
    if not pa.types.is_dictionary(variants.type):
        variants = variants.cast(pa.string()).dictionary_encode()
    indices = variants.indices
    if indices.null_count:
        indices = pc.fill_null(indices, -1)
    names = list(map(str, variants.dictionary.to_pylist()))
    return names, indices.to_numpy(zero_copy_only=False)


def _column(rows: pa.RecordBatch, name: str, default: int) -> Codes:
    """Return a column of whole numbers, with `default` if it is missing or for null."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if name not in rows.schema.names:
        return np.full(rows.num_rows, default, np.int64)
    values: Any = rows.column(name)
    if values.null_count:
        values = pc.fill_null(values, default)
    return np.asarray(values.cast(pa.int64(), safe=False).to_numpy(zero_copy_only=False))


def _sent(rows: pa.RecordBatch) -> Codes:
    """Return when requests were sent, in microseconds since the epoch; 0 if it is not known."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if "sent" not in rows.schema.names:
        return np.zeros(rows.num_rows, np.int64)
    sent: Any = rows.column("sent").cast(pa.timestamp("us", "UTC")).cast(pa.int64())
    if sent.null_count:
        sent = pc.fill_null(sent, 0)
    return np.asarray(sent.to_numpy(zero_copy_only=False))
