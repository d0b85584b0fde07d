from pathlib import Path

import pytest

from tests.conftest import ROOT
from trafficsplit.weights.manifests import Choice, read_documents
from trafficsplit.weights.others import other_splits
from trafficsplit.weights.routes import Probe

HEADER = """\
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: color}
spec:
  hosts: ["*"]
  gateways: [gw]
  http:
"""
RULE = """\
  - match: [{{uri: {{prefix: {path}}}}}]
    route:
    - {{destination: {{host: color, subset: blue-sub}}, weight: {blue}}}
    - {{destination: {{host: color, subset: green-sub}}, weight: {green}}}
"""
HTTP_ROUTE = """\
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: color}
spec:
  rules:
  - matches: [{path: {value: /color}}]
    backendRefs: [{name: blue, weight: 75}, {name: green, weight: 25}]
  - backendRefs: [{name: blue, weight: 9}, {name: green, weight: 1}]
"""


def rule(path: str, blue: int, green: int) -> str:
    return RULE.format(path=path, blue=blue, green=green)


def others(tmp_path: Path, text: str, route: str = "") -> dict[str, dict[str, float]]:
    file = tmp_path / "manifest.yaml"
    file.write_text(text)
    splits = other_splits(read_documents(str(file)), Choice(Probe("/color"), route))
    return {name: dict(split.weights) for name, split in splits.items()}


def test_rules_that_the_request_does_not_take_are_others(tmp_path: Path) -> None:
    text = HEADER + rule("/color", 75, 25) + rule("/other", 50, 50) + rule("/same", 3, 1)
    assert others(tmp_path, text) == {"rule 2 of VirtualService color": {"blue": 0.5, "green": 0.5}}


def test_a_rule_with_one_destination_gives_it_everything(tmp_path: Path) -> None:
    one = "  - route: [{destination: {host: color, subset: green-sub}}]\n"
    text = HEADER + rule("/color", 75, 25) + one
    assert others(tmp_path, text) == {"rule 2 of VirtualService color": {"blue": 0, "green": 1}}


@pytest.mark.parametrize(
    "strange",
    [
        "  - route: [{destination: {host: elsewhere}}]\n",
        "  - redirect: {uri: /color}\n",
        rule("/nothing", 0, 0),
    ],
)
def test_rules_to_elsewhere_or_without_weights_are_left_out(tmp_path: Path, strange: str) -> None:
    assert others(tmp_path, HEADER + rule("/color", 75, 25) + strange) == {}


def test_the_rules_of_an_http_route(tmp_path: Path) -> None:
    assert others(tmp_path, HTTP_ROUTE) == {
        "rule 2 of HTTPRoute color": {"blue": 0.9, "green": 0.1}
    }


def test_another_resource_that_cannot_be_read_is_left_out(tmp_path: Path) -> None:
    broken = HEADER.replace("color", "two") + "  - route: 5\n"
    text = HEADER + rule("/color", 75, 25) + "---\n" + broken
    assert others(tmp_path, text, route="color") == {}


def test_the_tutorials_manifests_have_no_others() -> None:
    for file in sorted((ROOT / "istio").glob("color-istio-gw-canary-pct.yaml")):
        assert other_splits(read_documents(str(file)), Choice(Probe("/color"))) == {}
