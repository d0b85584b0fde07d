"""From what `analyze` is asked to a run."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import pytest

from tests.fakes.servers import always, plain, served
from tests.support.manifests import SUBSETS, reviews
from tests.support.recordings import QUESTION, draws, write_recording
from tests.support.runs import RUNS, made
from trafficsplit.analysis.judge import judge
from trafficsplit.analysis.run import Run
from trafficsplit.analysis.verdict import Verdict
from trafficsplit.errors import InputError
from trafficsplit.offline.inquiry import question_of, run_and_notes
from trafficsplit.report.run_files import write_run
from trafficsplit.settings.commands import AnalyzeSettings, parse_analyze
from trafficsplit.settings.options import ANALYZE, Texts

LINE = (
    '{{"path":"/color","response_code":{status},"start_time":"2026-11-24T10:20:12.415Z",'
    '"duration":7,"upstream_cluster":"outbound|8000|{subset}|color"}}\n'
)


def asked(*files: Path | str, **given: str) -> AnalyzeSettings:
    """Return what `trafficsplit analyze` is asked by these files and options."""
    return parse_analyze(Texts(ANALYZE, given), tuple(map(str, files)))


def run_of(*files: Path | str, **given: str) -> Run:
    run, _ = run_and_notes(asked(*files, **given))
    return run


def log(tmp_path: Path, *subsets: str) -> Path:
    """Write an access log of good answers from these subsets."""
    file = tmp_path / "access.log"
    file.write_text("".join(LINE.format(status=200, subset=subset) for subset in subsets))
    return file


def manifest(tmp_path: Path, blue: int = 75, green: int = 25) -> Path:
    """Write a VirtualService whose subsets are v1 and v2."""
    file = tmp_path / "m.yaml"
    file.write_text(SUBSETS + reviews(("v1", blue), ("v2", green)))
    return file


def test_bare_counts_are_judged() -> None:
    run = run_of(counts="blue=7500,green=2500", weight="25")
    assert run.tally.counts == {"blue": 7500, "green": 2500}
    assert run.subject.host == "--counts"
    assert run.subject.run_id
    assert judge(run).verdict is Verdict.MATCH


@pytest.mark.parametrize(
    ("option", "verdict"),
    [
        ({"requests": "20000"}, Verdict.MATCH),  # a budget is no other question
        ({"tolerance": "1"}, Verdict.INCONCLUSIVE),
        ({"alpha": "1e-10"}, Verdict.INCONCLUSIVE),
        ({"test": "fixed"}, Verdict.INCONCLUSIVE),  # of 27,000 requests
        ({"tolerance": "3"}, Verdict.MATCH),
    ],
)
def test_a_run_is_judged_by_what_is_asked_now(
    tmp_path: Path, option: dict[str, str], verdict: Verdict
) -> None:
    write_run(made({"blue": 4500, "green": 1500}, decided=Verdict.MATCH), tmp_path)
    assert judge(run_of(tmp_path)).verdict is Verdict.MATCH
    assert judge(run_of(tmp_path, **option)).verdict is verdict


def test_a_map_may_mean_names_of_the_manifest(tmp_path: Path) -> None:
    # Version 0.1 read the map for the log alone: a mismatch, as v1 and v2 never answered.
    file = manifest(tmp_path)
    run = run_of(counts="blue=7500,green=2500", manifest=str(file), map="v1=blue,v2=green")
    assert dict(run.question.split.weights) == {"blue": 0.75, "green": 0.25}
    assert judge(run).verdict is Verdict.MATCH


def test_a_map_may_mean_names_of_the_data_as_well(tmp_path: Path) -> None:
    file = log(tmp_path, *["subset-a", "subset-a", "subset-a", "subset-b"] * 2000)
    options = {"manifest": str(manifest(tmp_path))}
    run = run_of(file, **options, map="v1=blue,v2=green,subset-a=blue,subset-b=green")
    assert run.tally.counts == {"blue": 6000, "green": 2000}
    assert judge(run).verdict is Verdict.MATCH
    # The same subsets in manifest and log need be named once only.
    file = log(tmp_path, *["v1", "v1", "v1", "v2"] * 2000)
    run = run_of(file, **options, map="v1=blue,v2=green")
    assert run.tally.counts == {"blue": 6000, "green": 2000}
    assert judge(run).verdict is Verdict.MATCH
    run = run_of(file, weight="25", map="v1=blue,v2=green")
    assert judge(run).verdict is Verdict.MATCH


def test_a_manifest_may_come_on_standard_input(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO(manifest(tmp_path, 90, 10).read_text()))
    question = question_of(asked(counts="v1=1", manifest="-"))
    assert dict(question.split.weights) == {"v1": 0.9, "v2": 0.1}


def test_a_manifests_rule_is_that_of_the_path(tmp_path: Path) -> None:
    file = manifest(tmp_path)
    only = "  - match: [{uri: {exact: /color}}]\n    route:"
    file.write_text(file.read_text().replace("  - route:", only))
    assert question_of(asked(counts="v1=1", manifest=str(file))).split["v2"] == 0.25
    with pytest.raises(InputError, match="no rule of it takes /other"):
        question_of(asked(counts="v1=1", manifest=str(file), path="/other"))


def test_without_a_split_nothing_can_be_expected() -> None:
    with pytest.raises(InputError, match="no split to expect: give --weight 25"):
        run_of(counts="blue=1,green=1")


def test_a_recording_has_its_own_question_unless_another_is_asked(tmp_path: Path) -> None:
    write_recording(tmp_path / "r", draws(9000, 0.25))
    assert judge(run_of(tmp_path / "r")).verdict is Verdict.MATCH
    assert run_of(tmp_path / "r").question.split == QUESTION.split
    assert judge(run_of(tmp_path / "r", weight="40")).verdict is Verdict.MISMATCH


def test_a_reports_directory_is_judged_again(tmp_path: Path) -> None:
    write_run(RUNS["ordinary"], tmp_path)
    run = run_of(tmp_path)
    assert run.tally == RUNS["ordinary"].tally
    assert run.subject.run_id != RUNS["ordinary"].subject.run_id
    other = run_of(tmp_path, weight="40")
    assert other.question.split["green"] == 0.4
    assert other.ending.decided is None
    assert judge(other).verdict is Verdict.MISMATCH


def test_logs_are_judged_and_notes_say_what_was_left_out(tmp_path: Path) -> None:
    file = log(tmp_path, *["blue-sub", "blue-sub", "blue-sub", "green-sub"] * 2000)
    file.write_text(file.read_text() + "the proxy's own words\n")
    run, notes = run_and_notes(asked(file, weight="25", path="/color"))
    assert judge(run).verdict is Verdict.MATCH
    assert notes == ["1 lines are left out: no requests"]
    with pytest.raises(InputError, match="has no requests for /other"):
        run_of(file, weight="25", path="/other")


def test_prometheus_is_asked() -> None:
    result = []
    for name, value in (("blue", "750"), ("green", "250")):
        samples = [[0, "0"], [60, value]]
        result.append({"metric": {"version": name, "code": "200"}, "values": samples})
    data = {"resultType": "matrix", "result": result}
    body = json.dumps({"status": "success", "data": data}).encode()
    with served(always(plain(body))) as port:
        run = run_of(prometheus=f"http://127.0.0.1:{port}", weight="25")
    assert run.tally.counts == {"blue": 750, "green": 250}
    assert run.subject.elapsed == 60.0


def test_what_cannot_be_judged_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="what is to be judged"):
        asked()
    with pytest.raises(InputError, match="what is to be judged"):
        asked("x", counts="blue=1")
    with pytest.raises(InputError, match="there is no nothing"):
        run_of("nothing", weight="25")
    with pytest.raises(InputError, match="has no recording and no report in it"):
        run_of(tmp_path, weight="25")
    write_recording(tmp_path / "r", [0, 1])
    with pytest.raises(InputError, match="cannot be judged as one"):
        run_of(tmp_path / "r", log(tmp_path, "v1"), weight="25")
    (tmp_path / "report").mkdir()
    (tmp_path / "report" / "run.json").write_text("{}")
    with pytest.raises(InputError, match="is damaged, or of another version"):
        run_of(tmp_path / "report")
