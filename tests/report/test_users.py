"""What the verdict document says of users."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest

import trafficsplit
from tests.support.runs import RUNS
from tests.support.users import shuffled, users_run
from trafficsplit.analysis.judge import judge
from trafficsplit.analysis.run import Run
from trafficsplit.report.document import VerdictDocument, document_of
from trafficsplit.report.page import page_of, series_of
from trafficsplit.report.pipelines import junit, summary
from trafficsplit.report.run_files import read_run, write_run
from trafficsplit.report.users import Move, users_in_words, users_section

SCHEMA = json.loads(
    Path(trafficsplit.__file__).with_name("report").joinpath("verdict.schema.json").read_text()
)


def document(run: Run) -> VerdictDocument:
    return document_of(run, judge(run))


def test_it_says_how_many_stayed_and_where_the_others_went() -> None:
    section = users_section(users_run(shuffled(bbb=70, ggg=20, bgg=9, bxb=1)))
    assert section is not None
    assert (section.number, section.requests) == (100, 3)
    assert (section.changed, section.with_losses) == (9, 1)
    assert section.moves == [Move("blue", "green", 9)]
    assert section.first_shares == {"blue": 0.80, "green": 0.20}
    assert section.last_shares == {"blue": 0.71, "green": 0.29}
    assert section.shares["green"] == pytest.approx(0.26)
    assert section.steady_since == 0
    assert section.change_evidence > 4
    assert section.leaving


def test_where_draws_are_no_users_there_is_nothing_to_say() -> None:
    assert users_section(RUNS["ordinary"]) is None
    assert document(RUNS["ordinary"]).of_users is None


@pytest.mark.parametrize(
    "users",
    [
        shuffled(bbb=4500, ggg=1500),
        shuffled(bbb=600, ggg=400, bgg=20, xxx=1),
        ["bbb"],
        ["brb"],
        [],
    ],
    ids=["match", "mismatch", "one user", "one that is not expected", "none"],
)
def test_every_verdict_on_users_fits_the_schema(users: list[str]) -> None:
    plain = json.loads(document(users_run(users)).as_json())
    jsonschema.validate(plain, SCHEMA)
    assert plain["unit"] == "user"


def test_intervals_and_tests_are_of_users() -> None:
    found = document(users_run(shuffled(bbb=300, ggg=100)))
    low, high = found.confidence["green"]
    assert high - low > 0.1
    assert found.chi_square.p_value == pytest.approx(1)
    assert found.diagnosis is None


def test_shares_and_charts_are_of_users() -> None:
    run = users_run(shuffled(bbb=300, ggg=90, bgg=10))
    found = document(run)
    assert found.shares["green"] == pytest.approx(90 / 400)
    charts = series_of(run, found)
    assert charts["shares"]["x"][-1] == 400
    assert charts["shares"]["y"]["green"][-1] == pytest.approx(90 / 400)


def test_a_pipeline_is_shown_whether_users_stay() -> None:
    stay = junit(document(users_run(shuffled(bbb=4500, ggg=1500))))
    leave = junit(document(users_run(shuffled(bbb=700, ggg=230, bgg=20))))
    assert "users stay with their version" in stay
    assert "20 of 950 users got another version" in leave
    assert leave.count("<failure") == stay.count("<failure") + 2  # the verdict, and why


def test_the_page_and_the_summary_say_how_many_stayed() -> None:
    run = users_run(shuffled(bbb=700, ggg=230, bgg=20, bxb=2))
    found = document(run)
    assert found.of_users is not None
    words = users_in_words(found.of_users)
    assert (
        words == "952 users asked 3 times each: 20 of them changed version, and 2 lost a request."
    )
    assert words in summary(found)
    assert words in page_of(run, found)
    stay = users_section(users_run(shuffled(bbb=700, ggg=230)))
    assert stay is not None
    assert users_in_words(stay).endswith("all of them stayed with their version.")
    assert "users asked" not in page_of(RUNS["ordinary"], document(RUNS["ordinary"]))


def test_a_run_of_users_comes_back_from_its_file(tmp_path: Path) -> None:
    run = users_run(shuffled(bbb=4500, ggg=1500, bgg=1))
    write_run(run, tmp_path)
    again = read_run(tmp_path)
    assert again.counted.users == run.counted.users
    assert judge(again) == judge(run)
