"""Weights in a manifest: the numbers change, and nothing else does."""

import difflib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trafficsplit.errors import InputError
from trafficsplit.weights.editing import edited
from trafficsplit.weights.fields import documents_of
from trafficsplit.weights.manifests import Asked, split_of_manifest

CANARY = Path("istio/color-istio-gw-canary-pct.yaml")
TEXT = (Path(__file__).parents[2] / CANARY).read_text()
ROUTE = """\
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: color}   # kept
spec:
  rules:
  - backendRefs:
    - name: color-blue
      port: 80
    - {name: color-green, port: 80}
"""


@given(st.integers(0, 1000), st.sampled_from(["\n", "\r\n"]))
def test_only_the_numbers_change(tenths: int, end: str) -> None:
    text, green = TEXT.replace("\n", end), tenths / 10
    after = edited(text, "x.yaml", {"blue": 100 - green, "green": green}, Asked())
    split = split_of_manifest(documents_of(after, "x.yaml"), Asked())
    assert split["green"] == pytest.approx(green / 100)
    changed = [
        line
        for line in difflib.unified_diff(text.splitlines(), after.splitlines(), lineterm="", n=0)
        if line[0] in "+-" and not line.startswith(("+++", "---"))
    ]
    assert len(changed) <= 4
    assert all("weight:" in line for line in changed)


def test_a_weight_that_is_missing_is_put_in() -> None:
    after = edited(ROUTE, "x.yaml", {"blue": 90, "green": 10}, Asked())
    assert "    - weight: 90\n      name: color-blue\n" in after
    assert "    - {weight: 10, name: color-green, port: 80}" in after
    assert "# kept" in after


def test_what_cannot_be_edited_is_refused() -> None:
    shared = TEXT.replace("weight: 75", "weight: &w 75").replace("weight: 25", "weight: *w")
    with pytest.raises(InputError, match=r"x\.yaml"):
        edited(shared, "x.yaml", {"blue": 60, "green": 40}, Asked())
    with pytest.raises(InputError, match="no destination of it is red"):
        edited(TEXT, "x.yaml", {"blue": 60, "red": 40}, Asked())
    rollout = (
        "apiVersion: argoproj.io/v1alpha1\nkind: Rollout\nmetadata: {name: r}\n"
        "spec: {strategy: {canary: {steps: [{setWeight: 20}]}}}\n"
    )
    with pytest.raises(InputError, match="a Rollout's controller sets its weights"):
        edited(rollout, "x.yaml", {"stable": 60, "canary": 40}, Asked())
