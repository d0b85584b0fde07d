"""Addresses, paths and headers: sent as they are, or refused by name."""

from __future__ import annotations

import re
from collections.abc import Callable
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.refusals import attempted
from trafficsplit.errors import InputError
from trafficsplit.settings.addresses import (
    parse_addresses,
    parse_headers,
    parse_host,
    parse_hosts,
    parse_mapping,
    parse_path,
    required_hosts,
    resolve_text,
)

Parser = Callable[[str], Any]
PARSERS: list[Parser] = [
    parse_host,
    parse_hosts,
    required_hosts,
    parse_path,
    parse_headers,
    parse_addresses,
    parse_mapping,
]


@pytest.mark.parametrize(
    ("text", "host"),
    [
        ("http://gateway", "http://gateway"),
        ("https://gateway:8443/", "https://gateway:8443"),
        ("http://[::1]:80", "http://[::1]:80"),
        ("http://gateway/base/", "http://gateway/base"),
    ],
)
def test_a_host_is_a_base_url(text: str, host: str) -> None:
    assert parse_host(text) == host


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("gateway", "is no address: give http://NAME"),
        ("gateway:80", "is no address"),
        ("ftp://gateway", "is no address"),
        ("http://", "is no address"),
        ("http://gateway:0", "is no address"),
        ("http://gateway:99999", "is no address"),
        ("http://[::1", "is no address"),
        ("http://gate way", "is no address"),
        ("http://gateway\n", "is no address"),
        ("http://user:secret@gateway", "give --header 'Authorization: …' instead"),
    ],
)
def test_what_is_no_base_url_is_refused(text: str, said: str) -> None:
    with pytest.raises(InputError, match=re.escape(said)):
        parse_host(text)


def test_a_secret_in_an_address_is_not_repeated() -> None:
    with pytest.raises(InputError) as refusal:
        parse_host("http://user:secret@gateway")
    assert "secret" not in str(refusal.value)


def test_hosts_stand_between_commas_or_spaces_each_once() -> None:
    assert parse_hosts("http://a, http://b\nhttp://a/ ,") == ("http://a", "http://b")
    assert parse_hosts(" ,\n") == ()
    assert required_hosts("http://a") == ("http://a",)
    with pytest.raises(InputError, match="no gateway to ask: give --host"):
        required_hosts(" ")


def test_a_path_can_be_sent_as_it_is() -> None:
    assert parse_path("/color?x=1&y=%20") == "/color?x=1&y=%20"
    for bad in ("color", "", "/a b", "/ü", "/a\r\nHost: x", "http://x/color"):
        with pytest.raises(InputError, match="is no path: begin with /"):
            parse_path(bad)


def test_headers_are_lines_of_name_and_value() -> None:
    text = "Host: shop.example\nX-Empty:\nCookie:  a=1; my-color=green "
    assert parse_headers(text) == {
        "Host": "shop.example",
        "X-Empty": "",
        "Cookie": "a=1; my-color=green",
    }
    assert parse_headers("") == {}


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("no colon", "is no header: give 'NAME: VALUE'"),
        ("two words: x", "is no header"),
        (": x", "is no header"),
        ("Content-Length: 7", "the client needs it itself"),
        ("transfer-encoding: chunked", "the client needs it itself"),
        ("X: \N{SNOWMAN}", "has characters that cannot be sent"),
        ("X: a\x00b", "has characters that cannot be sent"),
    ],
)
def test_headers_that_break_a_request_are_refused(line: str, said: str) -> None:
    with pytest.raises(InputError, match=re.escape(said)):
        parse_headers(line)


def test_addresses_stand_behind_their_name() -> None:
    text = "Gateway:10.0.0.7,[::1], 10.0.0.7\nother"
    expected = {"gateway": ("10.0.0.7", "::1"), "other": ()}
    assert parse_addresses(text) == expected


@pytest.mark.parametrize("line", ["gateway:", "gateway:nowhere", ":10.0.0.7", "gate way:10.0.0.7"])
def test_what_is_no_address_of_a_name_is_refused(line: str) -> None:
    with pytest.raises(InputError, match=r"is not NAME:ADDRESS, e\.g\. gateway:10\.0\.0\.7"):
        parse_addresses(line)


names = st.from_regex(r"[a-z][a-z0-9.-]{0,10}", fullmatch=True)
addresses = st.lists(st.ip_addresses().map(str), max_size=4, unique=True).map(tuple)


@pytest.mark.slow
@given(st.dictionaries(names, addresses, max_size=4))
def test_addresses_are_read_as_they_are_written(known: dict[str, tuple[str, ...]]) -> None:
    # A scope (fe80::1%eth0) has no place in a mapped form, and none is drawn.
    assert parse_addresses(resolve_text(known)) == {
        name: tuple(dict.fromkeys(str(ip_address(one)) for one in every))
        for name, every in known.items()
    }


def test_a_mapping_says_what_a_destination_is_called() -> None:
    assert parse_mapping("stable=blue, canary=green,") == {"stable": "blue", "canary": "green"}
    assert parse_mapping("10.0.0.7:8080=green") == {"10.0.0.7:8080": "green"}
    assert parse_mapping("") == {}
    assert parse_mapping("=blue,x=green") == {"": "blue", "x": "green"}
    for bad in ("stable", "stable=", "="):
        with pytest.raises(InputError, match=r"is not DESTINATION=VARIANT, e\.g\. stable=blue"):
            parse_mapping(bad)


@given(st.sampled_from(PARSERS), st.text(max_size=30) | st.text("ahtp:/=,.[]@0x \n", max_size=20))
def test_any_text_is_parsed_or_refused(parser: Parser, text: str) -> None:
    found = attempted(lambda: parser(text))
    assert str(found) or not isinstance(found, InputError)


@given(st.text("ahtps:/=,.[]@01 ", max_size=25).map(lambda text: f"http://{text}"))
def test_a_host_that_is_taken_can_be_asked(text: str) -> None:
    found = attempted(lambda: parse_host(text))
    if isinstance(found, str):
        url = urlsplit(found)
        assert url.hostname
        assert url.port != 0
