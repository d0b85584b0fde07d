"""The test of users: error rates by simulation, through the code that a run uses."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from tests.support.users import users_question, verdicts_on
from trafficsplit.analysis.look import Look
from trafficsplit.analysis.question import Question
from trafficsplit.analysis.split import Split
from trafficsplit.analysis.tally import Tally
from trafficsplit.analysis.user_evidence import fewest_dealt
from trafficsplit.analysis.user_simulation import Audience, Dealt, OneWay, Several, Sticky
from trafficsplit.analysis.users import UserTest
from trafficsplit.analysis.verdict import Verdict

AS_CONFIGURED = Sticky()
RUNS = 16


def ends(gateway: Sticky, *, most: int = 20_000, **more: int) -> Counter[Verdict]:
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
    found = ends(Sticky(flip=flip))
    assert found == {Verdict.MISMATCH: RUNS}


@pytest.mark.slow
@pytest.mark.parametrize("share", [0.22, 0.28])
def test_three_points_off_is_no_match(share: float) -> None:
    found = ends(Sticky(share), most=12_000)
    assert found[Verdict.MATCH] == 0


@pytest.mark.slow
def test_at_the_edge_neither_verdict_comes_often() -> None:
    found = ends(Sticky(0.27), most=8_000, runs=30)
    # α is 1 % each: three of 30 come by chance less than once in a hundred times.
    assert found[Verdict.MATCH] <= 2
    assert found[Verdict.MISMATCH] <= 2


@pytest.mark.slow
def test_a_share_that_changes_is_no_match() -> None:
    stepping = Sticky(lambda n: np.where(n < 1000, 0.20, 0.30))
    drifting = Sticky(lambda n: np.minimum(0.1 + n / 10_000, 1.0))
    assert ends(stepping)[Verdict.MATCH] == 0
    assert ends(drifting) == {Verdict.MISMATCH: RUNS}


@pytest.mark.slow
def test_of_two_gateways_each_has_to_match() -> None:
    question = users_question(gateways=2)
    off = Several([Sticky(0.29), Sticky(0.21)])
    found = verdicts_on(question, off, runs=8, most=12_000, seed=4)
    verdicts = {verdict for verdict, _ in found}
    assert Verdict.MISMATCH in verdicts
    assert Verdict.MATCH not in verdicts
    fine = Several([Sticky(0.25), Sticky(0.25)])
    found = verdicts_on(question, fine, runs=4, most=30_000, seed=4)
    assert [verdict for verdict, _ in found].count(Verdict.MATCH) >= 3


def test_a_canary_that_keeps_its_users_only_is_found_at_once() -> None:
    found = verdicts_on(users_question(10, 0.02), OneWay(0.1), runs=3, most=5_000)
    assert [verdict for verdict, _ in found] == [Verdict.MISMATCH] * 3
    assert max(number for _, number in found) < 100


def test_everything_to_one_version_is_found_at_once() -> None:
    found = verdicts_on(users_question(), Sticky(0.0), runs=2, most=5_000)
    assert [verdict for verdict, _ in found] == [Verdict.MISMATCH] * 2
    assert max(number for _, number in found) < 450


def test_a_gateway_that_is_not_sticky_is_found_at_once() -> None:
    found = verdicts_on(users_question(50), Sticky(0.5, flip=0.5), runs=3, most=5_000)
    assert [verdict for verdict, _ in found] == [Verdict.MISMATCH] * 3
    assert max(number for _, number in found) == 64


@pytest.mark.parametrize("dealt", [Dealt(), Dealt(75, 25), Dealt(90, 30)])
def test_versions_that_are_dealt_are_a_match(dealt: Dealt) -> None:
    ((verdict, _),) = verdicts_on(users_question(), dealt, runs=1, most=12_000)
    assert verdict is Verdict.MATCH


def test_some_lost_requests_leave_a_match_possible() -> None:
    found = verdicts_on(
        users_question(zero_tolerance=0.01), Sticky(loss=0.0003), runs=2, most=20_000
    )
    assert [verdict for verdict, _ in found] == [Verdict.MATCH] * 2


def test_many_lost_requests_are_failing() -> None:
    found = verdicts_on(users_question(), Sticky(loss=0.05), runs=2, most=5_000)
    assert [verdict for verdict, _ in found] == [Verdict.FAILING] * 2


def test_a_variant_that_is_to_get_nothing_is_a_mismatch_at_once() -> None:
    test = UserTest(Question(Split({"blue": 1, "green": 0}), 0.02, user_requests=3))
    assert test.look(Look([Tally({"blue": 5})])) is Verdict.INCONCLUSIVE
    assert test.look(Look([Tally({"green": 1})])) is Verdict.MISMATCH
    assert test.least_more == 0


def test_a_rollback_is_shown_by_users_that_never_see_it() -> None:
    question = Question(Split({"blue": 1, "green": 0}), 0.02, user_requests=3)
    ((verdict, number),) = verdicts_on(question, Sticky(0.0), runs=1, most=10_000)
    assert verdict is Verdict.MATCH
    assert 4_603 <= number < 5_000


def test_a_verdict_stands() -> None:
    audience = Audience(users_question())
    audience.show(np.tile([0, 1, 0], (80, 1)))
    assert audience.test.verdict is Verdict.MISMATCH
    assert audience.show(np.zeros((9000, 3), dtype=np.int64)) is Verdict.MISMATCH


def test_looks_are_rarer_in_a_longer_run() -> None:
    audience = Audience(users_question())
    assert audience.test.least_more == 3
    audience.show(np.zeros((200, 3), dtype=np.int64))
    assert audience.test.least_more == 15


@pytest.mark.parametrize(("green", "fewest"), [(25, 400), (50, 200), (1, 1000)])
def test_so_many_users_are_waited_for_where_they_may_be_dealt(green: float, fewest: int) -> None:
    assert fewest_dealt(users_question(green, 0.005)) == fewest
