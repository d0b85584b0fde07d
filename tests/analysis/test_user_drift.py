"""Since when users' shares have been steady."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from trafficsplit.analysis.user_drift import is_steady_now, shares_by_block, steady_since
from trafficsplit.analysis.visits import UserKind, UserRecorder, Users

BLUE = UserKind.of(["blue"] * 3)
GREEN = UserKind.of(["green"] * 3)
NAMES = ["blue", "green"]


def users_with(share: Callable[[float], float], number: int, seed: int = 1) -> Users:
    rng = np.random.default_rng(seed)
    recorder = UserRecorder()
    recorder.add([GREEN if rng.random() < share(n) else BLUE for n in range(number)])
    return recorder.users


def test_a_constant_share_is_steady_as_a_rule() -> None:
    found = [steady_since(users_with(lambda _: 0.25, 3000, seed), NAMES) for seed in range(60)]
    assert sum(since > 0 for since in found) <= 3


@pytest.mark.parametrize("before", [0.15, 0.35])
def test_a_change_is_found_where_it_was(before: float) -> None:
    users = users_with(lambda n: before if n < 2000 else 0.25, 5000)
    since = steady_since(users, NAMES) * users.width
    assert 1500 <= since <= 2700


def test_of_several_changes_it_is_the_last() -> None:
    users = users_with(lambda n: (0.1, 0.5, 0.25)[min(int(n // 1000), 2)], 4000)
    assert 1800 <= steady_since(users, NAMES) * users.width <= 2200


def test_a_slow_drift_is_found() -> None:
    found = []
    for seed in range(10):
        users = users_with(lambda n: 0.2 + 0.1 * n / 6000, 6000, seed)
        found.append(steady_since(users, NAMES))
    assert sum(since > 0 for since in found) >= 8


def test_a_dealt_share_is_steady() -> None:
    recorder = UserRecorder()
    recorder.add([BLUE, BLUE, BLUE, GREEN] * 1000)
    assert steady_since(recorder.users, NAMES) == 0


def test_a_share_that_changed_just_now_is_not_steady() -> None:
    found = []
    for seed in range(10):
        users = users_with(lambda n: 0.25 if n < 4500 else 0.10, 4700, seed)
        found.append(is_steady_now(users, NAMES))
    assert sum(found) <= 1


def test_a_constant_share_is_steady_now_as_a_rule() -> None:
    found = [is_steady_now(users_with(lambda _: 0.25, 3000, seed), NAMES) for seed in range(60)]
    assert sum(found) >= 50


@pytest.mark.parametrize("burst", [(75, 25), (30, 10), (150, 50)])
def test_bursts_are_steady(burst: tuple[int, int]) -> None:
    blue, green = burst
    recorder = UserRecorder()
    recorder.add(([BLUE] * blue + [GREEN] * green) * (6000 // (blue + green)))
    assert steady_since(recorder.users, NAMES) == 0
    assert is_steady_now(recorder.users, NAMES)


def test_few_users_tell_nothing() -> None:
    assert steady_since(Users(), NAMES) == 0
    assert is_steady_now(Users(), NAMES)
    assert steady_since(users_with(lambda n: float(n > 50), 60), NAMES) == 0


def test_shares_by_block() -> None:
    recorder = UserRecorder()
    recorder.add([BLUE] * 32)
    recorder.add([UserKind.of(["blue", "green"])] * 8)
    assert shares_by_block(recorder.users, NAMES).tolist() == [[32, 0], [4, 4]]
