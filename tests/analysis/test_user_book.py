"""The requests of users put together, in order of the users' first requests."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from trafficsplit.analysis.kinds import Kind, Kinds, Outcome
from trafficsplit.analysis.user_book import EndedUsers, UserBook
from trafficsplit.analysis.visits import UserKind

KINDS = Kinds(["blue", "green"], gateways=2)
BLUE = KINDS.code_of(Kind(Outcome.IDENTIFIED, "blue"))
GREEN = KINDS.code_of(Kind(Outcome.IDENTIFIED, "green"))
ELSEWHERE = KINDS.code_of(Kind(Outcome.IDENTIFIED, "green", gateway=1))
ERROR = KINDS.code_of(Kind(Outcome.ERROR, "green", "5xx", answer=503))


def add(book: UserBook, *requests: tuple[int, int]) -> EndedUsers:
    """Add requests: a user's number and a code each."""
    users, codes = zip(*requests, strict=True)
    return book.add(np.array(codes), np.array(users))


def kinds(*answers: Sequence[str]) -> list[UserKind]:
    return [UserKind.of(one) for one in answers]


def test_a_user_has_ended_when_all_its_requests_have() -> None:
    book = UserBook(KINDS, 2)
    assert add(book, (1, BLUE), (2, GREEN)).kinds == []
    ended = add(book, (1, BLUE))
    assert ended.kinds == kinds(["blue", "blue"])
    assert ended.first_codes.tolist() == [BLUE]
    assert add(book, (2, BLUE)).kinds == kinds(["green", "blue"])


def test_users_wait_for_those_who_came_before() -> None:
    book = UserBook(KINDS, 2)
    assert add(book, (7, BLUE), (3, GREEN), (3, GREEN), (9, BLUE), (9, BLUE)).kinds == []
    ended = add(book, (7, GREEN))
    assert ended.kinds == kinds(["blue", "green"], ["green", "green"], ["blue", "blue"])
    assert ended.first_codes.tolist() == [BLUE, GREEN, BLUE]


def test_a_user_that_is_gone_is_waited_for_no_longer() -> None:
    book = UserBook(KINDS, 2)
    assert add(book, (1, BLUE), (2, GREEN), (2, GREEN)).kinds == []
    book.leave(1)
    assert add(book, (3, BLUE)).kinds == kinds(["green", "green"])
    book.leave(99)  # it had sent nothing


def test_a_user_that_leaves_when_all_is_sent_counts() -> None:
    book = UserBook(KINDS, 2)
    add(book, (1, BLUE), (2, GREEN), (2, GREEN))
    book.leave(2)
    assert add(book, (1, BLUE)).kinds == kinds(["blue", "blue"], ["green", "green"])


def test_a_lost_request_is_one_of_the_user() -> None:
    book = UserBook(KINDS, 2)
    assert add(book, (1, GREEN), (1, ERROR)).kinds == kinds(["green", ""])


def test_a_user_of_whom_a_request_is_left_out_is_left_out() -> None:
    book = UserBook(KINDS, 2)
    ended = add(book, (1, Kinds.LEFT_OUT), (2, BLUE), (1, GREEN), (2, BLUE))
    assert ended.kinds == kinds(["blue", "blue"])


def test_a_user_is_at_its_gateway() -> None:
    book = UserBook(KINDS, 2)
    (kind,) = add(book, (1, ELSEWHERE), (1, ELSEWHERE)).kinds
    assert kind.gateway == 1
