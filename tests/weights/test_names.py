"""What the responses of destinations show: names by labels, subsets or hosts."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trafficsplit.errors import InputError
from trafficsplit.weights.names import names_of, variants_of
from trafficsplit.weights.routes import Destination


def by_host(*hosts: str) -> list[Destination]:
    return [Destination(host, 1) for host in hosts]


def by_subset(*subsets: str) -> list[Destination]:
    return [Destination("color", 1, subset) for subset in subsets]


def by_labels(*labels: dict[str, str]) -> list[Destination]:
    return [Destination(f"host-{n}", 1, labels=one) for n, one in enumerate(labels)]


@pytest.mark.parametrize(
    ("destinations", "names"),
    [
        (by_host("color-blue", "color-green"), ["blue", "green"]),
        (by_host("blue-svc", "green-svc"), ["blue", "green"]),
        (by_host("my-blue-svc", "my-green-svc"), ["blue", "green"]),
        (by_host("a.one", "a.two"), ["one", "two"]),  # one name in two namespaces
        (by_host("color.blue.svc", "color.green.svc"), ["blue", "green"]),
        (by_host("color", "color-v2"), ["color", "color-v2"]),
        (by_host("color"), ["color"]),
        (by_host("color", "color"), ["color", "color"]),
        (by_subset("blue-sub", "green-sub"), ["blue", "green"]),
        (by_subset("v1", "v2", "v3"), ["v1", "v2", "v3"]),
        (by_subset("", "v2"), ["color", "color-v2"]),
        ([Destination("a", 1, "v1"), Destination("b", 1, "v1")], ["a", "b"]),
        (
            by_labels({"app": "x", "color": "blue"}, {"app": "x", "color": "green"}),
            ["blue", "green"],
        ),
        (by_labels({"app": "a", "version": "v1"}, {"app": "b", "version": "v2"}), ["v1", "v2"]),
        (by_labels({"zz": "a"}, {"zz": "b"}), ["0", "1"]),  # a label of anything
        (by_labels({"version": "app-v1"}, {"version": "app-v2"}), ["v1", "v2"]),
        (by_subset("green-sub"), ["green"]),
        (by_labels({"version": "v1"}, {"version": "v1"}), ["0", "1"]),  # it tells nothing
        (by_labels({"version": "v1"}, {}), ["0", "1"]),
        ([], []),
    ],
)
def test_names_are_what_tells_destinations_apart(
    destinations: list[Destination], names: list[str]
) -> None:
    assert variants_of(destinations, {}) == names


@pytest.mark.parametrize("key", ["blue", "blue-sub", "color.shop", "color"])
def test_a_mapping_may_call_a_destination_by_any_of_its_names(key: str) -> None:
    destinations = [
        Destination("color.shop", 3, "blue-sub"),
        Destination("colour.shop", 1, "green-sub"),
    ]
    assert variants_of(destinations, {key: "stable"}) == ["stable", "green"]
    assert key in names_of(destinations)


def test_several_destinations_may_be_one_variant() -> None:
    assert variants_of(by_host("a-1", "a-2", "a-3"), {"1": "x", "2": "x"}) == ["x", "x", "3"]


def test_a_name_that_no_destination_has_is_refused_with_those_that_they_have() -> None:
    with pytest.raises(InputError, match=r"--map red=x: no destination is called red, but blue"):
        variants_of(by_host("color-blue", "color-green"), {"red": "x"})


WORD = st.text("abc", min_size=1, max_size=3)
HOST = st.lists(WORD, min_size=1, max_size=3).map("-".join)


@given(st.lists(st.tuples(HOST, st.one_of(st.just(""), HOST)), max_size=5))
def test_different_destinations_have_different_names(pairs: list[tuple[str, str]]) -> None:
    destinations = [Destination(host, 1, subset) for host, subset in pairs]
    names = variants_of(destinations, {})
    assert len(names) == len(pairs)
    assert all(names)
    for one, name in zip(pairs, names, strict=True):
        for other, another in zip(pairs, names, strict=True):
            if one == other:
                assert name == another
            elif "-".join(filter(None, one)) != "-".join(filter(None, other)):
                assert name != another
    assert set(names) <= names_of(destinations)


def test_a_controllers_own_name_for_a_destination_maps_it_whatever_else_is_known() -> None:
    # Flagger's own Services give the pods labels by which they differ.
    primary = Destination("shop-primary", 90, labels={"app": "shop-primary"}, role="primary")
    canary = Destination("shop-canary", 10, labels={"app": "shop"}, role="canary")
    mapping = {"primary": "blue", "canary": "green"}
    assert variants_of([primary, canary], mapping) == ["blue", "green"]
    with pytest.raises(InputError, match="but primary, canary"):
        variants_of([primary, canary], {"stable": "blue"})


@pytest.mark.parametrize("key", ["pod-template-hash", "rollouts-pod-template-hash"])
def test_a_template_hash_is_no_name(key: str) -> None:
    stable = Destination("shop-stable", 90, labels={key: "7bf84f9696"})
    canary = Destination("shop-canary", 10, labels={key: "58fd6bf4f"})
    assert variants_of([stable, canary], {}) == ["stable", "canary"]


def test_a_destination_has_one_name_whichever_rule_it_is_in() -> None:
    both = by_subset("blue-sub", "green-sub")
    for alone in both:
        assert variants_of([alone], {}, [[alone], both]) == [alone.subset.partition("-")[0]]
    apart = [[both[0]], [both[1]]]  # of which no rule splits
    assert [variants_of(rule, {}, apart) for rule in apart] == [["blue"], ["green"]]
    hosts = by_host("shop-blue-svc", "shop-green-svc", "website")
    rules = [hosts[:1], hosts[:2], hosts[2:]]
    assert [variants_of(rule, {}, rules) for rule in rules] == [
        ["blue"],
        ["blue", "green"],
        ["website"],
    ]


def test_names_of_two_rules_that_clash_are_those_of_the_rule_alone() -> None:
    rules = [[Destination("api", 1, "v1"), Destination("api", 1, "v2")]]
    rules.append([Destination("shop", 1, "v1"), Destination("shop", 1, "v2")])
    mixed = [Destination("api", 1, "v1"), Destination("shop", 1, "v1")]
    assert variants_of(mixed, {}, [*rules, mixed]) == ["api", "shop"]
