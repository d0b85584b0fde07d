"""The evidence about users, by counts that leave no doubt and by those that do most harm."""

from __future__ import annotations

import math

import numpy as np
import pytest

from tests.support.users import users_question
from trafficsplit.analysis.question import Question
from trafficsplit.analysis.split import Split
from trafficsplit.analysis.user_evidence import STARTS_A_LEVEL, UserEvidence, start_masses
from trafficsplit.analysis.visits import UserKind, UserRecorder, Users

BLUE = UserKind.of(["blue"] * 3)
GREEN = UserKind.of(["green"] * 3)
SURE = math.log(100)


def users_of(**numbers: int) -> Users:
    """Return users by their answers, the first letters of these: `bbg=2`, where x is lost."""
    names = {"b": "blue", "g": "green", "x": ""}
    recorder = UserRecorder()
    kinds: list[UserKind] = []
    for letters, number in numbers.items():
        kinds += [UserKind.of([names[letter] for letter in letters])] * number
    order = np.random.default_rng(0).permutation(len(kinds))
    recorder.add([kinds[index] for index in order])
    return recorder.users


def test_nothing_is_known_of_no_users() -> None:
    evidence = UserEvidence(users_question())
    assert evidence.for_match(Users()) == pytest.approx([0, 0, 0])
    assert evidence.for_mismatch(Users()) <= 0


def test_users_as_configured_that_stay_are_a_match() -> None:
    evidence = UserEvidence(users_question())
    users = users_of(bbb=4500, ggg=1500)
    assert evidence.for_match(users).min() > SURE
    assert evidence.for_mismatch(users) < 0


def test_too_few_users_do_not_show_that_they_stay() -> None:
    evidence = UserEvidence(users_question(50, 0.1))
    few = evidence.for_match(users_of(bbb=1500, ggg=1500))
    assert few[:-1].min() > SURE > few[-1]
    assert evidence.for_match(users_of(bbb=2500, ggg=2500))[-1] > SURE


def test_one_user_that_changes_costs_more_of_the_others() -> None:
    evidence = UserEvidence(users_question())
    staying = evidence.for_match(users_of(bbb=4500, ggg=1500))[-1]
    one = evidence.for_match(users_of(bbb=4500, ggg=1499, bgg=1))[-1]
    assert staying > SURE > one
    assert evidence.for_match(users_of(bbb=8999, ggg=3000, bgg=1))[-1] > SURE


def test_users_that_change_are_a_mismatch() -> None:
    evidence = UserEvidence(users_question())
    users = users_of(bbb=300, ggg=100, bgg=5, gbb=2)
    assert evidence.for_mismatch(users) > SURE
    assert evidence.for_deviation(users) < 1


def test_other_shares_are_a_mismatch() -> None:
    evidence = UserEvidence(users_question())
    assert evidence.for_deviation(users_of(bbb=400, ggg=300)) > SURE
    assert evidence.for_deviation(users_of(bbb=500, ggg=50)) > SURE
    assert evidence.for_change(users_of(bbb=400, ggg=300)) < 1


def test_a_share_that_was_right_for_long_is_found_to_have_changed() -> None:
    evidence = UserEvidence(users_question())
    before = [BLUE, BLUE, BLUE, GREEN] * 1500
    recorder = UserRecorder()
    recorder.add([*before, *([GREEN] * 500)])
    assert evidence.for_deviation(recorder.users) > SURE
    recorder = UserRecorder()
    recorder.add([*before, *([BLUE] * 640)])
    assert evidence.for_deviation(recorder.users) > SURE


def test_lost_requests_count_as_what_does_most_harm() -> None:
    evidence = UserEvidence(users_question())
    whole = users_of(bbb=4500, ggg=1500)
    harmed = users_of(bbb=4400, bbx=100, ggg=1400, ggx=100)
    assert (evidence.for_match(harmed) < evidence.for_match(whole)).all()
    off = users_of(bbb=400, ggg=300)
    lost = users_of(bbb=400, ggx=300)
    assert evidence.for_deviation(lost) < evidence.for_deviation(off)
    assert evidence.for_change(users_of(bbx=100, ggg=300)) < 1


def test_a_variant_of_weight_0_needs_users_without_it() -> None:
    evidence = UserEvidence(Question(Split({"blue": 1, "green": 0}), 0.02, user_requests=3))
    assert evidence.for_match(users_of(bbb=4650)).min() < SURE
    assert evidence.for_match(users_of(bbb=4720)).min() > SURE
    assert evidence.for_match(users_of(bbb=4710, bbx=10))[0] < SURE


def test_every_gateway_has_to_match_by_itself() -> None:
    evidence = UserEvidence(users_question(gateways=2))
    recorder = UserRecorder()
    for gateway, green in ((0, 29), (1, 21)):
        for name, number in (("green", green), ("blue", 100 - green)):
            kind = UserKind.of([name] * 3, gateway)
            recorder.add_counts({kind: 60 * number})
    of_each = evidence.for_match(recorder.users)
    assert len(of_each) == 2 * 2 + 1
    assert of_each[:-1].min() < 0
    assert evidence.for_deviation(recorder.users) > SURE


def test_the_masses_of_all_starts_do_not_exceed_one() -> None:
    starts = np.arange(1.0, 2.0**16)
    masses = start_masses(starts)
    assert 0.9 < masses.sum() <= 1
    assert (masses[:60] > 0).all()
    assert (masses[1 << 10 : 1 << 11] > 0).sum() == STARTS_A_LEVEL
