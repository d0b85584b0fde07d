"""The state of a running load, as the live page and Locust's tab show it."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from typing import Any

import pytest

from tests.support.counting import BLUE, ERROR, GREEN, UNIDENTIFIED, count, taken
from tests.support.environments import plan, session
from trafficsplit.analysis.kinds import Kind
from trafficsplit.locust.live import (
    COLUMNS,
    MOST_POINTS,
    History,
    csv_of,
    evidence,
    rows,
    state,
)
from trafficsplit.locust.session import Session
from trafficsplit.settings.question import Limits


def begun(*kinds: Kind, **given: Any) -> Session:
    """Return a run that goes on, and has counted requests half a second apart."""
    own = session(plan(**given))
    own.counter.began = 1.0
    send(own, kinds)
    return own


def send(own: Session, kinds: Sequence[Kind], sent_at: float = 0.0) -> None:
    for number, kind in enumerate(kinds):
        reason = "HTTP 503" if kind is ERROR else ""
        at = sent_at + number / 2
        count(own.counter, taken(own.counter), kind, at, latency=0.1, reason=reason)
    own.counter.flush()


def test_the_state_is_plain_and_whole() -> None:
    own = begun(BLUE, BLUE, BLUE, GREEN, ERROR, UNIDENTIFIED)
    shown = json.loads(json.dumps(state(own, History())))
    assert shown["running"] is True
    assert shown["observed"] == {"blue": 3, "green": 1}
    assert shown["shares"] == {"blue": 0.75, "green": 0.25}
    assert (shown["requests"], shown["errors"], shown["unidentified"]) == (6, 1, 1)
    assert shown["losses"] == {"HTTP 503": 1}
    assert shown["expected"] == {"blue": 0.75, "green": 0.25}
    assert shown["tolerances"] == {"blue": 0.02, "green": 0.02}
    low, high = shown["confidence"]["green"]
    assert low < 0.25 < high
    assert shown["latency_ms"]["green"]["p50"] == pytest.approx(100, rel=0.01)
    assert shown["verdict"] == "inconclusive"
    assert shown["reason"].startswith("Evidence so far, of what a verdict takes: match ")
    assert shown["budget"] == own.plan.question.requests if own.plan.question else False


def test_before_the_run_and_without_a_split_it_says_so() -> None:
    assert state(session(), History())["reason"] == "The run has not begun."
    shown = state(begun(BLUE, split=None), History())
    assert (shown["verdict"], shown["budget"], shown["evidence"]) == ("", None, None)
    assert shown["reason"].startswith("No split is expected")


def test_a_fixed_sample_is_not_looked_at() -> None:
    own = begun(BLUE, limits=Limits(test="fixed", requests=1000))
    assert evidence(own) is None
    assert "looked at once, at the end" in state(own, History())["reason"]


def test_the_end_has_the_verdict_and_its_reason() -> None:
    own = begun()
    own.counter.looks.judge_by(lambda _: 1000)
    send(own, [GREEN] * 300)
    own.finished = True
    judgement = own.judged()
    assert judgement is not None
    shown = state(own, History())
    assert (shown["verdict"], shown["reason"]) == (str(judgement.verdict), judgement.reason)
    assert shown["running"] is False


@pytest.mark.parametrize(("note", "verdict"), [("broken", ""), ("unreachable", "failing")])
def test_what_went_wrong_is_shown_in_its_place(note: str, verdict: str) -> None:
    own = begun(BLUE)
    setattr(own.notes, note, "because of it")
    shown = state(own, History())
    assert (shown["verdict"], shown["reason"]) == (verdict, "because of it")


def test_evidence_is_a_fraction_of_what_a_verdict_takes() -> None:
    own = begun(BLUE, GREEN)
    found = evidence(own)
    assert found is not None
    assert set(found) == {"match", "mismatch"}
    assert all(fraction is not None and 0 <= fraction < 1 for fraction in found.values())


# --- history ---


def test_points_are_taken_when_it_is_time_and_something_was_counted() -> None:
    own = begun()
    history = History()
    history.note(own)
    assert history.points == []
    send(own, [BLUE], 1.0)
    history.note(own)
    history.note(own)
    assert len(history.points) == 1
    send(own, [GREEN], 1.01)  # too early for another one
    history.note(own)
    assert len(history.points) == 1
    history.note(own, last=True)
    assert [point["responses"] for point in history.points] == [1, 2]
    assert history.points[1]["shares"] == {"blue": 0.5, "green": 0.5}


def test_latencies_of_a_point_are_those_since_the_last() -> None:
    own = begun()
    history = History()
    for sent_at, latency in ((1.0, 0.1), (2.0, 0.4)):
        count(own.counter, taken(own.counter), BLUE, sent_at, latency=latency)
        history.note(own)
    medians = [point["latency"]["blue"]["p50"] for point in history.points]
    assert medians == [pytest.approx(100, rel=0.01), pytest.approx(400, rel=0.01)]


def test_the_number_of_points_is_bounded() -> None:
    own = begun()
    history = History()
    for second in range(2000):
        send(own, [BLUE, GREEN if second % 2 else BLUE], second * 2)
        history.note(own)
    assert MOST_POINTS / 3 < len(history.points) <= MOST_POINTS
    elapsed = [point["elapsed"] for point in history.points]
    assert elapsed == sorted(elapsed)
    assert elapsed[-1] > 3900


def test_another_run_begins_another_history() -> None:
    own = begun(BLUE, BLUE)
    history = History()
    history.note(own)
    assert len(history.points) == 1
    own.reset()
    send(own, [GREEN], 1.0)
    history.note(own)
    assert [point["shares"]["green"] for point in history.points] == [1.0]


# --- tables ---


def test_locusts_tab_has_a_row_for_each_variant() -> None:
    table = rows(state(begun(BLUE, BLUE, BLUE, GREEN, ERROR), History()))
    assert all(set(row) == set(COLUMNS) for row in table)
    assert [row["what"] for row in table] == [
        "verdict: inconclusive",
        "blue",
        "green",
        "errors",
        "unidentified",
    ]
    green = table[2]
    assert (green["expected"], green["observed"], green["responses"]) == ("25.00 %", "25.00 %", "1")
    assert " % to " in green["confidence"]
    assert float(green["p50"]) == pytest.approx(100, rel=0.01)


@pytest.mark.parametrize("own", [session(), begun(BLUE, split=None)])
def test_what_is_not_known_is_an_empty_cell(own: Session) -> None:
    table = rows(state(own, History()))
    assert table[0]["confidence"] == ""
    for row in table:
        assert all(isinstance(text, str) for text in row.values())


def test_the_history_is_csv() -> None:
    own = begun()
    history = History()
    for second in range(3):
        send(own, [BLUE, GREEN], float(second))
        history.note(own)
    lines = list(csv.DictReader(csv_of(history, ["blue", "green"]).splitlines()))
    assert len(lines) == 3
    assert [line["responses"] for line in lines] == ["2", "4", "6"]
    assert lines[0]["share green"] == "0.5"
    assert float(lines[0]["p50_ms blue"]) == pytest.approx(100, rel=0.01)
    assert lines[0]["evidence_for_match"]
    unjudged = begun(BLUE, BLUE, split=None)
    other = History()
    other.note(unjudged)
    (line,) = csv.DictReader(csv_of(other, ["blue"]).splitlines())
    assert line["evidence_for_match"] == ""
