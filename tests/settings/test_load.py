"""What is sent, and how: from texts to frozen settings, and through a file."""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.refusals import attempted
from trafficsplit.analysis.run import CanaryLimits
from trafficsplit.analysis.split import Split
from trafficsplit.errors import InputError
from trafficsplit.settings.load import (
    CLIENTS,
    UNITS,
    ConnectionSettings,
    LoadSettings,
    RequestSettings,
    SendingSettings,
    load_as_plain,
    load_from_plain,
    parse_load,
    parse_sending,
    parse_users,
)
from trafficsplit.settings.options import VERIFY, Texts


def texts(**given_texts: str) -> Texts:
    return Texts(VERIFY, given_texts)


def test_without_options_the_defaults_are_those_of_the_type() -> None:
    assert parse_load(texts()) == LoadSettings()
    assert parse_sending(texts()) == SendingSettings()


def test_every_option_has_its_place() -> None:
    load = parse_load(
        texts(
            path="/shop?x=1",
            header="Host: shop\nX-Y: z",
            variant_from="header:x-variant",
            unit="session",
            timeout="500ms",
            resolve="gateway:10.0.0.7",
            ca_file="/etc/ca.pem",
            insecure="yes",
            settle="1m",
            rate="60/min",
            client="stock",
            record="yes",
            previous_weight="10",
            max_p99_ratio="2x",
            max_error_ratio="1.5",
        )
    )
    assert load == LoadSettings(
        request=RequestSettings(
            path="/shop?x=1",
            headers={"Host": "shop", "X-Y": "z"},
            variant_from="header:x-variant",
            unit="session",
            timeout=0.5,
        ),
        connection=ConnectionSettings(
            addresses={"gateway": ("10.0.0.7",)}, ca_file="/etc/ca.pem", insecure=True
        ),
        settle=60,
        rate=1,
        client="stock",
        record=True,
        previous=Split({"blue": 90, "green": 10}),
        canary=CanaryLimits(2, 1.5),
    )
    assert load.request.new_connections
    assert not RequestSettings().new_connections
    assert parse_sending(texts(users="1k", ramp="1m", processes="4")) == SendingSettings(
        1000, 60.0, 4
    )


def test_a_file_is_found_from_another_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert parse_load(texts(ca_file="ca.pem")).connection.ca_file == str(tmp_path / "ca.pem")


@pytest.mark.parametrize(
    ("given_texts", "said"),
    [
        ({"path": "color"}, "--path 'color' is no path"),
        ({"header": "x"}, "--header 'x' is no header"),
        ({"unit": "visit"}, "there is no --unit 'visit': say one of request, session"),
        ({"timeout": "0"}, "--timeout is 0: give a time above 0"),
        ({"resolve": "gateway:x"}, "--resolve 'gateway:x' is not NAME:ADDRESS"),
        ({"settle": "soon"}, "--settle is no time"),
        ({"rate": "0"}, "--rate is 0: give requests a second"),
        ({"rate": "abc"}, "--rate is not a number: 'abc'"),
        ({"client": "wrk"}, "there is no --client 'wrk': say one of engine, stock, requests"),
        ({"previous_weight": "0.1"}, "--previous-weight is 0.1, which may be 0.1 % or 10 %"),
        ({"max_p99_ratio": "0.5"}, "--max-p99-ratio is 0.5: give how many times is fine, from 1"),
        ({"max_error_ratio": "x"}, "--max-error-ratio is not a number"),
        ({"users": "0"}, "--users is 0"),
        ({"users": "10001"}, "--users is 10,001: give at most 10,000"),
        ({"processes": "257"}, "--processes is 257: give at most 256"),
        ({"ramp": "-1s"}, "--ramp is no time"),
    ],
)
def test_what_cannot_be_sent_is_refused_by_name(given_texts: dict[str, str], said: str) -> None:
    given_all = texts(**given_texts)
    with pytest.raises(InputError, match=re.escape(said)):
        _ = (parse_load(given_all), parse_sending(given_all))


def test_users_alone_are_parsed_too() -> None:
    assert parse_users(texts(users="32")) == 32


@given(st.dictionaries(st.sampled_from([o.name for o in VERIFY]), st.text(max_size=8)))
def test_any_texts_are_settings_or_a_refusal(given_texts: dict[str, str]) -> None:
    load = attempted(lambda: parse_load(texts(**given_texts)))
    assert str(load)
    if isinstance(load, LoadSettings):
        assert load.request.unit in UNITS
        assert load.request.timeout > 0
        assert load.client in ("", *CLIENTS)
    sending = attempted(lambda: parse_sending(texts(**given_texts)))
    assert str(sending)
    if isinstance(sending, SendingSettings):
        assert sending.users >= 1


words = st.text(max_size=8)
loads = st.builds(
    LoadSettings,
    request=st.builds(
        RequestSettings,
        words,
        st.dictionaries(words, words, max_size=2),
        words,
        st.sampled_from(UNITS),
        st.floats(0.001, 1e6),
    ),
    connection=st.builds(
        ConnectionSettings,
        st.dictionaries(words, st.lists(words, max_size=2).map(tuple), max_size=2),
        words,
        st.booleans(),
    ),
    settle=st.floats(0, 1e6),
    rate=st.none() | st.floats(0.001, 1e6),
    client=st.sampled_from(["", *CLIENTS]),
    record=st.booleans(),
    previous=st.sampled_from([None, Split({"blue": 3, "green": 1}), Split({"green": 1})]),
    canary=st.builds(CanaryLimits, st.none() | st.floats(1, 9), st.none() | st.floats(1, 9)),
)


@given(loads)
def test_settings_come_back_from_a_file_as_they_were(load: LoadSettings) -> None:
    assert load_from_plain(json.loads(json.dumps(load_as_plain(load)))) == load


def test_settings_cannot_be_changed() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        LoadSettings().rate = 1.0  # type: ignore[misc]
