"""HTTPRoutes: of the rules that mean a request, the most specific one."""

from __future__ import annotations

import pytest

from tests.support.manifests import SPLIT, document, weights
from trafficsplit.errors import InputError
from trafficsplit.weights.gateway_api import destinations_for
from trafficsplit.weights.routes import Probe


@pytest.mark.parametrize("api", ["v1", "v1beta1"])
def test_gateway_apis_traffic_splitting(api: str) -> None:
    assert weights(SPLIT.format(api=api)) == {"v1": 0.9, "v2": 0.1}
    named = weights(SPLIT.format(api=api), mapping={"foo-v1": "blue", "v2": "green"})
    assert named == {"blue": 0.9, "green": 0.1}


def test_gateway_apis_conformance_test_of_weights() -> None:
    text = """
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: weighted-backends, namespace: gateway-conformance-infra}
spec:
  parentRefs: [{name: same-namespace}]
  rules:
  - backendRefs:
    - {name: infra-backend-v1, port: 8080, weight: 70}
    - {name: infra-backend-v2, port: 8080, weight: 30}
    - {name: infra-backend-v3, port: 8080, weight: 0}
"""
    assert weights(text) == {"v1": 0.7, "v2": 0.3, "v3": 0.0}


ROUTES = """
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: foo-route}
spec:
  hostnames: [foo.example.com, "*.bar.example"]
  rules:
  - matches:
    - {path: {type: PathPrefix, value: /}}
    backendRefs: [{name: root, port: 80}]
  - matches:
    - {path: {type: PathPrefix, value: /foo}}
    backendRefs: [{name: foo, port: 80}]
  - matches:
    - {path: {type: PathPrefix, value: /foo/bar}}
    backendRefs: [{name: longer, port: 80}]
  - matches:
    - {path: {type: Exact, value: /foo/bar}}
    backendRefs: [{name: exact, port: 80}]
  - matches:
    - path: {type: PathPrefix, value: /foo}
      headers: [{name: Traffic, value: test}]
    backendRefs: [{name: header, port: 80}]
  - matches:
    - {path: {type: PathPrefix, value: /foo}, method: GET}
    backendRefs: [{name: method, port: 80}]
"""


@pytest.mark.parametrize(
    ("probe", "backend"),
    [
        (Probe("/"), "root"),
        (Probe("/food"), "root"),  # a prefix of elements, not of characters
        (Probe("/foo"), "method"),
        (Probe("/foo/x"), "method"),
        (Probe("/foo/bar"), "exact"),
        (Probe("/foo/bar/"), "longer"),
        (Probe("/foo", method="POST"), "foo"),
        (Probe("/foo", headers={"traffic": "test"}), "method"),  # a method counts for more
        (Probe("/foo", method="POST", headers={"traffic": "test"}), "header"),
        (Probe("/foo/bar", host="a.bar.example"), "exact"),
        (Probe("/foo/bar", host="foo.example.com:8080"), "exact"),
    ],
)
def test_of_several_rules_the_most_specific_is_taken(probe: Probe, backend: str) -> None:
    assert weights(ROUTES, probe) == {backend: 1.0}


MATCHES = """
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {{name: color}}
spec:
  rules:
  - matches: [{match}]
    backendRefs: [{{name: taken}}]
  - backendRefs: [{{name: other}}]
"""


@pytest.mark.parametrize(
    ("match", "probe", "taken"),
    [
        ("{path: {type: RegularExpression, value: '/co.*'}}", Probe("/color"), True),
        ("{path: {type: RegularExpression, value: '/co'}}", Probe("/color"), False),
        ("{path: {value: /color}}", Probe("/color?x=1"), True),
        ("{queryParams: [{name: v, value: '2'}]}", Probe("/?v=2"), True),
        ("{queryParams: [{name: v, value: '2'}]}", Probe("/?V=2"), False),
        (
            "{queryParams: [{name: v, value: '[0-9]', type: RegularExpression}]}",
            Probe("/?v=2"),
            True,
        ),
        (
            "{headers: [{name: A, value: 'b+', type: RegularExpression}]}",
            Probe(headers={"a": "bb"}),
            True,
        ),
        (
            "{headers: [{name: A, value: 'b', type: RegularExpression}]}",
            Probe(headers={"a": "bb"}),
            False,
        ),
        ("{headers: [{name: a, value: b}]}", Probe(), False),
        ("{}", Probe(), True),  # of equals the first
    ],
)
def test_all_of_a_match_must_hold(match: str, probe: Probe, taken: bool) -> None:
    assert weights(MATCHES.format(match=match), probe) == ({"taken" if taken else "other": 1.0})


@pytest.mark.parametrize("host", ["bar.example", "foo.example", "other"])
def test_hostnames_that_are_not_meant_are_named(host: str) -> None:
    with pytest.raises(InputError, match=rf"hostnames .* are not {host}"):
        weights(ROUTES, Probe("/", host=host))


def test_a_weight_that_is_not_given_is_one() -> None:
    text = SPLIT.format(api="v1").replace(", weight: 90", "").replace("weight: 10", "weight: 3")
    assert weights(text) == {"v1": 0.25, "v2": 0.75}


def test_a_backend_of_another_namespace_is_another_one() -> None:
    text = SPLIT.format(api="v1").replace("name: foo-v2", "name: foo-v1, namespace: next")
    assert sum(weights(text).values()) == pytest.approx(1)
    found = destinations_for(document(text), Probe())
    assert not isinstance(found, InputError)
    assert [one.host for one in found] == ["foo-v1", "foo-v1.next"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (MATCHES.format(match="{path: {type: Suffix, value: /a}}"), "path.type: .*Suffix"),
        (MATCHES.format(match="{headers: [{value: a}]}"), "name is missing"),
        (
            MATCHES.format(match="{path: {type: RegularExpression, value: '('}}"),
            "no regular expression",
        ),
        (SPLIT.format(api="v1").replace("name: foo-v1, ", ""), "name is missing"),
        (SPLIT.format(api="v1").replace("  rules:", "  others:"), "there are no rules in it"),
        (
            SPLIT.format(api="v1").replace("backendRefs:", "others:"),
            "no backendRefs, but nothing: it gives no weights",
        ),
    ],
)
def test_what_bears_on_weights_and_is_odd_is_refused_with_its_line(text: str, said: str) -> None:
    with pytest.raises(InputError, match=said) as refusal:
        weights(text)
    assert str(refusal.value).startswith("m.yaml:")


def test_a_resource_that_is_not_for_a_request_says_why() -> None:
    text = MATCHES.format(match="{path: {type: Exact, value: /a}}")
    only = document(text.replace("  - backendRefs: [{name: other}]\n", ""))
    refused = destinations_for(only, Probe("/color"))
    assert isinstance(refused, InputError)
    assert "no rule of it takes /color" in str(refused)
