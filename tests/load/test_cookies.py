"""A user's cookies: what is set, what is sent, what is deleted."""

from __future__ import annotations

import pytest

from trafficsplit.load.cookies import Jar, default_path, matches

PATH = "/color"


def sent_after(*lines: str, path: str = PATH) -> str:
    jar = Jar()
    jar.take("\n".join(lines), PATH)
    return jar.header(path)


def test_a_cookie_comes_back() -> None:
    assert sent_after("version=green; Path=/; HttpOnly; SameSite=Lax") == "version=green"
    assert sent_after('_envoy="a=b=="; Max-Age=60; Path=/') == '_envoy="a=b=="'


def test_several_cookies_come_back_together() -> None:
    assert sent_after("a=1", "b=2; Path=/") == "a=1; b=2"


def test_it_is_known_whether_anything_is_new() -> None:
    jar = Jar()
    assert jar.take("a=1; Path=/", PATH)
    assert not jar.take("a=1; Path=/", PATH)
    assert jar.take("a=2; Path=/", PATH)
    assert jar.header(PATH) == "a=2"
    assert not jar.take("b=1; Max-Age=0", PATH)


@pytest.mark.parametrize(
    "ending", ["Max-Age=0", "max-age=-1", "Expires=Thu, 01 Jan 1970 00:00:00 GMT"]
)
def test_a_cookie_is_deleted(ending: str) -> None:
    jar = Jar()
    jar.take("a=1; Path=/", PATH)
    assert jar.take(f"a=; Path=/; {ending}", PATH)
    assert jar.header(PATH) == ""


@pytest.mark.parametrize(
    "attribute", ["Max-Age=soon", "Expires=one day", "Expires=Fri, 01 Jan 2100 00:00:00 GMT"]
)
def test_what_is_not_understood_deletes_nothing(attribute: str) -> None:
    assert sent_after(f"a=1; {attribute}") == "a=1"


@pytest.mark.parametrize("line", ["", "nonsense", "=1", ";"])
def test_what_is_no_cookie_is_passed_over(line: str) -> None:
    assert sent_after(line) == ""


@pytest.mark.parametrize(
    ("where", "path", "goes"),
    [
        ("/", "/color", True),
        ("/color", "/color", True),
        ("/color", "/color/deep?x=1", True),
        ("/color/", "/color/deep", True),
        ("/color", "/colors", False),
        ("/other", "/color", False),
        ("/color", "/color?a=/b", True),
    ],
)
def test_a_cookie_goes_where_its_path_says(where: str, path: str, goes: bool) -> None:
    assert matches(where, path) is goes
    assert bool(sent_after(f"a=1; Path={where}", path=path)) is goes


def test_without_a_path_it_is_the_folder_of_the_requests() -> None:
    assert default_path("/color") == "/"
    assert default_path("/shop/color?x=/y/") == "/shop"
    assert sent_after("a=1; Path=nonsense") == "a=1"
