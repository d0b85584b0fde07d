"""What is late, what was lost in time, and what hung connections kept from being sent."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trafficsplit.analysis.kinds import Kind, Kinds, Outcome
from trafficsplit.analysis.losses import MOST_LATEST, Hanging
from trafficsplit.load.hangs import (
    LEAST_LATE,
    Hangs,
    KindFlags,
    Latest,
    Standing,
    UnderWay,
    limit_of,
)

GOOD = 2  # the code of blue at the first gateway, of two variants


def hangs_of(gateways: int = 1) -> tuple[Hangs, Kinds]:
    kinds = Kinds(["blue", "green"], gateways)
    return Hangs(kinds, KindFlags(kinds)), kinds


def lost_code(kinds: Kinds, gateway: int = 0) -> int:
    return kinds.code_of(Kind(Outcome.ERROR, "", "none", gateway, 0))


def ended(hangs: Hangs, *codes: int, at: float = 1.0) -> None:
    """Let requests end that were sent in this order, a millisecond after each other."""
    each = np.array(codes)
    hangs.end(each, at + np.arange(len(codes)) / 1000)
    hangs.add_in_order(each)


def usually(seconds: float = 0.002) -> float:
    return seconds


def test_a_request_is_late_after_ten_times_what_is_usual_and_not_at_once() -> None:
    assert limit_of(0.002) == LEAST_LATE
    assert limit_of(0.5) == 5.0


@given(st.lists(st.lists(st.booleans(), max_size=200), max_size=5))
def test_the_latest_are_kept_in_order(batches: list[list[bool]]) -> None:
    latest = Latest()
    for batch in batches:
        latest.extend(np.array(batch, np.bool_))
    everything = [one for batch in batches for one in batch]
    assert list(latest.flags) == everything[-MOST_LATEST:]


def test_what_kinds_are_is_known_of_new_ones_too() -> None:
    kinds = Kinds(["blue"], 2)
    flags = KindFlags(kinds)
    assert not flags.lost.any()
    code = lost_code(kinds, gateway=1)
    assert flags.lost.tolist() == [False, False, False, False, True]
    assert flags.gateways[code] == 1


def test_a_request_becomes_late_once_and_is_so_until_it_ends() -> None:
    hangs, _ = hangs_of()
    one = UnderWay(7, 0, 1.0)
    assert hangs.watch([one], 4, 1.2, usually) == []
    assert hangs.watch([one], 4, 1.3, usually) == [one]
    assert hangs.watch([one], 4, 1.6, usually) == []
    assert hangs.late == [1]
    hangs.answer(np.array([6, 7]))
    assert hangs.late == [0]


def test_where_answers_take_their_time_none_is_late() -> None:
    hangs, _ = hangs_of()
    assert hangs.watch([UnderWay(7, 0, 1.0)], 4, 3.0, lambda: 0.3) == []


def test_what_will_never_be_known_stays_late() -> None:
    hangs, _ = hangs_of(2)
    hangs.watch([UnderWay(7, 1, 1.0)], 4, 3.0, usually)
    hangs.give_up(7, 1)
    assert hangs.late == [0, 1]


def test_a_hung_connection_kept_back_what_others_sent_meanwhile() -> None:
    hangs, kinds = hangs_of()
    hangs.watch([], 10, 0.0, usually)
    hangs.watch([], 10, 2.0, usually)
    ended(hangs, *[GOOD] * 400, at=1.0)  # 20 a second and user
    hangs.hang(0, left=50, waited=1.0)
    ended(hangs, lost_code(kinds), at=2.0)
    (one,) = hangs.each(ended=True)
    assert (one.hung, one.kept_back) == (1, 20)
    assert hangs.late == [20]
    hangs.hang(0, left=5, waited=1.0)  # it would have made room for a new one
    hangs.hang(0, left=50, waited=0.001)  # refused at once: nothing was kept back
    (one,) = hangs.each(ended=True)
    assert (one.hung, one.kept_back) == (3, 25)


def test_time_in_which_users_wait_in_vain_is_no_pace() -> None:
    hangs, _ = hangs_of()
    ended(hangs, *[GOOD] * 100)
    hangs.watch([], 2, 1.0, usually)
    hangs.watch([UnderWay(1, 0, 0.0, 50), UnderWay(2, 0, 0.0, 50)], 2, 2.0, usually)
    for second in range(3, 9):
        hangs.watch([], 2, float(second), usually)
    hangs.hang(0, left=50, waited=0.5)
    # 100 requests in 4 user-seconds, and none in the twelve after
    assert hangs.each(ended=False)[0].kept_back == 12


def test_what_is_late_is_lost_only_when_the_run_has_ended() -> None:
    hangs, _ = hangs_of()
    ended(hangs, GOOD, GOOD)
    hangs.watch([UnderWay(7, 0, 1.1, 50)], 1, 3.0, usually)
    (going_on,) = hangs.each(ended=False)
    assert (going_on.requests, going_on.lost, going_on.hung) == (2, 0, 0)
    (over,) = hangs.each(ended=True)
    assert (over.requests, over.lost, over.hung) == (3, 1, 1)


def test_a_gateway_is_silent_from_its_last_answer_to_the_end() -> None:
    hangs, kinds = hangs_of(2)
    there = kinds.code_of(Kind(Outcome.IDENTIFIED, "blue", gateway=1))
    lost = lost_code(kinds, gateway=1)
    ended(hangs, GOOD, there, at=1.0)
    ended(hangs, GOOD, GOOD, lost, lost, at=9.0)
    one, two = hangs.each(ended=True)
    assert (one.silent, one.unanswered) == (0.0, 0)
    assert two.silent == pytest.approx(8.002)
    assert (two.answered, two.unanswered, two.lost) == (1.001, 2, 2)
    ended(hangs, there, at=9.1)
    assert hangs.each(ended=True)[1].silent == 0


def test_a_gateway_that_is_asked_no_more_is_not_silent() -> None:
    hangs, kinds = hangs_of()
    ended(hangs, GOOD, GOOD, at=1.0)
    hangs.watch([UnderWay(1, 0, 0.7)], 1, 1.1, usually)
    hangs.close()  # the verdict is known, and one answer is still missing
    hangs.watch([UnderWay(1, 0, 0.7)], 1, 5.0, usually)
    assert hangs.each(ended=True)[0].silent == 0
    ended(hangs, lost_code(kinds), at=10.7)
    assert hangs.each(ended=True)[0].silent == 0


def test_a_loss_at_the_very_end_is_no_silence() -> None:
    hangs, kinds = hangs_of()
    ended(hangs, GOOD, lost_code(kinds))
    (one,) = hangs.each(ended=True)
    assert (one.silent, one.unanswered) == (0.0, 0)
    assert one.latest == (False, True)


def test_users_are_stuck_until_they_are_answered() -> None:
    hangs, _ = hangs_of(2)
    hangs.add_users(1, 3)
    hangs.open_connection(1)
    hangs.stick(1, 1)
    hangs.watch([UnderWay(7, 1, 1.0)], 3, 3.0, usually)
    assert hangs.each(ended=False)[1].stuck == 1
    over = hangs.each(ended=True)[1]
    assert (over.users, over.stuck, over.connections) == (3, 2, 1)
    hangs.stick(1, -1)
    hangs.add_users(1, -2)
    one = hangs.each(ended=False)[1]
    assert (one.users, one.stuck) == (1, 0)
    assert hangs.each(ended=False)[0] == Hanging()


def test_what_is_left_out_is_not_lost() -> None:
    hangs, _ = hangs_of()
    hangs.add_in_order(np.array([GOOD, Kinds.LEFT_OUT, GOOD]))
    assert hangs.each(ended=True)[0].latest == (False, False)


def test_the_standing_of_workers_adds_up_and_travels() -> None:
    one = Standing(3, [1, 0], [Hanging(requests=3, lost=1), Hanging()])
    other = Standing(2, [0, 4], [Hanging(requests=1), Hanging(requests=2)])
    both = one + other
    assert (both.waiting, both.late) == (5, [1, 4])
    assert [each.requests for each in both.hanging] == [4, 2]
    assert Standing.from_plain(json.loads(json.dumps(one.as_plain())), 2) == one
    with pytest.raises(ValueError, match="gateways"):
        Standing.from_plain(one.as_plain(), 1)
