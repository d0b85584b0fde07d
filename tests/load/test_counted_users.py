"""Users that are counted: when all their requests have ended, in order of the first ones."""

from __future__ import annotations

from tests.support.counting import Judge, count, taken
from tests.support.runs import CANARY
from trafficsplit.load.counting import Counter


def test_users_are_counted_when_all_their_requests_have_ended() -> None:
    counter = Counter(CANARY, user_requests=2)
    judge = Judge()
    counter.looks.judge_by(judge)
    first = taken(counter, 1)
    count(counter, taken(counter, 2), "green")
    count(counter, taken(counter, 2), "green")
    count(counter, first, "blue")
    counter.flush()
    assert counter.sums.users.number == 0  # user 1 came first
    count(counter, taken(counter, 1), "green")
    counter.flush()
    counted = counter.sums.counted(counter.gateways)
    assert counted.users is not None
    assert counted.users.moves() == {("blue", "green"): 1}
    assert counted.users.number == 2
    assert counted.order.successive.pairs == 1  # of users
    assert judge.looks[-1].users is not None
    assert judge.looks[-1].users.number == 2


def test_a_user_that_leaves_is_waited_for_no_longer() -> None:
    counter = Counter(CANARY, user_requests=2)
    count(counter, taken(counter, 1), "blue")
    counter.leave(1)
    for _ in range(2):
        count(counter, taken(counter, 2), "green")
    counter.flush()
    assert counter.sums.users.number == 1


def test_without_users_no_look_has_any() -> None:
    counter = Counter(CANARY)
    judge = Judge()
    counter.looks.judge_by(judge)
    count(counter, taken(counter), "blue")
    counter.leave(1)
    assert judge.looks[-1].users is None
    assert counter.sums.counted(counter.gateways).users is None
