"""Users by kind and by block."""

from __future__ import annotations

import numpy as np
import pytest

from trafficsplit.analysis.visits import (
    FIRST_WIDTH,
    MOST_BLOCKS,
    MOST_KINDS,
    UserKind,
    UserRecorder,
    Users,
)

BLUE = UserKind.of(["blue", "blue", "blue"])
GREEN = UserKind.of(["green", "green", "green"])
MOVED = UserKind.of(["blue", "green", "green"])


def test_a_user_is_what_answered_it() -> None:
    assert BLUE.counts == (("blue", 3),)
    assert not BLUE.changed
    assert MOVED.changed
    assert (MOVED.first, MOVED.last) == ("blue", "green")
    assert MOVED.share(["green"]) == pytest.approx(2 / 3)
    assert MOVED.share(["green", "blue"]) == 1


def test_a_lost_request_is_of_any_variant() -> None:
    kind = UserKind.of(["blue", "", "blue"])
    assert (kind.requests, kind.lost) == (3, 1)
    assert not kind.changed
    assert kind.may_have_changed
    assert kind.share(["green"]) == 0
    assert kind.share(["green"], lost=True) == pytest.approx(1 / 3)
    nothing = UserKind.of(["", ""], gateway=1)
    assert (nothing.first, nothing.last, nothing.gateway) == ("", "", 1)


def test_a_user_that_went_back_has_changed_too() -> None:
    kind = UserKind.of(["blue", "green", "blue"])
    assert kind.changed
    assert kind.first == kind.last


def recorded(*kinds: UserKind) -> Users:
    recorder = UserRecorder()
    recorder.add(kinds)
    return recorder.users


def test_users_are_counted() -> None:
    users = recorded(BLUE, GREEN, MOVED, BLUE, UserKind.of(["", "green"]))
    assert users.number == 5
    assert users.changed == 1
    assert users.with_losses == 1
    assert users.moves() == {("blue", "green"): 1}
    assert users.sum_of_shares("green") == pytest.approx(1 + 2 / 3 + 1 / 2)
    assert users.answered_first("green") == 2
    assert users.answered_last("green") == 3


def test_blocks_are_in_order_and_grow_with_the_run() -> None:
    recorder = UserRecorder()
    recorder.add([BLUE] * FIRST_WIDTH)
    recorder.add([GREEN] * FIRST_WIDTH)
    assert recorder.users.rows.tolist() == [[FIRST_WIDTH, 0], [0, FIRST_WIDTH]]
    recorder.add([BLUE, GREEN] * (FIRST_WIDTH * MOST_BLOCKS))
    users = recorder.users
    assert users.number == 2 * FIRST_WIDTH * (MOST_BLOCKS + 1)
    assert len(users.rows) <= MOST_BLOCKS
    assert users.width == 4 * FIRST_WIDTH
    assert users.rows[0].tolist() == [2 * FIRST_WIDTH, 2 * FIRST_WIDTH]
    assert set(users.rows[:-1].sum(axis=1).tolist()) == {users.width}


def test_users_of_unknown_order_are_counted_too() -> None:
    recorder = UserRecorder()
    recorder.add_counts({BLUE: 100, GREEN: 40})
    recorder.add_counts({})
    recorder.add_counts({MOVED: 1})
    users = recorder.users
    assert users.rows.tolist() == [[100, 40, 0], [0, 0, 1]]


def test_a_gateway_that_makes_up_names_fills_no_memory() -> None:
    recorder = UserRecorder()
    recorder.add([UserKind.of([f"v{number}", "x"]) for number in range(2 * MOST_KINDS)])
    users = recorder.users
    assert users.number == 2 * MOST_KINDS
    assert len(users.kinds) == MOST_KINDS + 1
    assert users.with_losses == MOST_KINDS


def test_users_of_one_gateway() -> None:
    users = recorded(BLUE, UserKind.of(["green"] * 3, gateway=1), GREEN)
    assert users.at(1).number == 1
    assert users.at(0).number == 2
    assert users.at(1).answered_first("green") == 1


def test_users_are_the_same_from_plain_data() -> None:
    users = recorded(BLUE, GREEN, MOVED, UserKind.of(["", "green"], gateway=1))
    again = Users.from_plain(users.as_plain())
    assert again.kinds == users.kinds
    assert np.array_equal(again.rows, users.rows)
    assert again.width == users.width
    assert Users.from_plain(Users().as_plain()).number == 0
