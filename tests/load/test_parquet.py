"""The format of recordings."""

from __future__ import annotations

import itertools
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from trafficsplit.errors import InputError
from trafficsplit.load.parquet import KEY, parquet_of_arrow, part_name, schema, table_of


def columns(number: int) -> dict[str, Any]:
    """Return arrays of requests: every third names no variant."""
    numbers = np.arange(number)
    return {
        "number": numbers,
        "sent": 1_700_000_000_000_000 + numbers,
        "variant": (np.where(numbers % 3 == 2, -1, numbers % 2), ["blue", "green"]),
        "status": np.full(number, 200),
        "latency_us": numbers * 10,
        "connection": np.full(number, 7),
        "gateway": (np.zeros(number, np.int64), ["http://gw"]),
        "bytes": np.full(number, 2000),
    }


def test_a_table_has_the_columns_that_are_documented() -> None:
    table = table_of(columns(4), {"path": "/cölor"})
    assert table.column_names == [
        "number",
        "sent",
        "variant",
        "status",
        "latency_us",
        "connection",
        "gateway",
        "bytes",
    ]
    assert table.schema.equals(schema())
    rows = table.to_pylist()
    assert [row["variant"] for row in rows] == ["blue", "green", None, "green"]
    assert rows[3]["gateway"] == "http://gw"
    assert rows[3]["latency_us"] == 30
    assert rows[0]["sent"].isoformat() == "2023-11-14T22:13:20+00:00"
    metadata = table.schema.metadata
    assert metadata is not None
    assert json.loads(metadata[KEY]) == {"path": "/cölor"}


def test_facts_are_in_the_file_itself(tmp_path: Path) -> None:
    file = tmp_path / part_name(0, 3)
    pq.write_table(table_of(columns(10), {"complete": 10}), file)
    read = pq.read_table(file)
    assert read.num_rows == 10
    metadata = read.schema.metadata
    assert metadata is not None
    assert json.loads(metadata[KEY]) == {"complete": 10}


def test_no_requests_are_a_table_too() -> None:
    assert table_of(columns(0), {}).num_rows == 0


def test_numbers_that_do_not_fit_are_no_others() -> None:
    given = columns(1)
    given["latency_us"] = np.array([2**40])
    with pytest.raises(pa.ArrowInvalid):
        table_of(given, {})


def test_parts_sort_by_worker_and_then_by_number() -> None:
    names = list(itertools.starmap(part_name, itertools.product((0, 2, 11), (0, 9, 10, 12345))))
    assert names == sorted(names)
    assert part_name(0, 3) == "part-00-00003.parquet"


def test_without_pyarrow_one_line_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    assert parquet_of_arrow() is pq
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    with pytest.raises(InputError, match=r"pip install 'trafficsplit\[record\]'"):
        parquet_of_arrow()
