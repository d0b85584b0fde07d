"""What a controller's request means, however odd it is."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.gates import gate_settings
from trafficsplit.analysis.split import Split
from trafficsplit.errors import InputError, NoClusterError, NotAllowedError
from trafficsplit.gate.requests import Reader, Verification, text_of, verification_from_plain
from trafficsplit.settings.commands import SourceSettings
from trafficsplit.settings.verify import verify_as_plain
from trafficsplit.weights.cluster import KINDS, Release, Resource
from trafficsplit.weights.routes import Probe

CALLS: list[tuple[SourceSettings, Probe]] = []


def split_of(source: SourceSettings, probe: Probe) -> Split:
    """Stand for a live cluster, and keep what it is asked."""
    CALLS.append((source, probe))
    return Split({"blue": 90, "green": 10})


def release_of(kind: str, reference: str, _: str) -> Release:
    """Stand for a live cluster, in which a canary is green."""
    return release(kind, reference, "blue", "green")


def release(kind: str, reference: str, stable: str, canary: str) -> Release:
    namespace, name = reference.split("/")
    resource = Resource(KINDS[kind], namespace, name, "", {}, ())
    return Release(resource, template(stable), template(canary), "Progressing/since")


def template(color: str) -> dict[str, Any]:
    variables = [{"name": "LOG", "value": "info"}, {"name": "COLOR", "value": color}]
    return {"spec": {"containers": [{"name": "app", "image": "color:1", "env": variables}]}}


def reader(**given: str) -> Reader:
    settings = gate_settings(host="http://gateway\nhttp://other:81", **given)
    return Reader(settings, split_of, release_of)


READER = reader()
# As Flagger's documentation has it.
PAYLOAD: dict[str, Any] = {
    "name": "podinfo",
    "namespace": "test",
    "phase": "Progressing",
    "checksum": "85d557f47b",
    "metadata": {"test": "all", "token": "16688eb5e9f289f1991c"},
}
JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=12,
)


def with_metadata(**metadata: object) -> dict[str, object]:
    return {**PAYLOAD, "metadata": metadata}


def split(verification: Verification) -> dict[str, float]:
    return dict(verification.settings.split.weights)


def test_weights_come_from_metadata_or_the_cluster() -> None:
    found = READER.of_flagger(with_metadata(weight="25"))
    assert found.settings.hosts == ("http://gateway",)
    assert found.settings.load.request.path == "/color"
    assert split(found) == {"blue": 0.75, "green": 0.25}
    assert (found.target, found.weights) == ("http://gateway/color", "blue 75 %, green 25 %")
    assert split(READER.of_flagger(with_metadata(weights="a=1,b=3"))) == {"a": 0.25, "b": 0.75}
    CALLS.clear()
    assert split(READER.of_flagger(PAYLOAD)) == {"blue": 0.9, "green": 0.1}
    assert split(READER.of_flagger(with_metadata(virtualService="test/podinfo", map="a=b")))
    (canary, probe), (service, _) = CALLS
    assert (canary.kind, canary.reference) == ("canary", "test/podinfo")
    assert canary.mapping == {"primary": "blue", "canary": "green"}
    assert probe == Probe("/color", "gateway")
    assert (service.kind, service.reference) == ("virtual_service", "test/podinfo")
    assert service.mapping == {"a": "b"}


def test_the_kubeconfigs_context_is_the_gates() -> None:
    CALLS.clear()
    reader(context="prod").of_flagger(PAYLOAD)
    assert CALLS[0][0].context == "prod"


@pytest.mark.parametrize(
    ("weight", "green"), [("25", 0.25), ("0.5", 0.005), (1, 0.01), ("100", 1.0), ("2.5%", 0.025)]
)
def test_a_controllers_weight_is_always_per_cent(weight: object, green: float) -> None:
    assert split(READER.of_flagger(with_metadata(weight=weight)))["green"] == pytest.approx(green)


def test_the_gates_own_variants_are_named() -> None:
    own = reader(variants="stable,canary").of_flagger(with_metadata(weight=25))
    assert split(own) == {"stable": 0.75, "canary": 0.25}


def test_what_a_request_says_overrules_the_gates_options() -> None:
    own = reader(tolerance="3", settle="5s", users="7", timeout="4s", rate="100")
    plain = own.of_flagger(with_metadata(weight=25)).settings
    assert (plain.limits.tolerance, plain.load.settle, plain.sending.users) == (0.03, 5.0, 7)
    assert (plain.load.request.timeout, plain.load.rate) == (4.0, 100.0)
    said = {
        "weight": 25,
        "host": "http://other:81/",
        "path": "/other",
        "tolerance": "1",
        "alpha": "5%",
        "unit": "session",
        "settle": "2s",
        "previous-weight": "10",
        "max_p99_ratio": "1.5",
        "max-error-ratio": "2x",
    }
    settings = own.of_flagger(with_metadata(**said)).settings
    assert settings.hosts == ("http://other:81",)
    assert (settings.limits.tolerance, settings.limits.alpha) == (0.01, 0.05)
    assert (settings.load.request.path, settings.load.request.unit) == ("/other", "session")
    assert settings.load.settle == 2.0
    assert settings.load.previous == Split({"blue": 90, "green": 10})
    assert settings.load.canary.max_p99_ratio == 1.5
    assert settings.load.canary.max_error_ratio == 2.0
    assert settings.load.request.timeout == 4.0


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ({"weight": "a lot"}, "weight is not a number"),
        ({"weight": "101"}, "the weight 101 is not from 0 to 100"),
        ({"weight": "-1"}, "the weight -1 is not from 0 to 100"),
        ({"weights": "a"}, "is not of the form"),
        ({"weight": True}, "'metadata.weight' is no text"),
        ({"weight": "2" * 301}, "is too long, or not printable"),
        ({"weight": 25, "tolerance": "60"}, "tolerance is 60"),
        ({"weight": 25, "tolerance": "30"}, "get everything: give less than 25"),
        ({"weight": 25, "alpha": "7"}, "alpha is 7"),
        ({"weight": 25, "unit": "users"}, "there is no unit 'users'"),
        ({"weight": 25, "settle": "soon"}, "settle is no time"),
        ({"weight": 25, "path": "color"}, "'color' is no path"),
        ({"weight": 25, "max_p99_ratio": "0.5"}, "max_p99_ratio is 0.5"),
        ({"weight": 25, "previous_weight": "200"}, "previous_weight is 200"),
    ],
)
def test_what_cannot_be_asked_is_refused_by_name(said: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        READER.of_flagger(with_metadata(**said))


@pytest.mark.parametrize(
    ("payload", "message"),
    [
        ([], "the body is no JSON object"),
        ("text", "the body is no JSON object"),
        ({"metadata": [1]}, "metadata is no object"),
        ({}, "which weights"),
        ({"name": "a"}, "which weights"),
        ({"name": [1], "metadata": {"weight": 25}}, "'name' is no text"),
    ],
)
def test_what_is_no_webhook_is_refused(payload: object, message: str) -> None:
    with pytest.raises(InputError, match=message):
        READER.of_flagger(payload)


def test_of_values_nothing_is_asked_of_a_cluster_unless_it_is_named() -> None:
    with pytest.raises(InputError, match="Give weight, weights, virtual"):
        READER.of_values({})
    CALLS.clear()
    READER.of_values({"virtualService": "a/b"})
    assert len(CALLS) == 1


def test_one_occasion_is_one_verification_whatever_the_hook() -> None:
    one = READER.of_flagger(with_metadata(weight=25))
    again = READER.of_flagger({**with_metadata(weight=25), "phase": "Promoting"})
    assert one.key == again.key
    assert one.identity == "test/podinfo/85d557f47b/canary/test/podinfo/Progressing/since"
    others = [
        READER.of_flagger(with_metadata(weight=30)),
        READER.of_flagger({**with_metadata(weight=25), "checksum": "x"}),
        READER.of_flagger(with_metadata(weight=25, host="http://other:81/")),
        READER.of_flagger(with_metadata(weight=25, path="/other")),
        READER.of_flagger(with_metadata(weight=25, tolerance="1")),
    ]
    assert len({one.key, *(other.key for other in others)}) == 6


def test_a_default_that_is_written_out_is_no_other_verification() -> None:
    # The hooks of one step, some with a tolerance and some without: 12 verifications of 6 weights.
    plain = READER.of_flagger(with_metadata(weight=25))
    written = READER.of_flagger(with_metadata(weight=25, tolerance="2", alpha="0.01"))
    assert plain.key == written.key


def test_how_it_is_sent_makes_no_other_verification() -> None:
    one = READER.of_flagger(with_metadata(weight=25))
    faster = reader(rate="500", users="64", client="stock").of_flagger(with_metadata(weight=25))
    assert one.key == faster.key


def test_without_a_release_there_is_no_occasion() -> None:
    assert READER.of_values({"weight": "25"}).identity == ""
    assert READER.of_flagger({"metadata": {"weight": 25}}).identity == ""


def test_a_second_attempt_at_a_revision_is_another_occasion() -> None:
    attempts = []

    def release_since(kind: str, reference: str, _: str) -> Release:
        attempts.append(reference)
        found = release(kind, reference, "blue", "red")
        return replace(found, occasion=f"Progressing/{len(attempts)}")

    reading = Reader(gate_settings(), split_of, release_since)
    assert reading.of_flagger(PAYLOAD).key != reading.of_flagger(PAYLOAD).key


def test_the_versions_are_those_of_the_release() -> None:
    colors = iter([("blue", "red"), ("red", "blue"), ("blue", "blue")])

    def release_now(kind: str, reference: str, _: str) -> Release:
        return release(kind, reference, *next(colors))

    reading = Reader(gate_settings(), split_of, release_now)
    asked = with_metadata(weight=25)
    assert split(reading.of_flagger(asked)) == {"blue": 0.75, "red": 0.25}
    assert split(reading.of_flagger(asked)) == {"red": 0.75, "blue": 0.25}
    assert split(reading.of_flagger(asked)) == {"blue": 1.0}
    given = with_metadata(weight=25, variants="old,new")
    assert split(READER.of_flagger(given)) == {"old": 0.75, "new": 0.25}
    fixed = reader(variants="old,new")
    assert split(fixed.of_flagger(asked)) == {"old": 0.75, "new": 0.25}


def test_two_versions_that_nothing_tells_apart_are_refused() -> None:
    def alike(kind: str, reference: str, _: str) -> Release:
        found = release(kind, reference, "blue", "blue")
        later = json.loads(json.dumps(found.canary).replace("info", "debug"))
        return replace(found, canary=later)

    with pytest.raises(InputError, match="give variants=STABLE,CANARY"):
        Reader(gate_settings(), split_of, alike).of_flagger(PAYLOAD)
    canary = template("blue")
    canary["spec"]["containers"][0]["image"] = "shop:2"
    found = replace(release("canary", "a/b", "blue", "blue"), canary=canary)
    assert found.names(lambda value: value) == ("1", "2")


def test_without_a_cluster_weights_that_are_given_are_enough() -> None:
    def nowhere(*_: str) -> Release:
        raise NoClusterError("there are no credentials for a cluster")

    reading = Reader(gate_settings(), split_of, nowhere)
    assert split(reading.of_flagger(with_metadata(weight=25))) == {"blue": 0.75, "green": 0.25}
    with pytest.raises(InputError, match="no credentials"):
        reading.of_flagger(PAYLOAD)


def test_the_weights_before_are_those_that_were_asked_before() -> None:
    shares = iter([10, 10, 20, 20])

    def split_now(*_: object) -> Split:
        green = next(shares)
        return Split({"blue": 100 - green, "green": green})

    reading = Reader(gate_settings(), split_now, release_of)
    found = [reading.of_flagger(PAYLOAD).settings.load.previous for _ in range(4)]
    assert found[:2] == [None, None]
    assert all(before and before["green"] == 0.1 for before in found[2:])


def test_a_verification_is_written_and_read_again() -> None:
    one = reader(resolve="gateway:10.0.0.1", header="X-A: 1").of_flagger(with_metadata(weight=25))
    again = verification_from_plain(one.as_plain())
    assert verify_as_plain(again.settings) == verify_as_plain(one.settings)
    assert (again.key, again.identity) == (one.key, one.identity)
    for damaged in ({}, {"settings": {}, "identity": ""}, {"settings": 5, "identity": ""}):
        with pytest.raises((TypeError, KeyError, ValueError)):
            verification_from_plain(damaged)


@pytest.mark.parametrize(
    "host",
    [
        "http://example.org",
        "http://gateway:80",
        "http://gateway.evil",
        "https://gateway",
        "http://gateway/x",
        "http://127.0.0.1",
    ],
)
def test_no_other_gateway_is_asked(host: str) -> None:
    with pytest.raises(NotAllowedError, match="is not one of the gateways"):
        READER.of_flagger(with_metadata(weight=25, host=host))


@pytest.mark.slow
@given(JSON | st.fixed_dictionaries({"metadata": JSON, "name": JSON, "namespace": JSON}))
def test_any_json_is_a_verification_or_refused_in_a_line(payload: object) -> None:
    said = ""
    try:
        (host,) = READER.of_flagger(payload).settings.hosts
        assert host in READER.settings.hosts
    except InputError as error:
        said = str(error)
    assert len(said.splitlines()) <= 1


@pytest.mark.parametrize("value", [None, True, [], {}, "\n", "x" * 301])
def test_what_is_no_text_is_refused(value: object) -> None:
    with pytest.raises(InputError, match=r"'metadata\.x' is"):
        text_of(value, "metadata.x")
    assert [text_of(one, "x") for one in ("a", 5, 2.5)] == ["a", "5", "2.5"]
