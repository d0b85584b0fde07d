"""From where a request went to a variant."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trafficsplit.analysis.split import Split
from trafficsplit.offline.destinations import NOWHERE, Destinations

SPLIT = Split({"blue": 75, "green": 25})


@pytest.mark.parametrize(
    ("cluster", "address", "variant"),
    [
        ("outbound|80|green-sub|color.default", "10.0.0.1:1", "green"),
        ("outbound|80|green-sub|color-blue.default", "10.0.0.1:1", "green"),  # the subset first
        ("outbound|80||color-blue.default.svc.cluster.local", "10.0.0.1:1", "blue"),
        ("color-green", "-", "green"),
        ("green", "-", "green"),
        ("outbound|80|red-sub|color.default", "10.0.0.1:1", "outbound|80|red-sub|color.default"),
        ("evergreen", "-", "evergreen"),  # a word is a whole one
        ("blue-green", "-", "blue-green"),  # which of them?
        ("-", "10.0.0.1:1", "10.0.0.1:1"),
        ("", "blue:80", "blue"),
    ],
)
def test_a_destination_is_the_variant_whose_name_it_has(
    cluster: str, address: str, variant: str
) -> None:
    assert Destinations(SPLIT, {}).variant(cluster, address) == variant


@pytest.mark.parametrize("cluster", NOWHERE)
@pytest.mark.parametrize("address", NOWHERE)
def test_a_request_that_went_nowhere_has_no_variant(cluster: str, address: str) -> None:
    destinations = Destinations(SPLIT, {})
    assert destinations.variant(cluster, address) == ""
    assert not destinations.unmatched


@pytest.mark.parametrize(
    "name",
    [
        "outbound|80|v1|color.default.svc",
        "v1",
        "color.default.svc",
        "color",
        "10.0.0.1:1",
    ],
)
def test_a_map_may_call_it_by_any_of_its_names(name: str) -> None:
    destinations = Destinations(SPLIT, {name: "blue"})
    assert destinations.variant("outbound|80|v1|color.default.svc", "10.0.0.1:1") == "blue"


def test_a_map_overrules_what_a_name_says() -> None:
    destinations = Destinations(SPLIT, {"green-sub": "blue"})
    assert destinations.variant("outbound|80|green-sub|color.default") == "blue"


def test_destinations_without_a_variant_are_counted_once_each() -> None:
    destinations = Destinations(SPLIT, {})
    for _ in range(3):
        destinations.variant("other", "10.0.0.1:1")
    destinations.variant("", "10.0.0.2:1")
    destinations.variant("green")
    assert destinations.unmatched == {"other": 1, "10.0.0.2:1": 1}


@given(st.text(max_size=30), st.text(max_size=30))
def test_any_destination_has_a_variant_or_its_own_name(cluster: str, address: str) -> None:
    destinations = Destinations(SPLIT, {})
    variant = destinations.variant(cluster, address)
    assert variant in {"blue", "green", cluster, address} or variant in cluster
    assert variant or {cluster, address} <= set(NOWHERE)
