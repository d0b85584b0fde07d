"""Weights in a manifest: the numbers change, and nothing else does."""

from __future__ import annotations

import difflib

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.conftest import ROOT
from trafficsplit.errors import InputError
from trafficsplit.weights.editing import edit_weights, new_weights
from trafficsplit.weights.fields import documents_of
from trafficsplit.weights.manifests import Choice, split_of

TEXT = (ROOT / "istio" / "color-istio-gw-canary-pct.yaml").read_text()
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
ROLLOUT = """\
apiVersion: argoproj.io/v1alpha1
kind: Rollout
metadata: {name: r}
spec: {strategy: {canary: {trafficRouting: {istio: {}}, steps: [{setWeight: 20}]}}}
"""
ANY = Choice()


def changed_lines(before: str, after: str) -> list[str]:
    """Return the lines that are in only one of two texts, with + or - before each."""
    lines = difflib.unified_diff(before.splitlines(), after.splitlines(), lineterm="", n=0)
    return [one for one in lines if one[0] in "+-" and not one.startswith(("+++", "---"))]


@pytest.mark.slow
@settings(max_examples=25)
@given(st.integers(0, 1000), st.sampled_from(["\n", "\r\n"]))
def test_only_the_numbers_change(tenths: int, end: str) -> None:
    text = TEXT.replace("\n", end)
    green = tenths / 10
    after = edit_weights(text, "x.yaml", {"blue": 100 - green, "green": green}, ANY)
    split = split_of(documents_of(after, "x.yaml"), ANY)
    assert split["green"] == pytest.approx(green / 100)
    changed = changed_lines(text, after)
    assert len(changed) <= 4
    assert all("weight:" in line for line in changed)
    assert after.count(end) == after.count("\n") == text.count("\n")


def test_a_weight_that_is_missing_is_put_in() -> None:
    after = edit_weights(ROUTE, "x.yaml", {"blue": 90, "green": 10}, ANY)
    assert "    - weight: 90\n      name: color-blue\n" in after
    assert "    - {weight: 10, name: color-green, port: 80}" in after
    assert "# kept" in after


@pytest.mark.slow
@pytest.mark.parametrize("green", [0, 25, 50, 100])
@pytest.mark.parametrize("odd", ["#25", "", "  # 25", "null", "~", "&w 25", "!!int 25", "0x19"])
def test_an_odd_weight_is_edited_rightly_or_refused_in_one_line(odd: str, green: int) -> None:
    for text in (
        TEXT.replace("weight: 25", f"weight: {odd}"),
        TEXT.replace("weight: 75", f"weight: {odd}"),
        ROUTE.replace("port: 80\n    -", f"weight: {odd}\n    -"),
        ROUTE.replace("port: 80\n    -", f"weight: {odd}\n      port: 80\n    -"),
        ROUTE.replace("green, port: 80}", f"green, weight: {odd}\n    }}"),
        ROUTE.replace("{name: color-green, port: 80}\n", f"name: color-green\n      weight: {odd}"),
    ):
        is_right_or_refused(text, {"blue": 100 - green, "green": green})


def is_right_or_refused(text: str, weights: dict[str, float]) -> bool:
    """Check that a text gets these weights, or is refused in one line; return whether it got."""
    try:
        after = edit_weights(text, "x.yaml", weights, ANY)
    except InputError as refusal:
        assert len(str(refusal).splitlines()) == 1  # noqa: PT017
        assert "x.yaml" in str(refusal)  # noqa: PT017
        return False
    split = split_of(documents_of(after, "x.yaml"), ANY)
    assert {v: 100 * w for v, w in split.weights.items() if w} == pytest.approx(
        {v: w for v, w in weights.items() if w}
    )
    return True


MERGED = """\
base: &base {port: 80, weight: 25}
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: color}
spec:
  rules:
  - backendRefs:
    - <<: *base
      name: color-blue
    - {<<: *base, name: color-green}
"""


def test_a_merged_weight_is_overruled_where_it_is_merged() -> None:
    after = edit_weights(MERGED, "x.yaml", {"blue": 90, "green": 10}, ANY)
    assert split_of(documents_of(after, "x.yaml"), ANY)["green"] == pytest.approx(0.1)
    assert "base: &base {port: 80, weight: 25}" in after  # it may be merged elsewhere too
    assert "    - weight: 90\n      <<: *base\n      name: color-blue\n" in after
    assert "    - {weight: 10, <<: *base, name: color-green}" in after


def test_a_whole_destination_that_is_an_alias_is_refused() -> None:
    text = MERGED.replace("<<: *base\n      name: color-blue", "*base").replace("<<: *base, ", "")
    text = text.replace("{port: 80, weight: 25}", "{name: color-blue}")
    with pytest.raises(InputError, match="cannot be edited without changing more than weights"):
        edit_weights(text, "x.yaml", {"blue": 90, "green": 10}, ANY)


def test_what_cannot_be_edited_is_refused() -> None:
    shared = TEXT.replace("weight: 75", "weight: &w 75").replace("weight: 25", "weight: *w")
    with pytest.raises(InputError, match=r"x\.yaml"):
        edit_weights(shared, "x.yaml", {"blue": 60, "green": 40}, ANY)
    with pytest.raises(InputError, match="no destination of it is red"):
        edit_weights(TEXT, "x.yaml", {"blue": 60, "red": 40}, ANY)
    with pytest.raises(InputError, match="a Rollout's controller sets its weights"):
        edit_weights(ROLLOUT, "x.yaml", {"stable": 60, "canary": 40}, ANY)
    both = Choice(mapping={"blue": "x", "green": "x"})
    with pytest.raises(InputError, match="several destinations are x"):
        edit_weights(TEXT, "x.yaml", {"x": 100}, both)


def test_a_single_destination_needs_no_number() -> None:
    text = "\n".join(ROUTE.splitlines()[:-1]) + "\n"
    route = ANY.of(documents_of(text, "x.yaml"))
    assert new_weights(route, {"color-blue": 100}, ANY) == []
    assert edit_weights(text, "x.yaml", {"color-blue": 100}, ANY) == text


def test_a_variant_that_gets_nothing_need_not_be_there() -> None:
    after = edit_weights(TEXT, "x.yaml", {"blue": 60, "green": 40, "red": 0}, ANY)
    assert split_of(documents_of(after, "x.yaml"), ANY)["green"] == pytest.approx(0.4)


def test_documents_of_other_files_name_the_variants() -> None:
    rule = """
apiVersion: v1
kind: Service
metadata: {name: color-blue}
spec: {selector: {version: old}}
---
apiVersion: v1
kind: Service
metadata: {name: color-green}
spec: {selector: {version: new}}
"""
    beside = documents_of(rule, "services.yaml")
    after = edit_weights(ROUTE, "x.yaml", {"old": 90, "new": 10}, ANY, beside)
    assert "weight: 90\n      name: color-blue" in after


ODD = st.text("ab :#-{}[]&*!|>'\"%\t\n\r\x85\u2028\u2029\ufeff\x0c", max_size=8)


@pytest.mark.slow
@given(ODD, st.integers(0, len(TEXT)), st.integers(0, 100))
@example("\u2028", TEXT.index("weight: 75"), 10)
@example("# \x85\n", 0, 10)
@example("#\u2028#\x85#\u2029#\n", 0, 10)
@example("\n", TEXT.index("75"), 10)
def test_a_damaged_text_is_edited_rightly_or_refused(odd: str, at: int, green: int) -> None:
    text = TEXT[:at] + odd + TEXT[at:]
    try:
        after = edit_weights(text, "x.yaml", {"blue": 100 - green, "green": green}, ANY)
    except InputError as refusal:
        assert len(str(refusal).splitlines()) == 1  # noqa: PT017
    else:
        split = split_of(documents_of(after, "x.yaml"), ANY)
        assert split["green"] == pytest.approx(green / 100)
