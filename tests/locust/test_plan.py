"""The plan of a run: parsed from Locust's options, or taken from our parent, and checked."""

from __future__ import annotations

import io
import sys
from argparse import Namespace
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from tests.support.manifests import SUBSETS, reviews
from tests.support.runs import CANARY
from trafficsplit.analysis.split import Split
from trafficsplit.errors import InputError
from trafficsplit.load.endpoint import GatewayAddress
from trafficsplit.locust import parent as parents
from trafficsplit.locust.parent import Parent, connect
from trafficsplit.locust.plan import RunPlan, check_gateways, check_hosts, check_settings, plan_of
from trafficsplit.settings.load import (
    ConnectionSettings,
    LoadSettings,
    RequestSettings,
    SendingSettings,
)
from trafficsplit.settings.options import LOCUSTFILE
from trafficsplit.settings.question import Limits
from trafficsplit.settings.verify import VerifySettings

HOST = "http://gateway"


@pytest.fixture(autouse=True)
def no_parent() -> Iterator[None]:
    """No process waits for a run, before a test and after it."""
    parents._parents.clear()
    yield
    parents._parents.clear()


ANYWHERE = "['*']\n  gateways: [gw]"  # hosts, and a gateway for them


def options(given: Mapping[str, object]) -> Namespace:
    """Return what Locust's parser makes of these options."""
    every: dict[str, object] = {option.name: option.default for option in LOCUSTFILE}
    for option in LOCUSTFILE:
        if option.flag:
            every[option.name] = False
    return Namespace(**{**every, "num_users": 16, **given})


def plan(host: str | None = HOST, /, **given: object) -> RunPlan:
    return plan_of(options(given), host)


def test_options_become_a_plan() -> None:
    found = plan(weight="25", tolerance="3", path="/x", rate="100", num_users=4)
    assert found.hosts == (HOST,)
    assert found.gateways == (GatewayAddress(HOST),)
    assert found.split == CANARY
    assert found.question is not None
    assert found.question.tolerance == 0.03
    assert (found.load.request.path, found.load.rate, found.users) == ("/x", 100.0, 4)
    assert found.run_id == ""
    assert found.host == HOST


def test_several_gateways_are_one_plan() -> None:
    found = plan("http://a, http://b", weight="25")
    assert found.hosts == ("http://a", "http://b")
    assert found.question is not None
    assert found.question.gateways == 2
    assert found.host == "http://a, http://b"


def test_without_a_split_nothing_is_asked_and_without_a_host_nobody() -> None:
    found = plan(None, num_users=None)
    assert (found.question, found.split, found.hosts, found.users) == (None, None, (), 1)
    assert found.gateways == (GatewayAddress(""),)
    with pytest.raises(InputError, match="no gateway to ask"):
        check_hosts(found)
    check_hosts(plan())


def test_a_flag_of_argparse_is_a_flag() -> None:
    assert plan(insecure=True).load.connection.insecure
    assert not plan(insecure=False).load.connection.insecure


@pytest.mark.parametrize("value", ["", None])
def test_an_empty_field_of_the_web_form_is_the_default(value: object) -> None:
    found = plan(path=value, timeout=value, unit=value)
    assert found.load.request == RequestSettings()


def test_a_manifest_is_read_once_and_its_weights_take_its_place(tmp_path: Path) -> None:
    file = tmp_path / "m.yaml"
    file.write_text(SUBSETS + reviews(("v1", 75), ("v2", 25)).replace("[reviews]", ANYWHERE))
    given = options({"manifest": str(file), "map": "v1=blue,v2=green"})
    assert plan_of(given, HOST).split == CANARY
    file.unlink()  # workers have no such file
    assert (given.manifest, given.map, given.route) == ("", "", "")
    assert plan_of(given, HOST).split == CANARY


def test_a_manifest_may_come_on_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        sys, "stdin", io.StringIO(reviews(("v1", 1)).replace("[reviews]", ANYWHERE))
    )
    assert plan(manifest="-").split == Split({"v1": 1})


def test_a_parents_settings_are_taken_and_not_locusts_options() -> None:
    settings = VerifySettings(
        ("http://theirs",), CANARY, Limits(requests=777), LoadSettings(rate=5.0), run_id="abc"
    )
    connect(Parent(settings, ".", 1))
    found = plan("http://other", weight="90", num_users=7)
    assert (found.hosts, found.split) == (("http://theirs",), CANARY)
    assert found.question is not None
    assert (found.question.requests, found.load.rate) == (777, 5.0)
    assert (found.run_id, found.users) == ("abc", 7)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"weight": "x"}, "--weight is not a number: 'x'"),
        ({"weight": "25", "weights": "a=1"}, "--weight and --weights"),
        ({"weight": "25", "tolerance": "30"}, "get everything"),
        ({"rate": "abc"}, "--rate is not a number"),
        ({"client": "curl"}, "there is no --client 'curl'"),
        ({"variant_from": "body"}, "body"),
        ({"variant_from": "regex:("}, "is no regular expression"),
        ({"ca_file": "nothing.pem"}, "nothing.pem cannot be used"),
        ({"map": "a=b"}, "--map is for a --manifest"),
        ({"route": "a"}, "--route is for a --manifest"),
        ({"manifest": "nothing.yaml"}, "nothing.yaml cannot be read"),
        ({"path": "color"}, "'color' is no path"),
    ],
)
def test_what_cannot_be_sent_is_refused(given: dict[str, object], said: str) -> None:
    with pytest.raises(InputError, match=said):
        plan(**given)


def test_recordings_need_pyarrow(monkeypatch: pytest.MonkeyPatch) -> None:
    assert plan(record=True).load.record
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    with pytest.raises(InputError, match="recordings need pyarrow"):
        plan(record=True)


# --- checks ---

TWO = {"gateway": ("10.0.0.1", "10.0.0.2")}


def test_several_addresses_of_a_name_need_the_engine() -> None:
    load = LoadSettings(connection=ConnectionSettings(TWO))
    found = plan(resolve="gateway:10.0.0.1,10.0.0.2")
    assert [gateway.address for gateway in found.gateways] == ["10.0.0.1", "10.0.0.2"]
    check_gateways(found, "engine", alone=True)
    with pytest.raises(InputError, match="--client stock cannot ask several addresses"):
        check_gateways(found, "stock", alone=True)
    settings = VerifySettings((HOST,), CANARY, load=load)
    check_settings(settings)
    with pytest.raises(InputError, match="--client requests cannot ask several"):
        check_settings(
            VerifySettings(
                (HOST,), CANARY, load=LoadSettings(client="requests", connection=load.connection)
            )
        )


def test_each_gateway_needs_a_user_but_a_workers_share_need_not() -> None:
    found = plan("http://a,http://b,http://c", num_users=2)
    with pytest.raises(InputError, match="2 users cannot ask 3 gateways: give more --users"):
        check_gateways(found, "engine", alone=True)
    check_gateways(found, "engine", alone=False)
    with pytest.raises(InputError, match="1 users cannot ask 2 gateways"):
        check_settings(
            VerifySettings(("http://a", "http://b"), CANARY, sending=SendingSettings(users=1))
        )


def test_a_name_has_one_address_where_options_give_any() -> None:
    found = plan(resolve="gateway:10.0.0.1,10.0.0.2\nother:10.0.0.3\nnone")
    assert found.known_addresses == {"gateway": "10.0.0.1", "other": "10.0.0.3"}
