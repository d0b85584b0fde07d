"""What is never written: values of headers, tokens and passwords."""

from __future__ import annotations

import pytest

from trafficsplit.settings.secrets import (
    are_masked,
    mask_settings,
    masked_arguments,
    masked_headers,
    names_of,
    with_values,
)


@pytest.mark.parametrize(
    ("arguments", "masked"),
    [
        (("--header", "Authorization: Bearer x"), ["--header", "Authorization: ***"]),
        (("--header=Cookie: a=1",), ["--header=Cookie: ***"]),
        (("--header", "Host: shop.example.com"), ["--header", "Host: shop.example.com"]),
        (("--header", "odd"), ["--header", "odd***"]),
        (("--token", "secret", "--weight", "25"), ["--token", "***", "--weight", "25"]),
        (("--token=secret",), ["--token=***"]),
        (("--host", "http://user:pass@gw:80/x"), ["--host", "http://user:***@gw:80/x"]),
        (("--host=http://user:pass@gw",), ["--host=http://user:***@gw"]),
        (("--weight", "25", "--path", "/a:b@c"), ["--weight", "25", "--path", "/a:b@c"]),
        (("--header",), ["--header"]),
    ],
)
def test_a_command_is_shown_without_its_secrets(
    arguments: tuple[str, ...], masked: list[str]
) -> None:
    assert masked_arguments(arguments) == masked


def test_headers_are_kept_by_name_and_given_anew() -> None:
    headers = {"Host": "shop", "Authorization": "Bearer x"}
    kept = masked_headers(headers)
    assert kept == {"Host": "shop", "Authorization": "***"}
    assert (are_masked(headers), are_masked(kept)) == (False, True)
    assert list(names_of(kept)) == ["Authorization"]
    assert with_values(kept, {"authorization": "Bearer x"}) == headers
    with pytest.raises(KeyError):
        with_values(kept, {})


def test_settings_are_masked_where_their_headers_are() -> None:
    plain = {"hosts": ["http://x"], "load": {"users": 1, "request": {"headers": {"X": "1"}}}}
    masked = mask_settings(plain)
    assert masked["load"] == {"users": 1, "request": {"headers": {"X": "***"}}}
    assert plain["load"]["request"]["headers"] == {"X": "1"}  # type: ignore[index]
