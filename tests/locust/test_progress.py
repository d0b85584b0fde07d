"""One line about a run that goes on."""

from __future__ import annotations

import os
import pty

import gevent
import pytest

from tests.support.counting import BLUE, ERROR, GREEN, count, taken
from tests.support.engines import turned_until
from tests.support.runs import CANARY
from trafficsplit.analysis.planning import planned
from trafficsplit.analysis.question import Question
from trafficsplit.load.counting import Counter
from trafficsplit.locust import progress as module
from trafficsplit.locust.progress import CLEAR, progress_line, show_progress

SEQUENTIAL = planned(Question(CANARY, 0.02, requests=1000))
FIXED = planned(Question(CANARY, 0.02, requests=1000, test="fixed"))


def counted(*kinds: object, gap: float = 0.5) -> Counter:
    counter = Counter(CANARY)
    for number, kind in enumerate(kinds):
        count(counter, taken(counter), kind, number * gap, latency=0.5)  # type: ignore[arg-type]
    counter.flush()
    return counter


@pytest.mark.parametrize(
    ("question", "line"),
    [
        (None, "2/s  ·  green 25.0 %  ·  blue 75.0 %"),
        (
            SEQUENTIAL,
            "2/s  ·  green 25.0 %  ·  blue 75.0 %  ·  4 of at most 1,000 requests, 498 s to go",
        ),
        (FIXED, "2/s  ·  green 25.0 %  ·  blue 75.0 %  ·  4 of 1,000 requests, 498 s to go"),
    ],
)
def test_rate_shares_and_what_is_still_needed(question: Question | None, line: str) -> None:
    assert progress_line(question, counted(BLUE, BLUE, GREEN, BLUE)) == line


def test_one_variant_alone_is_waited_for() -> None:
    line = progress_line(SEQUENTIAL, counted(*[BLUE] * 100, gap=0.1))
    assert line.endswith("blue 100.0 %  ·  one alone: may be a cache until 18 s have passed")


def test_losses_are_in_it_where_there_are_any() -> None:
    line = progress_line(None, counted(BLUE, ERROR))
    assert line.endswith("blue 100.0 %  ·  1 lost")


def test_before_the_first_answer_there_is_no_rate() -> None:
    line = progress_line(SEQUENTIAL, Counter(CANARY))
    assert line == "0/s  ·  green 0.0 %  ·  blue 0.0 %  ·  0 of at most 1,000 requests"


def test_more_than_the_budget_is_nothing_to_go() -> None:
    question = planned(Question(CANARY, 0.02, requests=1))
    assert progress_line(question, counted(BLUE, BLUE)).endswith(
        "2 of at most 1 requests, 0 s to go"
    )


def test_the_line_is_written_over_itself_and_wiped_at_the_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "INTERVAL", 0.01)
    ours, terminal = pty.openpty()
    try:
        counter = counted(BLUE, GREEN)
        shown = gevent.spawn(show_progress, SEQUENTIAL, counter, terminal)
        gevent.sleep(0.05)
        counter.close()
        counter.flush()
        assert turned_until(lambda: shown.dead)
        assert shown.successful()
        text = ""
        while not (text.endswith(CLEAR) and len(text) > len(CLEAR)):  # it comes in pieces
            text += os.read(ours, 100_000).decode()
    finally:
        os.close(ours)
        os.close(terminal)
    assert text.startswith(CLEAR)
    assert "requests" in text  # this terminal does not say how wide it is: 80, as usual
    assert "\n" not in text


def test_a_log_has_a_line_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "TOLD", 0.01)
    counter = counted(BLUE, GREEN)
    lines: list[str] = []
    told = gevent.spawn(module.tell_progress, SEQUENTIAL, counter, lines.append)
    assert turned_until(lambda: len(lines) > 1)
    counter.close()
    assert turned_until(lambda: told.dead)
    assert told.successful()
    assert all("of at most 1,000 requests" in line for line in lines)
