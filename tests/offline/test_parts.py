"""The parts of a recording: whole ones, cut ones, and other people's Parquet."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.support.recordings import BEGAN, write_recording
from trafficsplit.errors import InputError
from trafficsplit.load.parquet import KEY, part_name
from trafficsplit.offline.batches import Batch
from trafficsplit.offline.parts import batches_of, parts_of, unread_parts


def written(tmp_path: Path, columns: dict[str, Any], facts: bytes = b"{}") -> Path:
    """Write a single Parquet file of these columns, and return its path."""
    file = tmp_path / "theirs.parquet"
    pq.write_table(pa.table(columns).replace_schema_metadata({KEY: facts}), file)
    return file


def only_batch(path: Path, *, ordered: bool = True) -> Batch:
    (part,) = parts_of(path)
    (batch,) = batches_of(part, ordered=ordered)
    return batch


def variants(batch: Batch) -> list[str | None]:
    return [batch.names[code] if code >= 0 else None for code in batch.codes.tolist()]


def test_the_parts_of_a_directory_come_in_order_with_what_they_say(tmp_path: Path) -> None:
    write_recording(tmp_path, [0, 1, 0, 1, 0], size=2)
    write_recording(tmp_path, [1, 1], size=2, worker=1)
    parts = parts_of(tmp_path)
    assert [part.path.name for part in parts] == [
        part_name(0, 0),
        part_name(0, 1),
        part_name(0, 2),
        part_name(1, 0),
    ]
    assert len({part.worker for part in parts}) == 2
    # What the last part of a worker knows to be complete is so for all of them.
    assert [part.complete for part in parts] == [5, 5, 5, 2]
    assert parts[0].facts["path"] == "/color"


def test_a_part_is_read_as_it_was_recorded(tmp_path: Path) -> None:
    write_recording(tmp_path, [0, 1, -1])
    batch = only_batch(tmp_path)
    assert variants(batch) == ["blue", "green", None]
    assert batch.statuses.tolist() == [200, 200, 503]
    assert batch.sent.tolist() == [BEGAN, BEGAN + 100, BEGAN + 200]
    assert batch.latencies.tolist() == [500, 501, 499]
    assert batch.connections is not None
    assert batch.connections.tolist() == [1, 2, 3]
    assert batch.ordered


@pytest.mark.parametrize("ordered", [True, False])
def test_what_lies_behind_the_complete_prefix_is_left_out(tmp_path: Path, ordered: bool) -> None:
    write_recording(tmp_path, [0, 1, 1, 0], complete=3)
    batch = only_batch(tmp_path, ordered=ordered)
    assert variants(batch) == ["blue", "green", "green"]
    assert batch.ordered is ordered


def test_rows_come_in_order_of_sending_whatever_order_they_have(tmp_path: Path) -> None:
    columns = {"number": [2, 0, 1], "variant": ["c", "a", "b"], "status": [202, 200, 201]}
    batch = only_batch(written(tmp_path, columns))
    assert variants(batch) == ["a", "b", "c"]
    assert batch.statuses.tolist() == [200, 201, 202]


def test_of_other_peoples_files_only_the_variant_must_be_there(tmp_path: Path) -> None:
    batch = only_batch(written(tmp_path, {"variant": ["a", None, "b"]}))
    assert variants(batch) == ["a", None, "b"]
    assert batch.statuses.tolist() == [200] * 3
    assert batch.latencies.tolist() == [0] * 3
    assert batch.sent.tolist() == [0] * 3
    assert not batch.ordered  # nobody knows in which order they were sent


@pytest.mark.parametrize(
    "column",
    [
        pa.array([1, 2, None]),
        pa.array([True, False, None]),
        pa.array(["1", "2", None], pa.large_string()),
        pa.array(["1", "2", None]).dictionary_encode(),
    ],
)
def test_variants_may_be_of_any_simple_type(tmp_path: Path, column: Any) -> None:
    batch = only_batch(written(tmp_path, {"variant": column}))
    assert variants(batch)[2] is None
    assert len(set(variants(batch))) == 3


def test_nulls_are_what_is_not_known(tmp_path: Path) -> None:
    columns = {
        "number": pa.array([0, 1], pa.int64()),
        "variant": ["a", "a"],
        "status": pa.array([None, 404], pa.int16()),
        "latency_us": pa.array([None, 7], pa.int32()),
        "connection": pa.array([None, 3], pa.int32()),
        "sent": pa.array([None, BEGAN], pa.timestamp("us", "UTC")),
    }
    batch = only_batch(written(tmp_path, columns))
    assert batch.statuses.tolist() == [200, 404]
    assert batch.latencies.tolist() == [0, 7]
    assert batch.connections is not None
    assert batch.connections.tolist() == [0, 3]
    assert batch.sent.tolist() == [0, BEGAN]
    assert batch.sent.dtype == np.int64


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_times_may_be_of_any_resolution(tmp_path: Path, unit: str) -> None:
    sent = pa.array([BEGAN], pa.timestamp("us")).cast(pa.timestamp(unit))
    batch = only_batch(written(tmp_path, {"variant": ["a"], "sent": sent}))
    assert batch.sent.tolist() == [BEGAN]


def test_a_part_that_is_cut_is_left_out_unless_it_is_the_first(tmp_path: Path) -> None:
    write_recording(tmp_path, [0, 1] * 10, size=5)
    second = tmp_path / part_name(0, 1)
    second.write_bytes(second.read_bytes()[:-50])
    parts = parts_of(tmp_path)
    assert len(parts) == 3
    assert unread_parts(tmp_path, parts) == [second]
    first = tmp_path / part_name(0, 0)
    first.write_bytes(b"PAR1")
    with pytest.raises(InputError, match=f"{part_name(0, 0)} is no recording"):
        parts_of(tmp_path)


@pytest.mark.parametrize("facts", [b"no JSON", b"[1]", b"5", b'"text"', b"\xff"])
def test_facts_that_are_none_are_no_recording(tmp_path: Path, facts: bytes) -> None:
    with pytest.raises(InputError, match=r"theirs\.parquet is no recording"):
        parts_of(written(tmp_path, {"variant": ["a"]}, facts))


def test_what_cannot_be_read_is_refused_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="has no recording: it was to have part-"):
        parts_of(tmp_path)
    with pytest.raises(InputError, match="has no column variant, but color, n"):
        parts_of(written(tmp_path, {"color": ["a"], "n": [1]}))
    for column in ([["a"]], [{"a": 1}]):
        with pytest.raises(InputError, match=r"the column variant of .* has no names in it, but"):
            parts_of(written(tmp_path, {"variant": column}))
    (part,) = parts_of(written(tmp_path, {"variant": ["a"]}))
    part.path.unlink()
    with pytest.raises(InputError, match=r"theirs\.parquet cannot be read"):
        list(batches_of(part))


def test_a_file_of_no_requests_has_none(tmp_path: Path) -> None:
    file = written(tmp_path, {"variant": pa.array([], pa.string())})
    (part,) = parts_of(file)
    assert sum(len(batch.codes) for batch in batches_of(part)) == 0
