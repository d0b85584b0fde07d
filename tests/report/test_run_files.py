import csv
import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.refusals import attempted
from tests.support.runs import RUNS, having, made
from trafficsplit.analysis.judge import judge
from trafficsplit.analysis.latency import bounds_of
from trafficsplit.analysis.run import Gateway, Run, Stretch
from trafficsplit.analysis.tally import Tally
from trafficsplit.errors import InputError
from trafficsplit.report.run_files import (
    GATEWAYS,
    LATENCY,
    RUN,
    TALLY,
    read_run,
    write_gateways,
    write_latency,
    write_run,
    write_tally,
)


def rows(file: Path) -> list[dict[str, str]]:
    with file.open(newline="", encoding="utf-8") as lines:
        return list(csv.DictReader(lines))


def test_a_run_is_read_as_it_was_written(tmp_path: Path) -> None:
    run = made({"blue": 60, "green": 20, "red": 1}, errors=2, unidentified=1, interrupted="x")
    write_run(run, tmp_path)
    again = read_run(tmp_path)
    assert again.question == run.question
    assert again.tally == run.tally
    assert again.counted.latency == run.counted.latency
    assert judge(again) == judge(run)


@pytest.mark.parametrize("name", RUNS)
def test_the_tally_has_every_request_once(name: str, tmp_path: Path) -> None:
    run: Run = RUNS[name]
    write_tally(run, tmp_path / TALLY)
    found = rows(tmp_path / TALLY)
    assert len(found) == len(run.counted.stretches)
    for variant, count in run.tally.counts.items():
        assert sum(int(row[variant]) for row in found) == count
    assert sum(int(row["errors"]) for row in found) == run.tally.errors
    assert sum(int(row["unidentified"]) for row in found) == run.tally.unidentified
    assert [float(row["from_seconds"]) for row in found] == [0, 1]


def test_latency_is_told_by_variant_status_and_bucket(tmp_path: Path) -> None:
    run: Run = RUNS["ordinary"]
    write_latency(run, tmp_path / LATENCY)
    ((key, buckets),) = run.counted.latency.items()
    expected = []
    for bucket in sorted(buckets):
        low, high = bounds_of(bucket)
        expected.append((key.variant, key.status, str(low), str(high), str(buckets[bucket])))
    assert [tuple(row.values()) for row in rows(tmp_path / LATENCY)] == expected


def test_each_of_several_gateways_has_its_lines(tmp_path: Path) -> None:
    stretches = [Stretch(0, 1, Tally({"blue": 3})), Stretch(1, 2, Tally({"green": 1}, errors=1))]
    gateways = [Gateway("http://a", stretches), Gateway("http://b", stretches[:1])]
    run = having(made({"blue": 6, "green": 1}, errors=1), gateways=gateways)
    write_gateways(run, tmp_path / GATEWAYS)
    found = rows(tmp_path / GATEWAYS)
    assert [row["gateway"] for row in found] == ["http://a", "http://a", "http://b"]
    assert [row["blue"] for row in found] == ["3", "0", "3"]
    assert [row["errors"] for row in found] == ["0", "1", "0"]


def test_only_several_gateways_have_a_file(tmp_path: Path) -> None:
    write_run(RUNS["ordinary"], tmp_path)
    assert {file.name for file in tmp_path.iterdir()} == {RUN, TALLY, LATENCY}


@given(st.dictionaries(st.text(min_size=1, max_size=6), st.integers(1, 99), max_size=4))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_names_of_variants_survive_the_table(tmp_path: Path, counts: dict[str, int]) -> None:
    # What strangers answer may have commas, quotes and line ends in it.
    columns = {"from_seconds", "to_seconds", "errors", "unidentified"}
    named = {name: count for name, count in counts.items() if name not in columns}
    named = {name: count for name, count in named.items() if name.isprintable()}
    run = made({"blue": 1, "green": 1, **named})
    write_tally(run, tmp_path / TALLY)
    for name, count in run.tally.counts.items():
        assert sum(int(row[name]) for row in rows(tmp_path / TALLY)) == count


def test_there_is_no_run_in_an_empty_directory(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no run in"):
        read_run(tmp_path)


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "{}", '{"question": 1}', "\udcff"])
def test_a_damaged_run_is_one_line(tmp_path: Path, text: str) -> None:
    (tmp_path / RUN).write_text(text, "utf-8", "surrogateescape")
    with pytest.raises(InputError, match=r"the run in .* is damaged") as refusal:
        read_run(tmp_path)
    assert len(str(refusal.value).splitlines()) == 1


@given(st.data())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_damage_is_refused_or_leaves_a_run(tmp_path: Path, data: st.DataObject) -> None:
    write_run(made({"blue": 60, "green": 20}, errors=2), tmp_path)
    text = (tmp_path / RUN).read_text("utf-8")
    at = data.draw(st.integers(0, len(text) - 1))
    inserted = data.draw(st.sampled_from(["x", "", "-", "null", "{}", '"', "1e999", "NaN"]))
    (tmp_path / RUN).write_text(text[:at] + inserted + text[at + 1 :], "utf-8")
    found = attempted(lambda: read_run(tmp_path))
    assert isinstance(found, Run) or "damaged" in str(found)


def test_the_tables_are_for_people_and_not_read_again(tmp_path: Path) -> None:
    # Everything is in run.json; version 0.1 read the tables, and could read half of a run.
    run: Run = RUNS["lossy"]
    write_run(run, tmp_path)
    (tmp_path / TALLY).write_text("x")
    (tmp_path / LATENCY).unlink()
    assert read_run(tmp_path).tally == run.tally


def test_run_json_is_one_line_of_json(tmp_path: Path) -> None:
    write_run(RUNS["ordinary"], tmp_path)
    (line,) = (tmp_path / RUN).read_text("utf-8").splitlines()
    assert set(json.loads(line)) >= {"question", "subject", "counted", "ending"}


def test_a_run_that_was_edited_is_no_verdict(tmp_path: Path) -> None:
    write_run(RUNS["ordinary"], tmp_path)
    file = tmp_path / RUN
    plain = json.loads(file.read_text("utf-8"))
    for name in ("question", "counted", "ending"):
        edited = json.loads(json.dumps(plain))
        edited[name] = json.loads(json.dumps(edited[name]).replace("0.25", "0.6"))
        edited["ending"]["decided"] = "match"
        file.write_text(json.dumps(edited))
        with pytest.raises(InputError, match="it was changed after it was written"):
            read_run(tmp_path)
    plain["subject"]["host"] = "http://elsewhere"  # nothing rests on it
    file.write_text(json.dumps(plain))
    assert read_run(tmp_path).subject.host == "http://elsewhere"
