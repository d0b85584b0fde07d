"""The format of recordings: every request of a run as Parquet.

A recording is a directory of parts, each of them a whole file. A single Parquet file with these
columns can be read as well:

    number      int64                order of sending, within a worker
    sent        timestamp[us, UTC]
    variant     string               null where the answer names none
    status      int16                HTTP's, 0 without an answer
    latency_us  int32
    connection  int32                0: a connection of its own
    gateway     string
    bytes       int32                of the body

Only `variant` is required. pyarrow is needed, the extra `record`.
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
KEY = b"trafficsplit"  # of the facts about a run in a file's metadata
NO_PYARROW = "recordings need pyarrow: pip install 'trafficsplit[record]'"


def part_name(worker: int, number: int) -> str:
    """Return the file name of a part; the names sort by worker, then by number."""
    return f"part-{worker:02d}-{number:05d}.parquet"


def schema() -> pa.Schema:
    """Return the columns."""
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
    """Return the module pyarrow.parquet. Raises InputError where it is not installed."""
    try:
        import pyarrow.parquet as parquet
    except ImportError:
        raise InputError(NO_PYARROW) from None
    return parquet


def table_of(
    columns: Mapping[str, Sequence[Any] | np.ndarray[Any, Any]], facts: Mapping[str, Any]
) -> pa.Table:
    """Return a part's table from arrays by column; `facts` are about the run.

    For `variant` and `gateway` the array is a pair: indices, -1 for none, and names.
    """
    import pyarrow as pa

    arrays: list[Any] = []
    for field in schema():
        column = columns[field.name]
        if not pa.types.is_dictionary(field.type):
            arrays.append(pa.array(column, field.type))
            continue
        indices, names = column
        mask = np.asarray(indices) < 0
        arrays.append(
            pa.DictionaryArray.from_arrays(
                pa.array(indices, pa.int16(), mask=mask), pa.array(names, pa.string())
            )
        )
    text = json.dumps(facts, ensure_ascii=False).encode()
    return pa.Table.from_arrays(arrays, schema=schema().with_metadata({KEY: text}))
