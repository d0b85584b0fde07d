"""Contour's HTTPProxy, in shapes that people have."""

from __future__ import annotations

import pytest

from tests.support.manifests import weights
from trafficsplit.errors import InputError
from trafficsplit.weights.routes import Probe

HEAD = """
apiVersion: projectcontour.io/v1
kind: HTTPProxy
metadata: {name: shop, namespace: prod}
spec:
  virtualhost: {fqdn: shop.example.com}
  routes:
"""
BOTH = (
    "services: [{name: shop-blue, port: 80, weight: 90}, {name: shop-green, port: 80, weight: 10}]"
)


def proxy(*routes: str) -> str:
    return HEAD + "".join(f"  - {{{route}}}\n" for route in routes)


@pytest.mark.parametrize(
    ("routes", "probe", "shares"),
    [
        ((BOTH,), Probe("/"), {"blue": 0.9, "green": 0.1}),
        (
            ("services: [{name: shop, port: 80}]", f"conditions: [{{prefix: /color}}], {BOTH}"),
            Probe("/color"),
            {"blue": 0.9, "green": 0.1},
        ),
        (
            ("services: [{name: shop, port: 80}]", f"conditions: [{{prefix: /color}}], {BOTH}"),
            Probe("/colorful"),
            {"shop": 1.0},
        ),
        (
            (
                BOTH,
                "conditions: [{header: {name: x-beta, exact: '1'}}], "
                "services: [{name: shop-green, port: 80}]",
            ),
            Probe("/", headers={"x-beta": "1"}),
            {"shop-green": 1.0},
        ),
        (
            ("services: [{name: shop-blue, port: 80}, {name: shop-green, port: 80}]",),
            Probe("/"),
            {"blue": 0.5, "green": 0.5},
        ),
        (
            (
                "services: [{name: a-blue, port: 80, weight: 3}, {name: a-green, port: 80, "
                "weight: 1}, {name: a-copy, port: 80, mirror: true}]",
            ),
            Probe("/"),
            {"blue": 0.75, "green": 0.25},
        ),
        (
            ("services: [{name: shop, port: 80}]", f"conditions: [{{exact: /color}}], {BOTH}"),
            Probe("/color"),
            {"blue": 0.9, "green": 0.1},
        ),
    ],
)
def test_the_route_that_means_a_request(
    routes: tuple[str, ...], probe: Probe, shares: dict[str, float]
) -> None:
    assert weights(proxy(*routes), probe=probe) == pytest.approx(shares)


@pytest.mark.parametrize(
    ("routes", "probe", "line"),
    [
        ((BOTH,), Probe("/", host="www.example.com"), "its host is shop.example.com"),
        ((f"conditions: [{{prefix: /a}}], {BOTH}",), Probe("/b"), "no route of it takes /b"),
        (("services: []",), Probe("/"), "services is missing"),
        (("services: [{name: a, weight: -1}]",), Probe("/"), "the weight is negative"),
        (("services: [{name: a, weight: '5'}]",), Probe("/"), "weight"),
        (("requestRedirectPolicy: {scheme: https}",), Probe("/"), "answers this request itself"),
        (
            (f"conditions: [{{queryParameter: {{name: a, exact: b}}}}], {BOTH}",),
            Probe("/"),
            "conditions on the query",
        ),
        ((f"conditions: [{{header: {{name: a, odd: b}}}}], {BOTH}",), Probe("/"), "not understood"),
    ],
)
def test_what_gives_no_weights_is_one_line(
    routes: tuple[str, ...], probe: Probe, line: str
) -> None:
    with pytest.raises(InputError, match=line):
        weights(proxy(*routes), probe=probe)
