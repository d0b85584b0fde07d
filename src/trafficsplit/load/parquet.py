"""The format of recordings: every request of a run as Parquet.

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
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from trafficsplit.errors import InputError

if TYPE_CHECKING:
    import pyarrow as pa

RECORDING = "requests.parquet"
KEY = b"trafficsplit"  # of our facts in a file's metadata
NO_PYARROW = "recordings need pyarrow: pip install 'trafficsplit[record]'"


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
