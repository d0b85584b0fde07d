"""What the readers of all kinds share: the request, weights that are checked, refusals."""

from __future__ import annotations

import pytest

from tests.support.manifests import document
from trafficsplit.errors import InputError
from trafficsplit.weights.routes import (
    Destination,
    Probe,
    check_weights,
    compile_pattern,
    kind_of,
    name_of,
    short,
    unknown_route,
    weight_in,
)


def test_a_probes_path_and_query_are_apart() -> None:
    probe = Probe("/color?v=2&flag&empty=&v2=a=b&&")
    assert probe.bare_path == "/color"
    assert probe.query == {"v": "2", "flag": "", "empty": "", "v2": "a=b"}
    assert Probe("/color").query == {}


@pytest.mark.parametrize(
    ("host", "name"),
    [
        ("Gateway.example:8080", "gateway.example"),
        ("gateway", "gateway"),
        ("10.0.0.7:80", "10.0.0.7"),
        ("[fd00::7]:80", "fd00::7"),
        ("[fd00::7]", "fd00::7"),
        ("", ""),
    ],
)
def test_a_probes_host_is_without_its_port(host: str, name: str) -> None:
    assert Probe(host=host).host_name == name


@pytest.mark.parametrize("host", ["reviews.shop.svc.cluster.local", "reviews.shop.svc"])
def test_a_clusters_domain_is_left_out(host: str) -> None:
    assert short(host) == "reviews.shop"
    assert short("reviews.example.com") == "reviews.example.com"


def test_weights_are_whole_numbers_from_zero() -> None:
    assert weight_in(document("weight: 25"), 1) == 25
    assert weight_in(document("name: x"), 1) == 1
    with pytest.raises(InputError, match=r"m.yaml:1: weight: the weight is negative: -5"):
        weight_in(document("weight: -5"), 1)
    for odd in ("2.5", "'25'", "true", "[25]"):
        with pytest.raises(InputError, match=r"weight: .* (is not what|is a string: a whole)"):
            weight_in(document(f"weight: {odd}"), 1)


def test_at_least_one_destination_has_a_weight() -> None:
    rule = document("route: []")
    some = [Destination("blue", 0), Destination("green", 1)]
    check_weights(rule, "route", some)
    with pytest.raises(InputError, match="all weights are zero"):
        check_weights(rule, "route", some[:1])
    with pytest.raises(InputError, match="route is missing"):
        check_weights(rule, "route", [])


@pytest.mark.parametrize("pattern", ["(", "[a", "*", "a{99999999999}", "(?P<n>a)(?P<n>b)"])
def test_an_odd_pattern_is_refused_with_its_place(pattern: str) -> None:
    with pytest.raises(InputError, match=r"m.yaml:1: regex: no regular expression"):
        compile_pattern(document("regex: x"), "regex", pattern)
    assert compile_pattern(document("regex: x"), "regex", "a+").fullmatch("aa")


def test_kind_and_name_of_a_document() -> None:
    read = document("apiVersion: networking.istio.io/v1\nkind: Gateway\nmetadata: {name: gw}")
    assert kind_of(read) == ("networking.istio.io", "Gateway")
    assert name_of(read) == "gw"
    assert kind_of(document("apiVersion: v1\nkind: Service")) == ("", "Service")
    assert name_of(document("kind: Service")) == ""


def test_an_unknown_route_is_refused_with_those_that_there_are() -> None:
    known = [document("metadata: {name: a}"), document("metadata: {name: b}")]
    assert "is called x: there is a, b" in str(unknown_route(known, "x"))
    assert "there is none" in str(unknown_route([], "x"))


def test_where_a_weight_stands_is_no_part_of_what_a_destination_is() -> None:
    one = Destination("blue", 1, fields=document("weight: 1"))
    assert one == Destination("blue", 1)
    assert "fields" not in repr(one)
