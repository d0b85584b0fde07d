"""The verdict as pipelines read it, and that no stranger gives orders in it."""

import dataclasses
import datetime
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from junitparser import JUnitXml, TestSuite

from tests.support.runs import RUNS, having, made
from trafficsplit.analysis.comparison import Comparison, Limit
from trafficsplit.analysis.independence import Draws
from trafficsplit.analysis.judge import judge
from trafficsplit.analysis.run import Run
from trafficsplit.analysis.verdict import Verdict
from trafficsplit.report import pipelines
from trafficsplit.report.document import VerdictDocument, document_of


def document(run: Run) -> VerdictDocument:
    return document_of(run, judge(run))


def suite_of(found: VerdictDocument) -> TestSuite:
    (suite,) = JUnitXml.fromstring(pipelines.junit(found).encode())
    return suite


HOSTILE = st.text(st.characters(codec="utf-8"), max_size=40) | st.sampled_from(
    [
        "]]>",
        "a|b\n::error::c",
        "`x`",
        "<img src=x onerror=alert(1)>",
        "[x](javascript:1)",
        "\x1b[31m",
        "::set-output name=a::b",
        "\u2028",
        "%0A::error::",
        "@everyone",
        "| x |\n|---|",
    ]
)


@settings(max_examples=40)
@given(HOSTILE, HOSTILE)
def test_no_stranger_gives_orders_to_a_pipeline(first: str, second: str) -> None:
    run = having(
        made({"blue": 60, "green": 20, f"v{first}": 1}, errors=9),
        host=f"http://{first}",
        losses={second: 9},
        command=f"x {second}",
    )
    judgement = judge(run)
    hostile = dataclasses.replace(judgement, reason=judgement.reason + second)
    verdict = document_of(run, hostile)
    suite = suite_of(verdict)
    assert next(iter(suite)).name == "verdict"
    assert suite.failures + suite.errors > 0
    lines = pipelines.summary(verdict).splitlines()
    plain = document_of(made({"blue": 60, "green": 20, "v": 1}, errors=9), judgement)
    extra = 2 + 3 + (not judgement.reason)  # the command, and what was lost
    assert len(lines) <= len(pipelines.summary(plain).splitlines()) + extra
    for line in lines:
        if not line.startswith("`"):  # a command, which is shown as it is
            assert "<" not in line
            assert "](" not in line
        else:
            assert line.count("`") == 2
    told = pipelines.annotation(verdict)
    assert len(told.splitlines()) == 1
    assert told.startswith("::error title=")


@pytest.mark.parametrize("name", RUNS)
def test_junit_fails_where_the_verdict_does(name: str) -> None:
    verdict = document(RUNS[name])
    suite = suite_of(verdict)
    bad = suite.failures + suite.errors
    assert (bad == 0) == (verdict.verdict is Verdict.MATCH), verdict.reason
    names = [case.name for case in suite]
    for variant, weight in verdict.expected.items():
        assert f"{variant}: weight {100 * weight:g} %" in names
    assert len(set(names)) == len(names)


def results(found: VerdictDocument) -> dict[str, list[str]]:
    """Return the kinds of each case's results, by its name."""
    return {case.name: [type(one).__name__ for one in case.result] for case in suite_of(found)}


def test_a_mismatch_is_a_failure_of_the_variants_that_are_off() -> None:
    found = results(document(made({"blue": 6400, "green": 1600})))
    assert found["verdict"] == ["Failure"]
    assert found["green: weight 25 %"] == ["Failure"]
    fine = results(document(made({"blue": 6000, "green": 2000})))
    assert set(map(tuple, fine.values())) == {()}


def test_where_nothing_is_known_variants_are_skipped() -> None:
    found = results(document(made({"blue": 75, "green": 25})))
    assert found["verdict"] == ["Error"]
    assert found["green: weight 25 %"] == ["Skipped"]
    unreachable = results(document(made({}, unreachable="nothing listens there")))
    assert unreachable["verdict"] == ["Error"]
    assert unreachable["at most 1 % of requests lost"] == ["Failure"]


def test_thresholds_are_cases_of_their_own() -> None:
    exceeded = Limit.EXCEEDED
    worse = Comparison("blue", "green", 3.0, 0.001, 0.001, None, 0.001, exceeded, exceeded)
    verdict = dataclasses.replace(
        document(made({"blue": 6000, "green": 2000}, errors=400)), comparison=[worse]
    )
    found = results(verdict)
    assert found["at most 1 % of requests lost"] == ["Failure"]
    assert found["independent draws"] == []
    assert found["p99 of green against blue"] == ["Failure"]
    assert found["errors of green against blue"] == ["Failure"]
    left_open = dataclasses.replace(worse, p99_limit=Limit.OPEN, errors_limit=Limit.OPEN)
    unknown = results(dataclasses.replace(verdict, comparison=[left_open]))
    assert unknown["p99 of green against blue"] == ["Error"]
    assert unknown["errors of green against blue"] == ["Error"]
    fine = dataclasses.replace(worse, p99_limit=Limit.KEPT, errors_limit=Limit.UNSET)
    better = results(dataclasses.replace(verdict, comparison=[fine]))
    assert better["p99 of green against blue"] == better["errors of green against blue"] == []


def test_clustered_draws_are_an_error_by_name() -> None:
    verdict = document(made({"blue": 6000, "green": 2000}))
    clustered = dataclasses.replace(
        verdict.independence, draws=Draws.CLUSTERED, reason="they stick"
    )
    (case,) = [
        case
        for case in suite_of(dataclasses.replace(verdict, independence=clustered))
        if case.name == "independent draws"
    ]
    assert "they stick" in str(case.result[0].message)


def test_the_suite_has_the_runs_times() -> None:
    verdict = document(RUNS["ordinary"])
    suite = suite_of(verdict)
    assert suite.time == pytest.approx(verdict.elapsed_seconds)
    assert datetime.datetime.fromisoformat(suite.timestamp).year == 2026


@pytest.mark.parametrize("name", RUNS)
def test_the_summary_has_a_line_for_each_variant(name: str) -> None:
    verdict = document(RUNS[name])
    lines = pipelines.summary(verdict).splitlines()
    assert lines[0].startswith("## ")
    assert f" {verdict.verdict}: " in lines[0]
    for variant, count in verdict.observed.items():
        assert [
            line for line in lines if line.startswith(f"| {variant} |") and f" {count:,} |" in line
        ]


def test_the_summary_says_what_is_proven() -> None:
    assert "Proven within 0." in pipelines.summary(
        document(made({"blue": 60_000, "green": 20_000}))
    )
    assert "Proven" not in pipelines.summary(document(made({"blue": 3, "green": 1})))


@pytest.mark.parametrize(
    ("run", "level"),
    [
        (made({"blue": 6000, "green": 2000}), "notice"),
        (made({"blue": 75, "green": 25}), "warning"),
        (made({"blue": 9, "red": 1}), "error"),
        (made({}, unreachable="nothing listens there"), "error"),
    ],
)
def test_an_annotation_is_as_loud_as_the_verdict(run: Run, level: str) -> None:
    assert pipelines.annotation(document(run)).startswith(f"::{level} title=trafficsplit%3A ")


def test_github_is_told_in_its_own_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    verdict = document(made({"blue": 600, "green": 400}))
    pipelines.tell_github(verdict)
    assert capsys.readouterr().err == ""
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / "summary.md"))
    (tmp_path / "summary.md").write_text("before\n")
    pipelines.tell_github(verdict)
    assert capsys.readouterr().err.startswith("::error title=trafficsplit%3A mismatch::green gets")
    assert (tmp_path / "summary.md").read_text() == "before\n" + pipelines.summary(verdict)
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path))
    pipelines.tell_github(verdict)
    assert "cannot be written" in capsys.readouterr().err


def test_both_files_are_written(tmp_path: Path) -> None:
    verdict = document(RUNS["ordinary"])
    pipelines.write(verdict, tmp_path)
    assert (tmp_path / pipelines.JUNIT).read_text("utf-8") == pipelines.junit(verdict)
    assert (tmp_path / pipelines.SUMMARY).read_text("utf-8") == pipelines.summary(verdict)


def test_the_summary_says_how_often_a_verdict_is_wrong_and_a_releases_step_says_both() -> None:
    ordinary = document(RUNS["ordinary"])
    said = "Each verdict is wrong with a probability of at most 0.01."
    assert said in pipelines.summary(ordinary)
    step = dataclasses.replace(ordinary, alpha=0.006, mismatch_alpha=0.00027)
    assert "A match is wrong with a probability of at most 0.006, a mismatch of at most" in (
        pipelines.summary(step)
    )
