"""The options about users."""

from __future__ import annotations

import pytest

from trafficsplit.errors import InputError
from trafficsplit.settings.load import load_as_plain, load_from_plain, parse_load
from trafficsplit.settings.options import VERIFY, Texts
from trafficsplit.settings.question import parse_limits
from trafficsplit.settings.users import USER_REQUESTS, user_requests_of


def texts(**given: str) -> Texts:
    return Texts(VERIFY, given)


def test_draws_are_no_users_unless_it_is_said() -> None:
    assert parse_load(texts()).request.user_requests == 0
    assert parse_limits(texts()).user_requests == 0
    assert parse_load(texts(unit="session")).request.user_requests == 0


def test_a_user_asks_several_times() -> None:
    load = parse_load(texts(unit="user", user_header="X-User", user_address="127.64.0.1/10"))
    assert load.request.user_requests == USER_REQUESTS
    assert load.request.user_header == "X-User"
    assert load.request.user_address == "127.64.0.0/10"
    assert not load.request.new_connections
    given = texts(unit="user", user_requests="5")
    assert parse_load(given).request.user_requests == 5
    assert parse_limits(given).user_requests == 5
    assert load_from_plain(load_as_plain(load)) == load


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"user_requests": "3"}, "--user-requests is about users: give --unit user too"),
        ({"user_header": "X-U", "unit": "session"}, "--user-header is about users"),
        ({"user_address": "127.0.0.0/8"}, "--user-address is about users"),
        ({"unit": "user", "user_requests": "1"}, "does not show whether users stay"),
        ({"unit": "user", "user_requests": "101"}, "give from 2 to 100"),
        ({"unit": "user", "user_header": "X User"}, "no header's name"),
        ({"unit": "user", "user_header": "Cookie"}, "cannot be set"),
        ({"unit": "user", "user_address": "10.0.0.0/8"}, "not of this machine"),
        ({"unit": "user", "user_address": "::1/128"}, "not of this machine"),
        ({"unit": "user", "user_address": "127.0.0.0/24"}, "too few addresses"),
        ({"unit": "user", "user_address": "nowhere"}, "is no network"),
        ({"unit": "users"}, "there is no --unit 'users'"),
    ],
)
def test_what_makes_no_sense_is_refused(given: dict[str, str], said: str) -> None:
    with pytest.raises(InputError) as error:
        parse_load(texts(**given))
    assert said in str(error.value)


def test_a_request_of_the_gates_may_be_about_users() -> None:
    assert user_requests_of("user", 0) == USER_REQUESTS
    assert user_requests_of("user", 7) == 7
    assert user_requests_of("request", 7) == 0
