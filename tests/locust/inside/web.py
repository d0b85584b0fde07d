"""Our tab in Locust's web page, its data, and the page of charts."""

from __future__ import annotations

import sys
from typing import Any

import pytest
from flask.testing import FlaskClient
from locust.argument_parser import parse_options

from tests.support.counting import BLUE, GREEN, count, taken
from tests.support.environments import environment, plan, session
from trafficsplit.locust.session import Session
from trafficsplit.locust.web import KEY, extend

Run = tuple[Session, FlaskClient, str]


@pytest.fixture(params=["", "/base"])
def run(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Run:
    """A run with four answers, a browser of its page, and where the page is."""
    monkeypatch.setattr(sys, "argv", ["locust"])  # the page reads it once more
    base: str = request.param
    within = environment(**{**vars(parse_options([])), "web_base_path": base})
    within.create_web_ui("127.0.0.1", 0, web_base_path=base or None, delayed_start=True)
    own = session(plan(), within=within)
    extend(within, lambda: own)
    assert within.web_ui is not None
    assert within.web_ui.app is not None
    own.counter.began = 1.0
    for number, kind in enumerate((BLUE, BLUE, BLUE, GREEN)):
        count(own.counter, taken(own.counter), kind, number / 2)
    assert within.web_ui.app is not None
    return own, within.web_ui.app.test_client(), base


def test_the_state_is_there_as_json(run: Run) -> None:
    own, browser, base = run
    shown: Any = browser.get(f"{base}/trafficsplit/data").json
    assert shown["observed"] == {"blue": 3, "green": 1}
    assert shown["running"] is True
    assert [point["responses"] for point in shown["series"]] == [4]
    own.finished = True
    assert own.counter.tally.requests == 4


def test_before_a_run_there_is_no_history(run: Run) -> None:
    own, browser, base = run
    own.counter.began = 0.0
    shown: Any = browser.get(f"{base}/trafficsplit/data").json
    assert (shown["running"], shown["series"]) == (False, [])


def test_the_history_can_be_downloaded(run: Run) -> None:
    _, browser, base = run
    browser.get(f"{base}/trafficsplit/data")
    answer = browser.get(f"{base}/trafficsplit/csv")
    assert answer.mimetype == "text/csv"
    assert "traffic-split.csv" in answer.headers["Content-Disposition"]
    lines = answer.text.splitlines()
    assert len(lines) == 2
    assert lines[0].startswith("elapsed_seconds,responses")


@pytest.mark.parametrize("name", ["", "static/tab.js", "static/live.js"])
def test_the_page_of_charts_and_its_files_are_served(run: Run, name: str) -> None:
    _, browser, base = run
    with browser.get(f"{base}/trafficsplit/{name}") as answer:
        assert answer.status_code == 200
        assert answer.data


@pytest.mark.parametrize("name", ["nothing.js", "../web.py", "%2e%2e/web.py", "..%2fweb.py"])
def test_nothing_else_is(run: Run, name: str) -> None:
    _, browser, base = run
    assert browser.get(f"{base}/trafficsplit/static/{name}").status_code == 404


def test_locusts_own_data_has_our_table(run: Run) -> None:
    _, browser, base = run
    shown: Any = browser.get(f"{base}/stats/requests").json
    (table,) = shown["extended_stats"]
    assert table["key"] == KEY
    assert [row["what"] for row in table["data"]][:3] == ["verdict: inconclusive", "blue", "green"]
    assert "stats" in shown


def test_locusts_own_page_has_our_script(run: Run) -> None:
    _, browser, base = run
    text = browser.get(f"{base}/").text
    assert text.count("./trafficsplit/static/tab.js") == 1
    assert "Traffic split" in text
