"""Simulated gateways do to users what they say."""

from __future__ import annotations

import numpy as np
import pytest

from tests.support.users import users_question
from trafficsplit.analysis.user_simulation import (
    EACH,
    LOST,
    Audience,
    Dealt,
    OneWay,
    Several,
    Sticky,
    verdict_on,
)
from trafficsplit.analysis.verdict import Verdict

MANY = 20_000


def rng() -> np.random.Generator:
    return np.random.default_rng(1)


def test_a_sticky_gateway_keeps_its_users() -> None:
    answers = Sticky(0.3).answer(rng(), 0, MANY)
    assert answers.shape == (MANY, EACH)
    assert (answers == answers[:, :1]).all()
    assert answers.mean() == pytest.approx(0.3, abs=0.02)


def test_flips_and_losses_are_as_rare_as_they_are_to_be() -> None:
    answers = Sticky(0.5, flip=0.01).answer(rng(), 0, MANY)
    changed = (answers != answers[:, :1]).any(axis=1)
    assert changed.mean() == pytest.approx(0.02, abs=0.004)
    lost = Sticky(0.5, loss=0.01).answer(rng(), 0, MANY) == LOST
    assert lost.mean() == pytest.approx(0.01, abs=0.002)


def test_a_share_may_change_with_the_users_number() -> None:
    answers = Sticky(lambda n: np.where(n < 100, 0.0, 1.0)).answer(rng(), 50, 100)
    assert answers[:50].sum() == 0
    assert (answers[50:] == 1).all()


def test_one_way_is_to_green() -> None:
    answers = OneWay(0.1).answer(rng(), 0, MANY)
    assert (np.diff(answers, axis=1) >= 0).all()
    assert answers[:, 0].mean() == pytest.approx(0.1, abs=0.01)
    assert answers[:, 2].mean() == pytest.approx(1 - 0.9**3, abs=0.01)


def test_versions_are_dealt_in_turn() -> None:
    assert Dealt(3, 1).answer(rng(), 2, 4)[:, 0].tolist() == [0, 1, 0, 0]


def test_several_gateways_answer_in_turn() -> None:
    answers = Several([Sticky(0.0), Sticky(1.0)]).answer(rng(), 1, 5)
    assert answers[:, 0].tolist() == [1, 0, 1, 0, 1]
    audience = Audience(users_question(gateways=2))
    audience.show(answers, 1)
    users = audience.test.users
    assert users.at(0).answered_first("green") == 0
    assert users.at(1).answered_first("green") == 3


def test_a_run_ends_with_its_verdict_or_its_budget() -> None:
    verdict, number = verdict_on(users_question(), Sticky(0.0), (1, 1), 5_000)
    assert verdict is Verdict.MISMATCH
    assert number < 500
    assert verdict_on(users_question(), Sticky(0.25), (1, 1), 300) == (Verdict.INCONCLUSIVE, 300)
