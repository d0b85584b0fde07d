"""VirtualServices: as types, and the rule of them that a request takes."""

from __future__ import annotations

import pytest

from tests.support.manifests import SUBSETS, by_host, document, reviews, weights
from trafficsplit.errors import InputError
from trafficsplit.weights.istio import PRESENT, destinations_for, read_virtual_service
from trafficsplit.weights.routes import Probe


@pytest.mark.parametrize("api", ["v1", "v1beta1", "v1alpha3"])
@pytest.mark.parametrize(
    ("routes", "expected"),
    [
        ((("v1", 80), ("v2", 20)), {"v1": 0.8, "v2": 0.2}),
        ((("v1", 90), ("v2", 10)), {"v1": 0.9, "v2": 0.1}),
        ((("v1", 50), ("v3", 50)), {"v1": 0.5, "v3": 0.5}),
        ((("v1", None),), {"v1": 1.0}),
        ((("v1", 0),), {"v1": 1.0}),  # a single one gets everything, whatever its weight
        ((("v1", 3), ("v2", 1)), {"v1": 0.75, "v2": 0.25}),  # relative
        ((("v1", 100), ("v2", 0)), {"v1": 1.0, "v2": 0.0}),
        ((("v1", 100), ("v2", None)), {"v1": 1.0, "v2": 0.0}),
    ],
)
def test_bookinfo(
    api: str, routes: tuple[tuple[str, int | None], ...], expected: dict[str, float]
) -> None:
    assert weights(SUBSETS + reviews(*routes, api=api), Probe(host="reviews:9080")) == expected
    assert weights(reviews(*routes, api=api)) == expected  # by subset alone


def test_bookinfo_by_user() -> None:
    jason = """  - match:
    - headers:
        end-user: {exact: jason}
    route:
    - destination: {host: reviews, subset: v2}
"""
    text = SUBSETS + reviews(("v1", None), extra=jason)
    assert weights(text, Probe(headers={"end-user": "jason"})) == {"v2": 1.0}
    assert weights(text, Probe(headers={"end-user": "jasons"})) == {"v1": 1.0}
    assert weights(text) == {"v1": 1.0}


@pytest.mark.parametrize(
    ("match", "probe", "taken"),
    [
        ("{uri: {prefix: /color}}", Probe("/colorful"), True),
        ("{uri: {exact: /color}}", Probe("/colorful"), False),
        ("{uri: {exact: /color}}", Probe("/color?x=1"), True),
        ("{uri: {exact: /COLOR}, ignoreUriCase: true}", Probe("/color"), True),
        ("{uri: {prefix: /COL}, ignoreUriCase: true}", Probe("/color"), True),
        ("{uri: {exact: /COLOR}}", Probe("/color"), False),
        ("{uri: {regex: '/col[a-z]+'}}", Probe("/color"), True),
        ("{uri: {regex: '/col'}}", Probe("/color"), False),  # the whole of it must match
        ("{uri: {}}", Probe("/color"), True),
        ("{method: {exact: POST}}", Probe(), False),
        ("{method: {exact: POST}}", Probe(method="POST"), True),
        ("{scheme: {exact: https}}", Probe(), True),  # not known, so it may match
        ("{authority: {exact: gw}}", Probe(host="gw"), True),
        ("{authority: {exact: gw}}", Probe(host="other"), False),
        ("{authority: {exact: gw}}", Probe(), True),
        ("{queryParams: {v: {exact: '2'}}}", Probe("/color?v=2"), True),
        ("{queryParams: {v: {exact: '2'}}}", Probe("/color"), False),
        ("{headers: {X-A: {}}}", Probe(headers={"x-a": ""}), True),
        ("{headers: {X-A: {}}}", Probe(), False),
        (
            "{headers: {cookie: {regex: '^(.*?; *)?(my-color=green)(;.*)?$'}}}",
            Probe(headers={"cookie": "a=1; my-color=green"}),
            True,
        ),
        ("{headers: {a: {exact: b}, c: {exact: d}}}", Probe(headers={"a": "b"}), False),
        ("{withoutHeaders: {x-a: {exact: b}}}", Probe(headers={"x-a": "b"}), False),
        ("{withoutHeaders: {x-a: {exact: b}}}", Probe(headers={"x-a": "c"}), True),
        ("{sourceLabels: {app: x}}", Probe(), False),
    ],
)
def test_the_first_rule_that_means_the_request_is_taken(
    match: str, probe: Probe, taken: bool
) -> None:
    extra = f"  - match: [{match}]\n    route:\n    - destination: {{host: reviews, subset: v3}}\n"
    text = reviews(("v1", None), extra=extra).replace("[reviews]", '["*"]\n  gateways: [gw]')
    assert weights(text, probe) == ({"v3": 1.0} if taken else {"v1": 1.0})


def test_any_one_of_several_matches_does() -> None:
    extra = """  - match: [{uri: {exact: /a}}, {uri: {exact: /b}}]
    route: [{destination: {host: reviews, subset: v3}}]
"""
    text = reviews(("v1", None), extra=extra)
    assert weights(text, Probe("/b")) == {"v3": 1.0}
    assert weights(text, Probe("/c")) == {"v1": 1.0}


@pytest.mark.parametrize(
    ("hosts", "host", "taken"),
    [
        ("reviews", "reviews.default.svc.cluster.local", True),
        ("reviews", "REVIEWS:9080", True),
        ("reviews.default.svc.cluster.local", "reviews.default", True),
        ("reviews", "10.0.0.1:80", False),
        ("reviews", "ratings", False),
        ("'*'", "10.0.0.1:80", True),
        ("'*.example.com'", "shop.example.com", True),
        ("'*.example.com'", "example.com", False),
        ("istio-system/reviews", "reviews", True),
        ("other, reviews", "reviews", True),
    ],
)
def test_hosts_must_be_meant_too(hosts: str, host: str, taken: bool) -> None:
    text = reviews(("v1", None)).replace("[reviews]", f"[{hosts}]\n  gateways: [gw]")
    if taken:
        assert weights(text, Probe(host=host)) == {"v1": 1.0}
    else:
        with pytest.raises(InputError, match=r"its hosts \(.*\) are not .*: --header"):
            weights(text, Probe(host=host))


@pytest.mark.parametrize("kind", ["tcp", "tls"])
def test_tcp_and_tls_routes_have_weights_too(kind: str) -> None:
    text = f"""
apiVersion: networking.istio.io/v1alpha3
kind: VirtualService
metadata: {{name: tcp-echo}}
spec:
  hosts: ["*"]
  gateways: [gw]
  {kind}:
  - match: [{{port: 31400}}]
    route:
    - {{destination: {{host: tcp-echo, subset: v1}}, weight: 80}}
    - {{destination: {{host: tcp-echo, subset: v2}}, weight: 20}}
"""
    assert weights(text) == {"v1": 0.8, "v2": 0.2}


def test_a_virtual_service_as_types() -> None:
    text = """
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: color}
spec:
  hosts: [color, color.example]
  gateways: [gw]
  http:
  - match:
    - uri: {prefix: /a}
      headers: {X-Flag: {}}
    redirect: {uri: /b}
  - route:
    - destination: {host: blue.shop.svc.cluster.local, port: {number: 8080}}
      weight: 3
    - destination: {host: green, subset: new}
      weight: 1
"""
    service = read_virtual_service(document(text))
    assert (service.hosts, service.gateways) == (("color", "color.example"), ("gw",))
    redirect, rule = service.rules
    assert redirect.action == "redirect"
    assert redirect.destinations == ()
    (match,) = redirect.matches
    assert match.uri is not None
    assert (match.uri.way, match.uri.value) == ("prefix", "/a")
    ((name, matcher),) = match.headers
    assert (name, matcher.way) == ("x-flag", PRESENT)
    assert by_host(list(rule.destinations)) == {"blue.shop": 3, "green|new": 1}
    assert rule.destinations[0].port == 8080
    assert rule.destinations[0].fields is not None
    assert rule.destinations[0].fields.where == "spec.http[1].route[0]"


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("route:", "redirect: {uri: /b}\n    unknown:", "has no route, but redirect"),
        ("route:", "unknown:", "has no route, but nothing"),
        ("host: reviews, ", "", "host is missing"),
        ("  http:", "  httpx:", "there are no rules in it"),
        ("  - route:", "  - match: [{uri: {suffix: /a}}]\n    route:", "exact, prefix or regex"),
        ("  - route:", "  - match: [{uri: {exact: a, prefix: b}}]\n    route:", "exactly one way"),
        ("  - route:", "  - match: [{uri: {regex: '('}}]\n    route:", "no regular expression"),
        ("  - route:", "  - match: [{headers: {a: b}}]\n    route:", "'b' is not what belongs"),
    ],
)
def test_what_bears_on_weights_and_is_odd_is_refused_with_its_line(
    old: str, new: str, said: str
) -> None:
    text = reviews(("v1", 60), ("v2", 40))
    assert old in text
    with pytest.raises(InputError, match=said) as refusal:
        weights(text.replace(old, new))
    assert str(refusal.value).startswith("m.yaml:")


def test_a_resource_that_is_not_for_a_request_says_why() -> None:
    extra = "  - match: [{uri: {exact: /a}}]\n"
    only = document(reviews(("v1", None)).replace("  - route:", extra + "    route:"))
    refused = destinations_for(only, Probe("/color"))
    assert isinstance(refused, InputError)
    assert "no rule of it takes /color" in str(refused)
    assert by_host(destinations_for(only, Probe("/a"))) == {"reviews|v1": 100}
