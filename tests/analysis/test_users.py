"""The test of users: error rates by simulation, through the code that a run uses."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from tests.support.users import (
    Audience,
    SimulatedUsers,
    users_question,
    verdicts_on,
)
from trafficsplit.analysis.look import Look
from trafficsplit.analysis.question import Question
from trafficsplit.analysis.split import Split
from trafficsplit.analysis.tally import Tally
from trafficsplit.analysis.user_evidence import fewest_dealt
from trafficsplit.analysis.users import UserTest
from trafficsplit.analysis.verdict import Verdict

AS_CONFIGURED = SimulatedUsers()
RUNS = 16


def ends(gateway: SimulatedUsers, *, most: int = 20_000, **more: int) -> Counter[Verdict]:
    found = verdicts_on(users_question(), gateway, runs=more.get("runs", RUNS), most=most, seed=3)
    return Counter(verdict for verdict, _ in found)


@pytest.mark.slow
def test_users_as_configured_are_a_match() -> None:
    found = verdicts_on(users_question(), AS_CONFIGURED, runs=RUNS, most=20_000, seed=1)
    assert {verdict for verdict, _ in found} == {Verdict.MATCH}
    # One user is worth one request of independent draws, whose median is about 5,700.
    assert 4_700 < np.median([number for _, number in found]) < 7_000


@pytest.mark.slow
@pytest.mark.parametrize("flip", [0.005, 0.0025])
def test_users_that_change_version_are_no_match(flip: float) -> None:
    found = ends(SimulatedUsers(flip=flip))
    assert found == {Verdict.MISMATCH: RUNS}


@pytest.mark.slow
@pytest.mark.parametrize("share", [0.22, 0.28])
def test_three_points_off_is_no_match(share: float) -> None:
    found = ends(SimulatedUsers(share), most=12_000)
    assert found[Verdict.MATCH] == 0


@pytest.mark.slow
def test_at_the_edge_neither_verdict_comes_often() -> None:
    found = ends(SimulatedUsers(0.27), most=8_000, runs=40)
    # α is 1 % each: three of 40 come by chance less than once in a hundred times.
    assert found[Verdict.MATCH] <= 2
    assert found[Verdict.MISMATCH] <= 2


@pytest.mark.slow
def test_a_share_that_changes_is_no_match() -> None:
    stepping = SimulatedUsers(lambda n: np.where(n < 1000, 0.20, 0.30))
    drifting = SimulatedUsers(lambda n: np.minimum(0.1 + n / 10_000, 1.0))
    assert ends(stepping)[Verdict.MATCH] == 0
    assert ends(drifting) == {Verdict.MISMATCH: RUNS}


def test_everything_to_one_version_is_found_at_once() -> None:
    found = verdicts_on(users_question(), SimulatedUsers(0.0), runs=2, most=5_000)
    assert [verdict for verdict, _ in found] == [Verdict.MISMATCH] * 2
    assert max(number for _, number in found) < 450


def test_a_gateway_that_is_not_sticky_is_found_at_once() -> None:
    found = verdicts_on(users_question(50), SimulatedUsers(0.5, flip=0.5), runs=3, most=5_000)
    assert [verdict for verdict, _ in found] == [Verdict.MISMATCH] * 3
    assert max(number for _, number in found) < 30


def test_versions_that_are_dealt_in_blocks_are_no_mismatch() -> None:
    audience = Audience(users_question())
    block = np.repeat([0] * 75 + [1] * 25, 3).reshape(100, 3)
    seen = []
    for _ in range(80):
        for part in np.split(block, 10):
            seen.append(audience.show(part))
        if seen[-1] is not Verdict.INCONCLUSIVE:
            break
    assert seen[-1] is Verdict.MATCH


def test_some_lost_requests_leave_a_match_possible() -> None:
    found = verdicts_on(
        users_question(zero_tolerance=0.01), SimulatedUsers(loss=0.0003), runs=2, most=20_000
    )
    assert [verdict for verdict, _ in found] == [Verdict.MATCH] * 2


def test_many_lost_requests_are_failing() -> None:
    found = verdicts_on(users_question(), SimulatedUsers(loss=0.05), runs=2, most=5_000)
    assert [verdict for verdict, _ in found] == [Verdict.FAILING] * 2


def test_a_variant_that_is_to_get_nothing_is_a_mismatch_at_once() -> None:
    test = UserTest(Question(Split({"blue": 1, "green": 0}), 0.02, user_requests=3))
    assert test.look(Look([Tally({"blue": 5})])) is Verdict.INCONCLUSIVE
    assert test.look(Look([Tally({"green": 1})])) is Verdict.MISMATCH
    assert test.least_more == 0


def test_a_rollback_is_shown_by_users_that_never_see_it() -> None:
    question = Question(Split({"blue": 1, "green": 0}), 0.02, user_requests=3)
    ((verdict, number),) = verdicts_on(question, SimulatedUsers(0.0), runs=1, most=10_000)
    assert verdict is Verdict.MATCH
    assert 4_603 <= number < 5_000


def test_a_verdict_stands() -> None:
    audience = Audience(users_question())
    audience.show(np.tile([0, 1, 0], (50, 1)))
    assert audience.test.verdict is Verdict.MISMATCH
    assert audience.show(np.zeros((9000, 3), dtype=np.int64)) is Verdict.MISMATCH


def test_looks_are_rarer_in_a_longer_run() -> None:
    audience = Audience(users_question())
    assert audience.test.least_more == 3
    audience.show(np.zeros((200, 3), dtype=np.int64))
    assert audience.test.least_more == 9


@pytest.mark.parametrize(("green", "fewest"), [(25, 400), (50, 200), (1, 1000)])
def test_so_many_users_are_waited_for_where_they_may_be_dealt(green: float, fewest: int) -> None:
    assert fewest_dealt(users_question(green, 0.005)) == fewest
