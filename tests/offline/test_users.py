"""Recordings and reports of runs whose draws are users."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from tests.support.recordings import draws, write_recording
from tests.support.users import shuffled, users_question, users_run
from trafficsplit.analysis.judge import judge
from trafficsplit.analysis.question import Question
from trafficsplit.analysis.split import Split
from trafficsplit.analysis.verdict import Verdict
from trafficsplit.offline.inquiry import run_and_notes
from trafficsplit.offline.runs import Recordings
from trafficsplit.report.run_files import write_run
from trafficsplit.settings.commands import parse_analyze
from trafficsplit.settings.options import ANALYZE, Texts

QUESTION = replace(users_question(), requests=30_000)


def requests_of(users: list[int], each: int = 3) -> list[int]:
    """Return the requests of users that stay, one after the other."""
    return [version for version in users for _ in range(each)]


def test_a_recording_of_users_is_judged_by_users(tmp_path: Path) -> None:
    write_recording(tmp_path / "r", requests_of(draws(6000, 0.25)), question=QUESTION)
    run = Recordings([tmp_path / "r"]).run(QUESTION)
    assert run.counted.users is not None
    assert (run.counted.users.number, run.counted.users.changed) == (6000, 0)
    assert run.tally.requests == 18_000
    assert judge(run).verdict is Verdict.MATCH
    assert judge(run).reason.startswith("The share of users is as configured, of 6,000 users")


def test_a_verdict_that_was_reached_on_the_way_stands(tmp_path: Path) -> None:
    users = [0, 0, 0, 1] * 1500 + [0] * 900
    write_recording(tmp_path / "r", requests_of(users), question=QUESTION)
    assert Recordings([tmp_path / "r"]).run(QUESTION).ending.decided is Verdict.MATCH


def test_another_question_about_a_recording_is_about_users_too(tmp_path: Path) -> None:
    write_recording(tmp_path / "r", requests_of(draws(2000, 0.25)), question=QUESTION)
    other = Question(Split({"blue": 50, "green": 50}), 0.02)
    judged = judge(Recordings([tmp_path / "r"]).run(other))
    assert judged.verdict is Verdict.MISMATCH
    assert "of 2,000 users" in judged.reason


def test_the_users_of_several_workers_are_apart(tmp_path: Path) -> None:
    for worker in (0, 1):
        codes = requests_of(draws(500, 0.25, seed=worker))
        write_recording(tmp_path / "r", codes, worker=worker, question=QUESTION)
    users = Recordings([tmp_path / "r"]).run(QUESTION).counted.users
    assert users is not None
    assert (users.number, users.changed) == (1000, 0)


def test_a_report_of_users_is_judged_again_by_users(tmp_path: Path) -> None:
    write_run(users_run(shuffled(bbb=1500, ggg=500)), tmp_path)
    asked = parse_analyze(Texts(ANALYZE, {"weight": "50"}), (str(tmp_path),))
    run, _ = run_and_notes(asked)
    judged = judge(run)
    assert judged.verdict is Verdict.MISMATCH
    assert "of 2,000 users" in judged.reason
