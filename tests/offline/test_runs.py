"""Recordings and counts: what is read is what was recorded, and judged as it was live."""

from __future__ import annotations

import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.support.recordings import QUESTION, draws, write_recording
from tests.support.runs import CANARY
from trafficsplit.analysis.judge import judge
from trafficsplit.analysis.question import Question
from trafficsplit.analysis.run import Run, Subject
from trafficsplit.analysis.sequential import SequentialTest
from trafficsplit.analysis.tally import Tally
from trafficsplit.analysis.verdict import Verdict
from trafficsplit.errors import InputError
from trafficsplit.load.parquet import part_name
from trafficsplit.offline.runs import Recordings, is_recording, run_of_tally, tally_of_counts


def recorded(*paths: Path) -> Run:
    return Recordings(paths).run(QUESTION)


def test_a_recording_is_counted_and_judged_by_its_own_question(tmp_path: Path) -> None:
    codes = draws(9000, 0.25)
    codes[17] = -1
    write_recording(tmp_path / "r", codes)
    recordings = Recordings([tmp_path / "r"])
    assert recordings.question() == QUESTION
    run = recordings.run(QUESTION)
    assert run.tally.counts == {"blue": codes.count(0), "green": codes.count(1)}
    assert (run.tally.errors, run.counted.losses) == (1, {"HTTP 503": 1})
    assert (run.subject.host, run.subject.path) == ("http://gateway", "/color")
    latencies = {}
    for key, buckets in run.counted.latency.items():
        latencies[key.variant, key.status] = sum(buckets.values())
    assert latencies == {
        ("blue", "2xx"): codes.count(0),
        ("green", "2xx"): codes.count(1),
        ("", "5xx"): 1,
    }
    assert run.counted.order.successive.pairs == 8998
    assert judge(run).verdict is Verdict.MATCH


def test_rows_behind_the_first_that_is_missing_are_not_counted(tmp_path: Path) -> None:
    """A crash loses what was on its way, and the slower variant's is likelier to be."""
    write_recording(tmp_path / "r", [0, 1] * 2500, complete=4321)
    assert recorded(tmp_path / "r").tally.requests == 4321


def test_a_recording_that_is_cut_is_read_up_to_the_cut(tmp_path: Path) -> None:
    write_recording(tmp_path / "r", draws(5000, 0.25))
    last = tmp_path / "r" / part_name(0, 4)
    last.write_bytes(last.read_bytes()[:-100])
    (tmp_path / "r" / f".{part_name(0, 5)}").write_bytes(b"PAR1 half")  # being written
    recordings = Recordings([tmp_path / "r"])
    assert recordings.notes == [f"{last.name} of {tmp_path / 'r'} cannot be read and is left out"]
    assert recordings.run(QUESTION).tally.requests == 4000


def test_workers_add_up(tmp_path: Path) -> None:
    write_recording(tmp_path / "r", draws(8000, 0.25), worker=0)
    write_recording(tmp_path / "r", draws(5000, 0.25, seed=2), worker=1, complete=4000)
    run = recorded(tmp_path / "r")
    assert run.tally.requests == 12_000
    assert judge(run).verdict is Verdict.MATCH


def test_several_recordings_are_one_run(tmp_path: Path) -> None:
    write_recording(tmp_path / "a", draws(3000, 0.25))
    write_recording(tmp_path / "b", draws(4000, 0.25, seed=2))
    assert recorded(tmp_path / "a", tmp_path / "b").tally.requests == 7000


def test_a_verdict_stands_but_not_against_all_the_evidence(tmp_path: Path) -> None:
    first = draws(12_000, 0.25)
    write_recording(tmp_path / "match", first + draws(600, 0.35))
    assert judge(recorded(tmp_path / "match")).verdict is Verdict.MATCH
    write_recording(tmp_path / "mismatch", first + draws(60_000, 0.45))
    assert judge(recorded(tmp_path / "mismatch")).verdict is Verdict.MISMATCH


def test_any_parquet_with_variants_will_do(tmp_path: Path) -> None:
    table = pa.table({"variant": ["blue"] * 3000 + ["green"] * 1000 + [None]})
    pq.write_table(table, tmp_path / "theirs.parquet")
    run = recorded(tmp_path / "theirs.parquet")
    assert run.tally.counts == {"blue": 3000, "green": 1000}
    assert run.tally.unidentified == 1
    assert Recordings([tmp_path / "theirs.parquet"]).question() is None
    pq.write_table(pa.table({"colour": ["blue"]}), tmp_path / "other.parquet")
    with pytest.raises(InputError, match="has no column variant, but colour"):
        recorded(tmp_path / "other.parquet")
    (tmp_path / "no.parquet").write_bytes(b"PAR1")
    with pytest.raises(InputError, match=r"no\.parquet is no recording"):
        recorded(tmp_path / "no.parquet")


def test_unknown_names_are_few_and_unexpected(tmp_path: Path) -> None:
    table = pa.table({"variant": [f"v{i}" for i in range(20_000)] + ["blue"] * 500})
    pq.write_table(table, tmp_path / "theirs.parquet")
    run = recorded(tmp_path / "theirs.parquet")
    assert len(run.tally.counts) <= 22
    assert run.tally.requests == 20_500
    assert judge(run).verdict is Verdict.MISMATCH


@pytest.mark.slow
def test_looks_are_as_many_as_needed_and_no_less(tmp_path: Path) -> None:
    """An exact replay: the verdict of a look after every response, however they were stored."""
    for seed in range(5):
        codes = draws(4000, 0.29, seed)
        test = SequentialTest.of(QUESTION)
        for code in codes:
            test.update({("blue", "green")[code]: 1})
        shutil.rmtree(tmp_path / "r", ignore_errors=True)
        write_recording(tmp_path / "r", codes, size=777)
        decided = recorded(tmp_path / "r").ending.decided
        assert decided == (None if test.verdict is Verdict.INCONCLUSIVE else test.verdict)


@pytest.mark.parametrize("question", ['{"split": {}}', '{"split": 5}', "[1]", '"text"'])
def test_a_damaged_question_is_refused(tmp_path: Path, question: str) -> None:
    facts = f'{{"question": {question}}}'.encode()
    table = pa.table({"variant": ["blue"]}).replace_schema_metadata({b"trafficsplit": facts})
    pq.write_table(table, tmp_path / "r.parquet")
    with pytest.raises(InputError, match=r"r\.parquet is damaged"):
        Recordings([tmp_path / "r.parquet"]).question()


def test_what_is_a_recording_is_known_by_what_is_in_it(tmp_path: Path) -> None:
    write_recording(tmp_path / "parts", [0, 1])
    report = tmp_path / "report"
    report.mkdir()
    assert not is_recording(report)
    (report / "requests.parquet").mkdir()
    assert is_recording(report)
    assert is_recording(tmp_path / "parts")
    assert is_recording(tmp_path / "parts" / part_name(0, 0))
    (tmp_path / "access.log").write_text("PAR2")
    assert not is_recording(tmp_path / "access.log")
    assert not is_recording(tmp_path / "nothing")


# --- bare counts ---


def verdict_of(text: str, question: Question = QUESTION) -> Verdict:
    tally = tally_of_counts(text, CANARY)
    subject = Subject("x", started_at="2026-11-24T00:00:00Z")
    return judge(run_of_tally(tally, question, subject)).verdict


def test_counts_of_millions_are_judged_by_the_size_of_the_deviation() -> None:
    assert verdict_of("blue=741_000_000,green=259_000_000") is Verdict.MATCH  # p = 0
    assert verdict_of("blue=720_000_000,green=280_000_000") is Verdict.MISMATCH
    assert verdict_of("blue=741,green=259") is Verdict.INCONCLUSIVE
    assert verdict_of("blue=7400,green=2600,errors=900") is Verdict.FAILING


@pytest.mark.parametrize("wrong", ["blue", "blue=", "=5", "blue=x", "blue=-1", "", "blue=0"])
def test_what_is_no_count_is_refused(wrong: str) -> None:
    with pytest.raises(InputError, match=r"--counts|the count of blue"):
        tally_of_counts(wrong, CANARY)


@pytest.mark.parametrize(
    ("text", "tally"),
    [
        ("blue=7,green=3", Tally({"blue": 7, "green": 3})),
        (" green = 1_000 , ", Tally({"blue": 0, "green": 1000})),
        ("red=5", Tally({"blue": 0, "green": 0, "red": 5})),
        ("blue=1k,errors=2,unidentified=3", Tally({"blue": 1000, "green": 0}, 2, 3)),
        ("blue=1,green=0", Tally({"blue": 1, "green": 0})),
    ],
)
def test_counts_are_read_as_they_are_typed(text: str, tally: Tally) -> None:
    assert tally_of_counts(text, CANARY) == tally


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("blue=1,blue=2", "blue twice"),
        ("blue=75.000,green=25.000", "may be 75 or 75000"),
        ("blue=1,errors=1,errors=2", "errors twice"),
    ],
)
def test_counts_that_may_mean_two_things_are_refused(text: str, said: str) -> None:
    with pytest.raises(InputError, match=said):
        tally_of_counts(text, CANARY)


def test_losses_of_bare_counts_have_a_reason() -> None:
    tally = Tally({"blue": 3}, errors=2, unidentified=1)
    run = run_of_tally(tally, QUESTION, Subject("x", elapsed=60.0))
    assert run.counted.losses == {"no 2xx answer": 2, "no variant is named": 1}
    assert run.counted.stretches[0].end == 60.0
    assert run.question.requests == 6
