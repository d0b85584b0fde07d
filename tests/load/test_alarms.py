from __future__ import annotations

from collections.abc import Iterator
from time import monotonic

import gevent
import pytest

from tests.support.engines import turned_until
from trafficsplit.load.alarms import Alarms

BROKEN: list[BaseException] = []


@pytest.fixture
def alarms() -> Iterator[Alarms]:
    BROKEN.clear()
    own = Alarms(BROKEN.append)
    yield own
    own.close()


def test_functions_are_called_in_the_order_in_which_they_are_due(alarms: Alarms) -> None:
    called: list[str] = []
    now = monotonic()
    for name, after in (("third", 0.03), ("first", 0.0), ("second", 0.02)):
        alarms.at(now + after, lambda name=name: called.append(name))  # type: ignore[misc]
    assert turned_until(lambda: len(called) == 3)
    assert called == ["first", "second", "third"]


def test_of_two_at_one_time_the_first_is_called_first(alarms: Alarms) -> None:
    called: list[int] = []
    due = monotonic()
    for number in range(10):
        alarms.at(due, lambda number=number: called.append(number))  # type: ignore[misc]
    assert turned_until(lambda: len(called) == 10)
    assert called == list(range(10))


def test_nothing_is_called_before_its_time(alarms: Alarms) -> None:
    due = monotonic() + 0.05
    called: list[float] = []
    alarms.at(due, lambda: called.append(monotonic()))
    assert turned_until(lambda: called)
    assert called[0] >= due


def test_an_earlier_one_is_not_held_up_by_a_later_one(alarms: Alarms) -> None:
    called: list[str] = []
    alarms.at(monotonic() + 3600, lambda: called.append("late"))
    gevent.sleep(0)  # it waits for an hour now
    alarms.at(monotonic(), lambda: called.append("early"))
    assert turned_until(lambda: called)
    assert called == ["early"]


def test_a_function_may_set_the_next_alarm(alarms: Alarms) -> None:
    called: list[int] = []

    def again() -> None:
        called.append(len(called))
        if len(called) < 5:
            alarms.at(monotonic(), again)

    alarms.at(monotonic(), again)
    assert turned_until(lambda: len(called) == 5)


def test_one_that_breaks_is_reported_and_the_others_are_called(alarms: Alarms) -> None:
    called: list[str] = []
    now = monotonic()
    alarms.at(now, lambda: called.remove("missing"))
    alarms.at(now, lambda: called.append("next"))
    assert turned_until(lambda: called)
    assert [type(error) for error in BROKEN] == [ValueError]


def test_nothing_is_called_after_the_end(alarms: Alarms) -> None:
    called: list[str] = []
    alarms.at(monotonic(), lambda: called.append("too late"))
    alarms.close()
    gevent.sleep(0.02)
    assert called == []
