"""Every request kept: parts that are whole, in order, and no verdict lost for them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from tests.support.engines import turned_until
from tests.support.runs import CANARY
from trafficsplit.analysis.kinds import Kind, Outcome
from trafficsplit.errors import InputError
from trafficsplit.load import recorder as module
from trafficsplit.load.counting import Counter, Ended
from trafficsplit.load.parquet import KEY, RECORDING, part_name
from trafficsplit.load.recorder import FEWEST, Recorder

FACTS = {"started_at": "2026-01-01T00:00:00.000Z", "path": "/color"}
GREEN = Kind(Outcome.IDENTIFIED, "green", gateway=1)
LOST = Kind(Outcome.ERROR, "", "none", 0, 0)


class Recorded:
    """A recorder, and a counter whose requests it is shown."""

    def __init__(self, directory: Path, worker: int = 0) -> None:
        self.counter = Counter(CANARY, gateways=("http://a", "http://b"), on_ended=self._add)
        self.recorder = Recorder(directory, worker, FACTS, self.counter.gateways)
        self.elapsed = 0.0

    def _add(self, ended: Ended) -> None:
        self.recorder.add(ended, list(self.counter.kinds), self.elapsed)

    def end(self, kind: Kind, number: int = 1, *, latency: float = 0.002) -> None:
        """Send requests, end them, and count them."""
        for _ in range(number):
            ticket = self.counter.take(7)
            self.counter.count(ticket, self.counter.code_of(kind), self.elapsed, latency, 2000)
        self.counter.flush()

    def close(self) -> None:
        self.counter.flush()
        self.recorder.close(list(self.counter.kinds))


def parts(directory: Path) -> list[str]:
    return sorted(file.name for file in (directory / RECORDING).iterdir())


def rows(directory: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for name in parts(directory):
        found += pq.read_table(directory / RECORDING / name).to_pylist()
    return found


def test_every_request_is_kept_with_what_is_known_of_it(tmp_path: Path) -> None:
    recorded = Recorded(tmp_path)
    recorded.elapsed = 0.25
    recorded.end(GREEN)
    recorded.end(LOST)
    recorded.close()
    assert recorded.recorder.trouble == ""
    green, lost = rows(tmp_path)
    assert green["sent"].isoformat() == "2026-01-01T00:00:00.250000+00:00"
    assert [green[name] for name in ("number", "variant", "status", "gateway", "bytes")] == [
        0,
        "green",
        200,
        "http://b",
        2000,
    ]
    assert (green["latency_us"], green["connection"]) == (2000, 7)
    assert [lost[name] for name in ("number", "variant", "status", "gateway")] == [
        1,
        None,
        0,
        "http://a",
    ]
    metadata = pq.read_schema(tmp_path / RECORDING / part_name(0, 0)).metadata
    assert metadata is not None
    assert json.loads(metadata[KEY]) == {**FACTS, "complete": 2}


def test_parts_are_written_while_the_run_goes_on(tmp_path: Path) -> None:
    recorded = Recorded(tmp_path)
    recorded.end(GREEN, 10)
    assert parts(tmp_path) == []
    recorded.elapsed = 1.5
    recorded.end(GREEN, 10)
    assert turned_until(lambda: parts(tmp_path) == [part_name(0, 0)])
    recorded.elapsed = 2.0
    recorded.end(GREEN, 10)
    recorded.close()
    assert parts(tmp_path) == [part_name(0, 0), part_name(0, 1)]
    assert [row["number"] for row in rows(tmp_path)] == list(range(30))


@pytest.mark.slow
def test_enough_requests_are_a_part_before_its_time(tmp_path: Path) -> None:
    recorded = Recorded(tmp_path)
    recorded.end(GREEN, FEWEST)
    assert turned_until(lambda: parts(tmp_path) == [part_name(0, 0)])
    recorded.close()
    assert len(rows(tmp_path)) == FEWEST


def test_a_latency_beyond_all_measure_is_the_largest(tmp_path: Path) -> None:
    recorded = Recorded(tmp_path)
    recorded.end(GREEN, latency=1e6)
    recorded.close()
    assert rows(tmp_path)[0]["latency_us"] == 2**31 - 1


def test_workers_have_parts_of_their_own_and_older_ones_are_replaced(tmp_path: Path) -> None:
    for worker in (0, 1):
        recorded = Recorded(tmp_path, worker)
        recorded.end(GREEN, 3)
        recorded.close()
    assert parts(tmp_path) == [part_name(0, 0), part_name(1, 0)]
    again = Recorded(tmp_path, 1)
    assert parts(tmp_path) == [part_name(0, 0)]
    again.close()
    assert parts(tmp_path) == [part_name(0, 0)]  # a part of nothing is none


def test_a_directory_that_cannot_be_made_is_refused_at_once(tmp_path: Path) -> None:
    (tmp_path / RECORDING).write_text("in the way")
    with pytest.raises(InputError, match=r"cannot be written .*without --record"):
        Recorded(tmp_path)


def failing(message: str) -> Callable[..., None]:
    def write_table(_: object, path: Path, **__: object) -> None:
        path.write_bytes(b"half of it")
        raise OSError(28, message)

    return write_table


def test_a_full_disk_ends_the_recording_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorded = Recorded(tmp_path)
    recorded.end(GREEN, 5)
    monkeypatch.setattr(pq, "write_table", failing("No space left on device"))
    recorded.close()
    assert recorded.recorder.trouble == "No space left on device"
    assert parts(tmp_path) == []  # no half of one either
    recorded.end(GREEN, 5)
    assert recorded.counter.tally.requests == 10
    recorded.close()


def test_a_disk_that_is_slower_than_the_gateway_ends_the_recording(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Busy:
        """A writing that does not end."""

        def ready(self) -> bool:
            return False

        def wait(self) -> None:
            """Do not wait."""

    monkeypatch.setattr(module, "MOST_WAITING", 100)
    recorded = Recorded(tmp_path)
    recorded.recorder._job = Busy()
    recorded.elapsed = 5.0
    recorded.end(GREEN, 100)
    assert recorded.recorder.trouble == ""
    recorded.end(GREEN, 1)
    assert recorded.recorder.trouble == "the disk was slower than the gateway"
    recorded.close()
    assert parts(tmp_path) == []


def test_the_parts_tell_which_prefix_of_them_is_complete(tmp_path: Path) -> None:
    recorded = Recorded(tmp_path)
    first = recorded.counter.take()
    recorded.end(GREEN, 3)
    recorded.elapsed = 2.0
    recorded.end(GREEN, 1)
    assert turned_until(lambda: parts(tmp_path) == [part_name(0, 0)])
    recorded.counter.count(first, recorded.counter.code_of(LOST), 0.0, 2.0)
    recorded.close()
    complete = []
    for name in parts(tmp_path):
        metadata = pq.read_schema(tmp_path / RECORDING / name).metadata
        assert metadata is not None
        complete.append(json.loads(metadata[KEY])["complete"])
    assert complete == [0, 5]
    assert np.array([row["number"] for row in rows(tmp_path)]).tolist() == [1, 2, 3, 4, 0]
