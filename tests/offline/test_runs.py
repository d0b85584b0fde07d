"""Recordings: what is read is what was recorded, whole or cut, and judged as it was live."""

import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as parquet
import pytest

from trafficsplit.analysis.judge import judge
from trafficsplit.analysis.planning import planned
from trafficsplit.analysis.question import Question
from trafficsplit.analysis.run import question_as_plain
from trafficsplit.analysis.split import Split
from trafficsplit.analysis.verdict import Verdict
from trafficsplit.errors import InputError
from trafficsplit.load.parquet import part_name, table_of
from trafficsplit.offline.runs import Recorded, run_of_tally, tally_of_counts

SPLIT = Split({"blue": 75, "green": 25})
QUESTION = planned(Question(SPLIT, 0.02))


def write(directory: Path, codes: list[int], *, size: int = 1000, complete: int | None = None,
          worker: int = 0) -> None:  # fmt: skip
    """A recording of these variants (0 blue, 1 green, −1 nobody), in order of sending."""
    directory.mkdir(exist_ok=True)
    for number, start in enumerate(range(0, len(codes), size)):
        part = np.array(codes[start : start + size])
        n = len(part)
        numbers = start + np.arange(n)
        columns = {
            "number": numbers, "sent": 1_800_000_000_000_000 + 100 * numbers,
            "variant": (part, ["blue", "green"]), "status": np.where(part < 0, 503, 200),
            "latency_us": 500 + part, "connection": 1 + numbers % 8,
            "gateway": (np.zeros(n, int), ["http://gateway"]), "bytes": np.full(n, 1200),
        }  # fmt: skip
        facts = {
            "host": "http://gateway", "path": "/color", "question": question_as_plain(QUESTION),
            "complete": start + n if complete is None else min(complete, start + n),
        }  # fmt: skip
        parquet.write_table(table_of(columns, facts), directory / part_name(worker, number))


def draws(n: int, share: float, seed: int = 1) -> list[int]:
    return (np.random.default_rng(seed).random(n) < share).astype(int).tolist()


def test_a_recording_is_counted_and_judged_by_its_own_question(tmp_path: Path) -> None:
    codes = draws(9000, 0.25)
    codes[17] = -1
    write(tmp_path / "r", codes)
    found = Recorded([tmp_path / "r"])
    assert found.question() == QUESTION
    run = found.run(QUESTION)
    assert run.tally.counts == {"blue": codes.count(0), "green": codes.count(1)}
    assert (run.tally.errors, run.losses) == (1, {"HTTP 503": 1})
    assert (run.host, run.path) == ("http://gateway", "/color")
    assert {(k.variant, k.status): sum(b.values()) for k, b in run.latency.items()} == {
        ("blue", "2xx"): codes.count(0), ("green", "2xx"): codes.count(1), ("", "5xx"): 1,
    }  # fmt: skip
    assert run.order.successive.pairs == 8998
    assert judge(run).verdict is Verdict.MATCH


def test_rows_behind_the_first_that_is_missing_are_not_counted(tmp_path: Path) -> None:
    """A crash loses what was on its way, and the slower variant's is likelier to be."""
    write(tmp_path / "r", [0, 1] * 2500, complete=4321)
    assert Recorded([tmp_path / "r"]).run(QUESTION).tally.requests == 4321


def test_a_recording_that_is_cut_is_read_up_to_the_cut(tmp_path: Path) -> None:
    write(tmp_path / "r", draws(5000, 0.25))
    last = tmp_path / "r" / part_name(0, 4)
    last.write_bytes(last.read_bytes()[:-100])
    (tmp_path / "r" / f".{part_name(0, 5)}").write_bytes(b"PAR1 half")  # being written
    found = Recorded([tmp_path / "r"])
    assert found.notes == [f"{last.name} of {tmp_path / 'r'} cannot be read and is left out"]
    assert found.run(QUESTION).tally.requests == 4000


def test_workers_add_up(tmp_path: Path) -> None:
    write(tmp_path / "r", draws(5000, 0.25), worker=0)
    write(tmp_path / "r", draws(3000, 0.25, seed=2), worker=1, complete=2000)
    run = Recorded([tmp_path / "r"]).run(QUESTION)
    assert run.tally.requests == 7000
    assert judge(run).verdict is Verdict.MATCH


def test_a_verdict_stands_but_not_against_all_the_evidence(tmp_path: Path) -> None:
    first = draws(12_000, 0.25)
    write(tmp_path / "match", first + draws(600, 0.35))
    found = judge(Recorded([tmp_path / "match"]).run(QUESTION))
    assert found.verdict is Verdict.MATCH
    write(tmp_path / "mismatch", first + draws(60_000, 0.45))
    found = judge(Recorded([tmp_path / "mismatch"]).run(QUESTION))
    assert found.verdict is Verdict.MISMATCH


def test_any_parquet_with_variants_will_do(tmp_path: Path) -> None:
    table = pa.table({"variant": ["blue"] * 3000 + ["green"] * 1000 + [None]})
    parquet.write_table(table, tmp_path / "theirs.parquet")
    run = Recorded([tmp_path / "theirs.parquet"]).run(QUESTION)
    assert run.tally.counts == {"blue": 3000, "green": 1000}
    assert run.tally.unidentified == 1
    parquet.write_table(pa.table({"colour": ["blue"]}), tmp_path / "other.parquet")
    with pytest.raises(InputError, match="has no column variant, but colour"):
        Recorded([tmp_path / "other.parquet"]).run(QUESTION)
    (tmp_path / "no.parquet").write_bytes(b"PAR1")
    with pytest.raises(InputError, match=r"no\.parquet is no recording"):
        Recorded([tmp_path / "no.parquet"])


def test_strangers_are_few_and_unexpected(tmp_path: Path) -> None:
    table = pa.table({"variant": [f"v{i}" for i in range(20_000)] + ["blue"] * 500})
    parquet.write_table(table, tmp_path / "theirs.parquet")
    run = Recorded([tmp_path / "theirs.parquet"]).run(QUESTION)
    assert len(run.tally.counts) <= 22
    assert run.tally.requests == 20_500
    assert judge(run).verdict is Verdict.MISMATCH


def test_counts_of_millions_are_judged_by_the_size_of_the_deviation() -> None:
    def verdict(text: str) -> Verdict:
        tally = tally_of_counts(text, SPLIT)
        run = run_of_tally(tally, QUESTION, host="x", started_at="2026-11-24T00:00:00Z")
        return judge(run).verdict

    assert verdict("blue=741_000_000,green=259_000_000") is Verdict.MATCH  # p = 0
    assert verdict("blue=720_000_000,green=280_000_000") is Verdict.MISMATCH
    assert verdict("blue=741,green=259") is Verdict.INCONCLUSIVE
    assert verdict("blue=7400,green=2600,errors=900") is Verdict.FAILING
    for wrong in ("blue", "blue=x", "blue=-1", "", "blue=0"):
        with pytest.raises(InputError, match="--counts"):
            tally_of_counts(wrong, SPLIT)


def test_looks_are_as_many_as_needed_and_no_less(tmp_path: Path) -> None:
    """An exact replay: the verdict of a look after every response, however they were stored."""
    from trafficsplit.analysis.sequential import SequentialTest

    for seed in range(5):
        codes = draws(4000, 0.29, seed)
        test = SequentialTest.of(QUESTION)
        for code in codes:
            test.update({("blue", "green")[code]: 1})
        shutil.rmtree(tmp_path / "r", ignore_errors=True)
        write(tmp_path / "r", codes, size=777)
        run = Recorded([tmp_path / "r"]).run(QUESTION)
        assert run.decided == ("" if test.verdict is Verdict.INCONCLUSIVE else str(test.verdict))
