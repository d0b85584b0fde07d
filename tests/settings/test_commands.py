"""The options of commands, parsed before a command does anything."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.refusals import attempted
from tests.support.runs import CANARY
from trafficsplit.analysis.split import Split
from trafficsplit.errors import InputError
from trafficsplit.settings import options
from trafficsplit.settings.commands import (
    Listening,
    OutputSettings,
    ProbeSettings,
    SourceSettings,
    parse_analyze,
    parse_gate,
    parse_listening,
    parse_output,
    parse_plan,
    parse_probe,
    parse_rollout,
    parse_set_weights,
    parse_source,
    parse_steps,
)
from trafficsplit.settings.options import Texts

MANIFEST = {"manifest": "f.yaml", "route": "color", "map": "stable=blue"}


def test_a_source_is_a_file_or_a_resource() -> None:
    assert parse_source(Texts(options.PLAN, MANIFEST)) == SourceSettings(
        "manifest", "f.yaml", route="color", mapping={"stable": "blue"}
    )
    given_texts = {
        "http_route": "shop/color",
        "context": "prod",
        "gateway_service": "istio-system/gw",
        "force_conflicts": "yes",
    }
    assert parse_source(Texts(options.SET_WEIGHTS, given_texts)) == SourceSettings(
        "http_route",
        "shop/color",
        context="prod",
        gateway_service="istio-system/gw",
        force_conflicts=True,
    )
    assert parse_source(Texts(options.PLAN, {})) == SourceSettings()


@pytest.mark.parametrize(
    ("given_texts", "said"),
    [
        (
            {"manifest": "f", "http_route": "a/b"},
            "--manifest and --http-route say the same thing twice",
        ),
        ({"context": "prod"}, "--context is for a --virtual-service or an --http-route"),
        ({"manifest": "f", "gateway_service": "a/b"}, "--gateway-service is for a"),
        ({"manifest": "f", "force_conflicts": "yes"}, "--force-conflicts is for a"),
        ({"virtual_service": "a/b", "route": "x"}, "--route is for a --manifest"),
        ({"map": "stable=blue"}, "--map is for a --manifest or a cluster's resource"),
        ({"manifest": "f", "map": "stable"}, "is not DESTINATION=VARIANT"),
    ],
)
def test_an_option_without_its_source_is_refused(given_texts: dict[str, str], said: str) -> None:
    with pytest.raises(InputError, match=re.escape(said)):
        parse_set_weights(Texts(options.SET_WEIGHTS, given_texts))


def test_a_probe_is_the_request_by_which_rules_are_chosen() -> None:
    given_texts = {"host": "http://a\nhttp://b", "path": "/x", "header": "Host: shop"}
    assert parse_probe(Texts(options.PLAN, given_texts)) == ProbeSettings(
        ("http://a", "http://b"), "/x", {"Host": "shop"}
    )


def test_output_goes_where_it_is_told() -> None:
    assert parse_output(Texts(options.OUTPUT, {})) == OutputSettings()
    given_texts = {"report": "r", "json": "yes", "plots": "yes"}
    assert parse_output(Texts(options.OUTPUT, given_texts)) == OutputSettings(
        Path("r"), json=True, plots=True
    )


def test_a_plan_needs_no_gateway() -> None:
    settings = parse_plan(Texts(options.PLAN, {"weight": "25", "previous_weight": "10"}))
    assert settings.split == CANARY
    assert settings.previous == Split({"blue": 90, "green": 10})
    assert settings.rate == 1000
    assert (settings.plot, settings.json) == (None, False)
    drawn = parse_plan(Texts(options.PLAN, {"plot": "p.png", "rate": "1k", "json": "yes"}))
    assert (drawn.plot, drawn.split, drawn.json) == (Path("p.png"), None, True)


def test_one_thing_is_analyzed() -> None:
    assert parse_analyze(Texts(options.ANALYZE, {}), ("r",)).files == ("r",)
    counts = parse_analyze(Texts(options.ANALYZE, {"counts": "blue=3"}), ())
    assert (counts.counts, counts.window) == ("blue=3", "10m")
    for given_texts, files in (
        ({}, ()),
        ({"counts": "blue=3"}, ("r",)),
        ({"counts": "blue=3", "prometheus": "http://p"}, ()),
    ):
        with pytest.raises(InputError, match="what is to be judged"):
            parse_analyze(Texts(options.ANALYZE, given_texts), files)


def test_a_mapping_is_not_lost_beside_a_manifest() -> None:
    # Issue 13, fault 8: it was blanked before the manifest was read.
    given_texts = {"manifest": "f.yaml", "map": "v1=blue,v2=green", "counts": "blue=3,green=1"}
    settings = parse_analyze(Texts(options.ANALYZE, given_texts), ())
    assert settings.source.mapping == {"v1": "blue", "v2": "green"}
    assert settings.asks
    # Of an access log it says whose an address is, without any manifest.
    log = parse_analyze(Texts(options.ANALYZE, {"map": "10.0.0.7:80=green"}), ("access.log",))
    assert log.source.mapping == {"10.0.0.7:80": "green"}
    assert not log.asks


def test_a_rollout_is_parsed_whole() -> None:
    given_texts = {
        "steps": "5, 25,50%,100",
        "pause": "10s",
        "in_force_within": "500ms",
        "virtual_service": "shop/color",
        "host": "http://gateway",
        "tolerance": "3",
        "users": "4",
        "hold": "yes",
    }
    settings = parse_rollout(Texts(options.ROLLOUT, given_texts))
    assert settings.steps == (5, 25, 50, 100)
    assert (settings.pause, settings.in_force_within) == (10, 0.5)
    assert settings.hosts == ("http://gateway",)
    assert settings.limits.tolerance == 0.03
    assert settings.sending.users == 4
    assert (settings.hold, settings.yes, settings.resume, settings.undo) == (
        True,
        False,
        False,
        False,
    )
    assert settings.report == Path("reports/rollout")


@pytest.mark.parametrize(
    ("given_texts", "said"),
    [
        ({}, "no steps: give --steps 5,25,50,100"),
        ({"steps": " , "}, "no steps"),
        ({"steps": "5,200"}, "the step 200 is 200: give per cent"),
        ({"steps": "0.5"}, "the step 0.5 is 0.5, which may be 0.5 % or 50 %"),
        ({"continue": "yes", "undo": "yes"}, "--continue and --undo: give one of them"),
        # Issue 13, fault 1: these were refused only after the weights had been set.
        ({"steps": "40", "tolerance": "99"}, "--tolerance is 99"),
        ({"steps": "40", "rate": "abc"}, "--rate is not a number"),
        ({"steps": "40", "max_p99_ratio": "0.5"}, "--max-p99-ratio is 0.5"),
        ({"steps": "40", "in_force_within": "0"}, "--in-force-within is 0"),
    ],
)
def test_a_rollout_that_makes_no_sense_is_refused(given_texts: dict[str, str], said: str) -> None:
    with pytest.raises(InputError, match=re.escape(said)):
        parse_rollout(Texts(options.ROLLOUT, given_texts))


def test_a_rollout_that_is_resumed_needs_no_steps() -> None:
    assert parse_rollout(Texts(options.ROLLOUT, {"continue": "yes"})).steps == ()
    assert parse_rollout(Texts(options.ROLLOUT, {"undo": "yes"})).undo


@given(st.lists(st.integers(0, 100), min_size=1))
def test_steps_are_read_as_they_are_written(steps: list[int]) -> None:
    assert parse_steps(",".join(map(str, steps))) == tuple(map(float, steps))


def gate_texts(**given_texts: str) -> Texts:
    return Texts(options.GATE, {"host": "http://gateway", **given_texts})


def test_a_gate_has_gateways_that_it_may_ask() -> None:
    settings = parse_gate(gate_texts(host="http://a\nhttp://b", wait="5s", keep="0"))
    assert settings.hosts == ("http://a", "http://b")
    assert (settings.wait, settings.longest, settings.keep) == (5, 900, 0)
    assert settings.listening == Listening("127.0.0.1", 8080)
    with pytest.raises(InputError, match="no gateway to ask"):
        parse_gate(gate_texts(host=""))


@pytest.mark.parametrize(
    ("given_texts", "said"),
    [
        ({"tolerance": "0.0001%"}, "give a larger --tolerance"),
        ({"alpha": "60%"}, "alpha is 0.6"),
        ({"longest": "0"}, "--longest is 0"),
        ({"users": "0"}, "--users is 0"),
    ],
)
def test_a_gate_refuses_at_its_start_what_no_release_could_have(
    given_texts: dict[str, str], said: str
) -> None:
    with pytest.raises(InputError, match=re.escape(said)):
        parse_gate(gate_texts(**given_texts))


@pytest.mark.parametrize(
    ("given_texts", "address", "port"),
    [
        ({"listen": "127.0.0.1:0"}, "127.0.0.1", 0),
        ({"listen": "[::1]:80"}, "::1", 80),
        ({"listen": "0.0.0.0:80", "token": "x"}, "0.0.0.0", 80),
        ({"listen": "0.0.0.0:80", "open": "yes"}, "0.0.0.0", 80),
    ],
)
def test_a_gate_listens_where_it_is_told(
    given_texts: dict[str, str], address: str, port: int
) -> None:
    listening = parse_listening(gate_texts(**given_texts))
    assert (listening.address, listening.port) == (address, port)


@pytest.mark.parametrize(
    ("given_texts", "said"),
    [
        ({"listen": "0.0.0.0:80"}, "is not this machine alone: give --token or --client-ca"),
        ({"listen": "[::]:80"}, "is not this machine alone"),
        ({"listen": "localhost:80"}, "is no ADDRESS:PORT, e.g. 127.0.0.1:8080"),
        ({"listen": "127.0.0.1"}, "is no ADDRESS:PORT"),
        ({"listen": "127.0.0.1:70000"}, "is no ADDRESS:PORT"),
        ({"listen": "127.0.0.1:x"}, "is no ADDRESS:PORT"),
        ({"tls_cert": "c"}, "--tls-cert needs --tls-key"),
        ({"tls_key": "k"}, "--tls-key needs --tls-cert"),
        ({"client_ca": "c"}, "--client-ca needs --tls-cert"),
    ],
)
def test_a_gate_that_would_be_open_or_nowhere_is_refused(
    given_texts: dict[str, str], said: str
) -> None:
    with pytest.raises(InputError, match=re.escape(said)):
        parse_listening(gate_texts(**given_texts))


TABLES = [
    (options.PLAN, parse_plan),
    (options.SET_WEIGHTS, parse_set_weights),
    (options.ROLLOUT, parse_rollout),
    (options.GATE, parse_gate),
]


@given(st.sampled_from(TABLES), st.data())
def test_any_texts_are_settings_or_a_refusal(
    command: tuple[tuple[options.Option, ...], Callable[[Texts], object]],
    data: st.DataObject,
) -> None:
    table, parse = command
    names = st.sampled_from([option.name for option in table])
    given_texts = data.draw(st.dictionaries(names, st.text(max_size=8)))
    assert str(attempted(lambda: parse(Texts(table, given_texts))))
