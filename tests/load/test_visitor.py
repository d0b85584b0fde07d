"""Users in one place, one after the other: nothing of one goes to the next."""

from __future__ import annotations

import itertools

from trafficsplit.load.endpoint import Endpoint
from trafficsplit.load.visitor import Visit, Visitor, visit_of
from trafficsplit.settings.load import RequestSettings

ENDPOINT = Endpoint([], "gateway", None, "/prefix", "gateway:81")


def visitor(requests: int = 2, header: str = "", **headers: str) -> Visitor:
    return Visitor(Visit("/color", requests, headers, header), ENDPOINT, itertools.count(1))


def lines(one: Visitor) -> list[str]:
    return one.request.decode().split("\r\n")


def test_a_user_sends_its_requests_then_the_next_does() -> None:
    one = visitor(2)
    numbers = []
    over = []
    for _ in range(5):
        one.next()
        numbers.append(one.number)
        over.append(one.is_over)
    assert numbers == [1, 1, 2, 2, 3]
    assert over == [False, True, False, True, False]
    assert lines(one)[:2] == ["GET /prefix/color HTTP/1.1", "Host: gateway:81"]


def test_a_user_sends_back_its_own_cookies_only() -> None:
    one = visitor(2)
    one.next()
    assert "Cookie:" not in one.request.decode()
    one.take({"set-cookie": "version=green; Path=/prefix\nother=1; Path=/elsewhere"})
    one.next()
    assert "Cookie: version=green" in lines(one)
    one.next()
    assert "Cookie:" not in one.request.decode()


def test_cookies_that_are_asked_for_are_kept() -> None:
    one = visitor(3, cookie="tenant=a")
    one.next()
    assert "cookie: tenant=a" in lines(one)
    one.take({"set-cookie": "version=blue"})
    assert "cookie: tenant=a; version=blue" in lines(one)
    assert one.request.decode().lower().count("cookie:") == 1


def test_each_user_has_a_header_of_its_own_that_cannot_be_guessed() -> None:
    one = visitor(2, header="X-User")
    values = []
    for _ in range(6):
        one.next()
        (line,) = [line for line in lines(one) if line.startswith("X-User: ")]
        values.append(line.removeprefix("X-User: "))
    assert values[0] == values[1] != values[2] == values[3] != values[4]
    assert len(set(values)) == 3
    assert min(map(len, values)) == 32


def test_an_answer_without_cookies_changes_nothing() -> None:
    one = visitor(2)
    one.next()
    before = one.request
    one.take({"content-type": "text/html"})
    assert one.request is before


def test_each_user_asks_from_an_address_of_its_own() -> None:
    visit = visit_of(
        RequestSettings(unit="user", user_requests=1, user_address="127.64.0.0/16"), "/color", {}
    )
    one = Visitor(visit, ENDPOINT, itertools.count(1))
    sources = []
    for _ in range(20_000):
        one.next()
        sources.append(one.source)
    assert len(set(sources)) == 20_000
    assert all(source.startswith("127.64.") for source in sources)
    assert "127.64.0.0" not in sources


def test_the_settings_say_what_users_do() -> None:
    settings = RequestSettings(unit="user", user_requests=4, user_header="X-User")
    assert visit_of(settings, "/", {"A": "b"}) == Visit("/", 4, {"A": "b"}, "X-User")
