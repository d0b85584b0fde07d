"""Weights out of manifests, as their controllers read them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.conftest import ROOT
from tests.support.manifests import SPLIT, SUBSETS, reviews, weights
from trafficsplit.errors import InputError
from trafficsplit.settings.commands import (
    SourceSettings,
    check_mapping_has_a_use,
    parse_source,
)
from trafficsplit.settings.options import MANIFEST, WEIGHTS, Texts
from trafficsplit.settings.question import parse_split
from trafficsplit.weights.fields import documents_of
from trafficsplit.weights.manifests import Choice, read_documents, route_of, split_of
from trafficsplit.weights.routes import Probe
from trafficsplit.weights.sources import source_of

CANARY = ROOT / "istio" / "color-istio-gw-canary-pct.yaml"


def test_the_tutorials_own_canary() -> None:
    split = split_of(read_documents(str(CANARY)), Choice(Probe("/color")))
    assert dict(split.weights) == {"blue": 0.75, "green": 0.25}
    with pytest.raises(InputError, match=r"VirtualService color-is-vs: spec.http: no rule of it"):
        split_of(read_documents(str(CANARY)), Choice(Probe("/other")))


def test_names_by_labels_of_services_and_by_what_differs() -> None:
    services = ""
    for version, color in (("v1", "blue"), ("v2", "green")):
        services += (
            f"apiVersion: v1\nkind: Service\nmetadata: {{name: foo-{version}}}\n"
            f"spec: {{selector: {{app: foo, color: {color}}}}}\n---\n"
        )
    assert weights(services + SPLIT.format(api="v1")) == {"blue": 0.9, "green": 0.1}


def test_two_destinations_of_one_variant_add_up() -> None:
    text = SPLIT.format(api="v1")
    assert weights(text, mapping={"v1": "blue", "v2": "blue"}) == {"blue": 1.0}


def test_names_of_something_else_are_passed_over_only_where_they_may_be() -> None:
    found = documents_of(SPLIT.format(api="v1"), "m.yaml")
    mapping = {"v1": "blue", "other": "red"}
    split = split_of(found, Choice(mapping=mapping, may_mean_more=True))
    assert dict(split.weights) == {"blue": 0.9, "v2": 0.1}
    with pytest.raises(InputError, match="no destination is called other"):
        split_of(found, Choice(mapping=mapping))


def test_of_several_resources_one_is_named() -> None:
    both = SPLIT.format(api="v1") + "---" + reviews(("v1", 80), ("v2", 20))
    with pytest.raises(InputError, match=r"simple-split, VirtualService reviews.*--route"):
        weights(both)
    assert weights(both, route="reviews") == {"v1": 0.8, "v2": 0.2}
    with pytest.raises(InputError, match="is called x: there is simple-split, reviews"):
        weights(both, route="x")
    # by a request that only one of them means, there is no question
    other = both.replace("hosts: [reviews]", "hosts: [elsewhere.example]")
    assert weights(other, Probe(host="gw.example")) == {"v1": 0.9, "v2": 0.1}


def test_a_route_knows_where_it_stands() -> None:
    route = route_of(documents_of(SPLIT.format(api="v1"), "m.yaml"), Probe())
    assert (route.kind, route.name) == ("HTTPRoute", "simple-split")
    assert route.where.startswith("m.yaml:2: HTTPRoute simple-split")


def test_a_list_is_what_is_in_it() -> None:
    item = SPLIT.format(api="v1").strip().replace("\n", "\n  ")
    text = f"apiVersion: v1\nkind: List\nitems:\n- {item}"
    assert weights(text) == {"v1": 0.9, "v2": 0.1}
    nested = f"apiVersion: v1\nkind: List\nitems:\n- {text.replace(chr(10), chr(10) + '  ')}"
    assert weights(nested) == {"v1": 0.9, "v2": 0.1}


def given_source(**given: str) -> SourceSettings:
    """Return the source that options give, which say so as well where they make no sense."""
    texts = Texts((*WEIGHTS, *MANIFEST), given)
    parse_split(texts)
    source = parse_source(texts)
    check_mapping_has_a_use(source)
    return source


def test_files_directories_and_standard_input(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\n---\n")
    (tmp_path / "b.yml").write_text(SPLIT.format(api="v1"))
    for reference in (str(tmp_path), str(tmp_path / "b.yml"), "-"):
        settings = given_source(manifest=reference, map="v1=blue")
        source = source_of(settings, Probe(), lambda: SPLIT.format(api="v1"))
        assert source is not None
        assert dict(source.split().weights) == {"blue": 0.9, "v2": 0.1}
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="has no YAML files"):
        read_documents(str(tmp_path / "empty"))
    with pytest.raises(InputError, match="cannot be read: No such file"):
        read_documents(str(tmp_path / "nothing.yaml"))
    with pytest.raises(InputError, match="--weight and --manifest say the same thing twice"):
        given_source(manifest="-", weight="25")
    with pytest.raises(InputError, match="--route is for a --manifest"):
        given_source(route="x")
    with pytest.raises(InputError, match="--map is for a --manifest"):
        given_source(map="v1=blue")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: [", r"^m.yaml:1: no YAML"),
        ("- 1", r"^m.yaml: a document is no mapping"),
        (
            "apiVersion: v1\nkind: Pod",
            r"no resource with weights in it .there is 1 Pod",
        ),
        (
            reviews(("v1", -5), ("v2", 105)),
            r"^m.yaml:10: VirtualService reviews: spec.http\[0\].route\[0\].weight: the weight is",
        ),
        (
            reviews(("v1", 0), ("v2", 0)),
            r"^m.yaml:8: VirtualService reviews: spec.http\[0\].route: all weights are zero",
        ),
        (reviews(("v1", 80)).replace("80", "a lot"), r"^m.yaml:10: .*weight: 'a lot' is not what"),
        (reviews(("v1", 80)).replace("hosts: [reviews]", "hosts: 7"), r"^m.yaml:6: .*hosts: 7"),
        (SPLIT.format(api="v1").replace("90", "-1"), r"backendRefs\[0\].weight: .* negative: -1"),
        (SPLIT.format(api="v1").replace("90", "0").replace("10", "0"), r"all weights are zero"),
        (
            "apiVersion: argoproj.io/v1alpha1\nkind: Rollout\nmetadata: {name: r}\nspec: {}",
            r"^m.yaml:\d: Rollout r: .*there is no canary strategy",
        ),
    ],
)
def test_what_is_wrong_is_told_by_document_path_and_line(text: str, said: str) -> None:
    with pytest.raises(InputError, match=said) as refusal:
        weights(text)
    assert "\n" not in str(refusal.value)


MATCHES = """
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: matches}
spec:
  hostnames: [foo.example.com, "*.bar.example"]
  rules:
  - matches:
    - {path: {type: PathPrefix, value: /}}
    backendRefs: [{name: root, port: 80}]
  - matches:
    - path: {type: Exact, value: /color}
      headers: [{name: Traffic, value: t.*, type: RegularExpression}]
      queryParams: [{name: v, value: x}]
      method: GET
    backendRefs: [{name: header, port: 80}]
"""
SEEDS = [SUBSETS + reviews(("v1", 80), ("v2", 20)), SPLIT.format(api="v1"), MATCHES]
JUNK = st.one_of(
    st.sampled_from(["-5", "null", "[]", "{}", "true", "1e400", "'", "weight", ": ", "\n", "- "]),
    st.sampled_from(["&a ", "*a", "<<: ", "? ", "!!int ", "!!omap ", "!!set ", ".inf", "{a: b}: "]),
    st.text(max_size=4),
)


@given(st.sampled_from(SEEDS), st.data())
def test_damaged_manifests_are_read_or_refused_in_one_line(seed: str, draw: st.DataObject) -> None:
    text = seed
    for _ in range(draw.draw(st.integers(1, 4))):
        at = draw.draw(st.integers(0, len(text)))
        text = text[:at] + draw.draw(JUNK) + text[at + draw.draw(st.integers(0, 6)) :]
    try:
        found = weights(text)
    except InputError as refusal:
        assert "\n" not in str(refusal)  # noqa: PT017
    else:
        assert abs(sum(found.values()) - 1) < 1e-4


# --- what stands beside manifests ---

TEMPLATE = "metadata:\n  name: {{ .Values.name }}\n{{- if .Values.x }}\nspec: {}\n{{- end }}\n"
FOREIGN = {
    "chart.yaml": (TEMPLATE, "this is a Helm template: helm template"),
    "patch.yaml": ("- {op: replace, path: /spec, value: 1}\n", "a JSON patch?"),
    "broken.yaml": ("a: [\n", "no YAML"),
}


def test_a_directory_with_files_of_other_tools_is_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, (text, _) in FOREIGN.items():
        (tmp_path / name).write_text(text)
    (tmp_path / "values.yaml").write_text("replicas: 3\n")
    (tmp_path / "kustomization.yml").write_text("resources: [route.yaml]\n")
    (tmp_path / "route.yaml").write_text(reviews(("blue", 75), ("green", 25)))
    found = split_of(read_documents(str(tmp_path)), Choice())
    assert dict(found.weights) == {"blue": 0.75, "green": 0.25}
    said = capsys.readouterr().err
    for name, (_, why) in FOREIGN.items():
        assert f"{name} is passed over: " in said
        assert why in said


@pytest.mark.parametrize("name", FOREIGN)
def test_alone_it_is_refused_with_the_way_out(tmp_path: Path, name: str) -> None:
    text, why = FOREIGN[name]
    (tmp_path / name).write_text(text)
    for source in (tmp_path, tmp_path / name):
        with pytest.raises(InputError, match=re.escape(why)):
            read_documents(str(source))


@pytest.mark.parametrize(
    ("weight", "line"),
    [
        ("'75'", "'75' is a string: a whole number belongs here, without quotes"),
        ("${BLUE}", "is a template's variable: envsubst < FILE | trafficsplit … --manifest -"),
        ("'{{ .Values.blue }}'", "is a Helm template's: helm template"),
        ("a lot", "'a lot' is not what belongs here"),
    ],
)
def test_a_weight_that_is_none_says_what_is_wrong(weight: str, line: str) -> None:
    text = reviews(("blue", 75), ("green", 25)).replace("weight: 75", f"weight: {weight}")
    with pytest.raises(InputError, match=re.escape(line)):
        weights(text)


def test_a_refusal_names_what_was_found() -> None:
    with pytest.raises(InputError, match=r"there is 2 ConfigMap, 1 apps/Deployment\)"):
        weights(
            "{apiVersion: v1, kind: ConfigMap}\n---\n{apiVersion: v1, kind: ConfigMap}\n---\n"
            "{apiVersion: apps/v1, kind: Deployment}"
        )


def test_several_manifests_are_read_as_one(tmp_path: Path) -> None:
    (tmp_path / "one.yaml").write_text(reviews(("blue-sub", 75), ("green-sub", 25)))
    (tmp_path / "two.yaml").write_text(
        "apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {name: r}\n"
        "spec: {host: reviews, subsets: [{name: blue-sub, labels: {version: v1}}, "
        "{name: green-sub, labels: {version: v2}}]}\n"
    )
    source = "\n".join(str(tmp_path / name) for name in ("one.yaml", "two.yaml"))
    found = split_of(read_documents(source), Choice())
    assert dict(found.weights) == {"v1": 0.75, "v2": 0.25}
