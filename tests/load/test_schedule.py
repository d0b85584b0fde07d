"""Open load: requests are due at fixed times, whatever the answers do."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from trafficsplit.load.schedule import Schedule


class Clock:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    own = Clock()
    monkeypatch.setattr("trafficsplit.load.schedule.time", SimpleNamespace(monotonic=own))
    return own


def test_requests_are_due_at_even_distances_without_drift(clock: Clock) -> None:
    schedule = Schedule(3.0, 100.0)
    due = []
    for _ in range(3001):
        clock.now = schedule.next_at
        due.append(schedule.take())
    assert due[:2] == [100.0, 100.0 + 1 / 3]
    assert due[3000] == 100.0 + 3000 / 3.0
    assert schedule.late == 0
    assert schedule.achieved == pytest.approx(3.0)


def test_what_is_taken_late_is_due_when_it_was_due(clock: Clock) -> None:
    schedule = Schedule(10.0, 100.0)
    clock.now = 101.0  # nothing could be sent for a second
    due = [schedule.take() for _ in range(11)]
    assert due == pytest.approx([100 + number / 10 for number in range(11)])
    assert schedule.late == 10  # all but the one that is due now
    assert schedule.next_at == pytest.approx(101.1)


def test_the_achieved_rate_is_what_was_really_sent(clock: Clock) -> None:
    schedule = Schedule(100.0, 100.0)
    assert schedule.achieved == 100.0  # nothing is known yet
    for number in range(11):
        clock.now = 100.0 + number / 5  # five a second, for two seconds
        schedule.take()
    assert schedule.achieved == pytest.approx(5.0)


def test_no_more_than_was_asked_for_is_achieved(clock: Clock) -> None:
    schedule = Schedule(10.0, 100.0)
    for number in range(5):
        clock.now = 100.0 + number / 1000
        schedule.take()
    assert schedule.achieved == 10.0


def test_a_slower_pace_counts_neither_as_late_nor_as_a_rate_that_was_missed(clock: Clock) -> None:
    schedule = Schedule(100.0, 100.0)
    for _ in range(101):
        clock.now = schedule.next_at
        schedule.take()
    schedule.keep_pace(10.0, 101.0)
    for _ in range(11):
        clock.now = schedule.next_at
        schedule.take()
    assert clock.now == pytest.approx(102.0)
    assert schedule.achieved == pytest.approx(100.0)
    schedule.keep_pace(None, 102.0)
    for _ in range(101):
        clock.now = schedule.next_at
        schedule.take()
    assert clock.now == pytest.approx(103.0)
    assert schedule.achieved == pytest.approx(100.0)
    assert schedule.late == 0


def test_no_pace_is_faster_than_the_rate(clock: Clock) -> None:
    schedule = Schedule(5.0, 100.0)
    schedule.keep_pace(10.0, 100.0)
    schedule.take()
    assert schedule.next_at == pytest.approx(100.2)
