"""Weights out of manifests, as their controllers read them."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.conftest import ROOT
from trafficsplit.errors import InputError
from trafficsplit.settings.options import weighed
from trafficsplit.weights.fields import documents_of
from trafficsplit.weights.manifests import Asked, read_documents, split_of_manifest

CANARY = ROOT / "istio" / "color-istio-gw-canary-pct.yaml"


ANYBODY = Asked()


def weights(text: str, asked: Asked = ANYBODY, **more: str) -> dict[str, float]:
    split = split_of_manifest(documents_of(text, "m.yaml"), asked, **more)
    return {variant: round(weight, 6) for variant, weight in split.weights.items()}


def test_the_tutorials_own_canary() -> None:
    split = split_of_manifest(read_documents(str(CANARY)), Asked("/color"))
    assert dict(split.weights) == {"blue": 0.75, "green": 0.25}
    with pytest.raises(InputError, match=r"VirtualService color-is-vs: spec.http: no rule of it"):
        split_of_manifest(read_documents(str(CANARY)), Asked("/other"))


# --- Istio's own sample, bookinfo: reviews in three versions ---

SUBSETS = """
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: reviews}
spec:
  host: reviews
  subsets:
  - {name: v1, labels: {version: v1}}
  - {name: v2, labels: {version: v2}}
  - {name: v3, labels: {version: v3}}
---
"""


def reviews(*routes: tuple[str, int | None], api: str = "v1", extra: str = "") -> str:
    lines = []
    for subset, weight in routes:
        lines.append(f"    - destination: {{host: reviews, subset: {subset}}}")
        if weight is not None:
            lines.append(f"      weight: {weight}")
    listed = "\n".join(lines)
    return f"""
apiVersion: networking.istio.io/{api}
kind: VirtualService
metadata: {{name: reviews}}
spec:
  hosts: [reviews]
  http:
{extra}  - route:
{listed}
"""


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
def test_bookinfo(api: str, routes: tuple[tuple[str, int | None], ...],
                  expected: dict[str, float]) -> None:  # fmt: skip
    assert weights(SUBSETS + reviews(*routes, api=api), Asked(host="reviews:9080")) == expected
    assert weights(reviews(*routes, api=api)) == expected  # by subset alone


def test_bookinfo_by_user() -> None:
    jason = """  - match:
    - headers:
        end-user: {exact: jason}
    route:
    - destination: {host: reviews, subset: v2}
"""
    text = SUBSETS + reviews(("v1", None), extra=jason)
    assert weights(text, Asked(headers={"end-user": "jason"})) == {"v2": 1.0}
    assert weights(text, Asked(headers={"end-user": "jasons"})) == {"v1": 1.0}
    assert weights(text) == {"v1": 1.0}


@pytest.mark.parametrize(
    ("match", "asked", "taken"),
    [
        ("{uri: {prefix: /color}}", Asked("/colorful"), True),
        ("{uri: {exact: /color}}", Asked("/colorful"), False),
        ("{uri: {exact: /color}}", Asked("/color?x=1"), True),
        ("{uri: {exact: /COLOR}, ignoreUriCase: true}", Asked("/color"), True),
        ("{uri: {regex: '/col[a-z]+'}}", Asked("/color"), True),
        ("{uri: {regex: '/col'}}", Asked("/color"), False),  # the whole of it must match
        ("{method: {exact: POST}}", Asked(), False),
        ("{authority: {exact: gw}}", Asked(host="gw"), True),
        ("{authority: {exact: gw}}", Asked(host="other"), False),
        ("{queryParams: {v: {exact: '2'}}}", Asked("/color?v=2"), True),
        ("{queryParams: {v: {exact: '2'}}}", Asked("/color"), False),
        ("{headers: {X-A: {}}}", Asked(headers={"x-a": ""}), True),
        ("{headers: {X-A: {}}}", Asked(), False),
        ("{headers: {cookie: {regex: '^(.*?; *)?(my-color=green)(;.*)?$'}}}",
         Asked(headers={"cookie": "a=1; my-color=green"}), True),
        ("{withoutHeaders: {x-a: {exact: b}}}", Asked(headers={"x-a": "b"}), False),
        ("{withoutHeaders: {x-a: {exact: b}}}", Asked(headers={"x-a": "c"}), True),
        ("{sourceLabels: {app: x}}", Asked(), False),
    ],
)  # fmt: skip
def test_the_first_rule_that_means_the_request_is_taken(
    match: str, asked: Asked, taken: bool
) -> None:
    extra = f"  - match: [{match}]\n    route:\n    - destination: {{host: reviews, subset: v3}}\n"
    text = reviews(("v1", None), extra=extra).replace("[reviews]", '["*"]')
    assert weights(text, asked) == ({"v3": 1.0} if taken else {"v1": 1.0})


def test_hosts_must_be_meant_too() -> None:
    with pytest.raises(InputError, match=r"its hosts \(reviews\) are not 10.0.0.1:80: --header"):
        weights(reviews(("v1", None)), Asked(host="10.0.0.1:80"))
    assert weights(reviews(("v1", None)), Asked(host="reviews.default.svc.cluster.local")) == {
        "v1": 1.0
    }


def test_tcp_and_tls_routes_have_weights_too() -> None:
    text = """
apiVersion: networking.istio.io/v1alpha3
kind: VirtualService
metadata: {name: tcp-echo}
spec:
  hosts: ["*"]
  KIND:
  - match: [{port: 31400}]
    route:
    - {destination: {host: tcp-echo, subset: v1}, weight: 80}
    - {destination: {host: tcp-echo, subset: v2}, weight: 20}
"""
    for kind in ("tcp", "tls"):
        assert weights(text.replace("KIND", kind)) == {"v1": 0.8, "v2": 0.2}


# --- Gateway API ---

SPLIT = """
apiVersion: gateway.networking.k8s.io/{api}
kind: HTTPRoute
metadata: {{name: simple-split}}
spec:
  rules:
  - backendRefs:
    - {{name: foo-v1, port: 8080, weight: 90}}
    - {{name: foo-v2, port: 8080, weight: 10}}
"""


@pytest.mark.parametrize("api", ["v1", "v1beta1"])
def test_gateway_apis_traffic_splitting(api: str) -> None:
    assert weights(SPLIT.format(api=api)) == {"v1": 0.9, "v2": 0.1}
    named = weights(SPLIT.format(api=api), names="foo-v1=blue,v2=green")
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
    ("asked", "backend"),
    [
        (Asked("/"), "root"),
        (Asked("/food"), "root"),  # a prefix of elements, not of characters
        (Asked("/foo"), "method"),
        (Asked("/foo/x"), "method"),
        (Asked("/foo/bar"), "exact"),
        (Asked("/foo/bar/"), "longer"),
        (Asked("/foo", method="POST"), "foo"),
        (Asked("/foo", headers={"traffic": "test"}), "method"),  # a method counts for more
        (Asked("/foo", method="POST", headers={"traffic": "test"}), "header"),
        (Asked("/foo/bar", host="a.bar.example"), "exact"),
    ],
)
def test_of_gateway_apis_rules_the_most_specific_is_taken(asked: Asked, backend: str) -> None:
    assert weights(ROUTES, asked) == {backend: 1.0}


def test_hostnames_that_are_not_meant_are_told() -> None:
    with pytest.raises(InputError, match=r"hostnames .* are not bar.example"):
        weights(ROUTES, Asked("/", host="bar.example"))


def test_a_weight_that_is_not_given_is_one() -> None:
    text = SPLIT.format(api="v1").replace(", weight: 90", "").replace("weight: 10", "weight: 3")
    assert weights(text) == {"v1": 0.25, "v2": 0.75}


# --- SMI, Argo Rollouts, Flagger ---


def test_smi_traffic_split() -> None:
    text = """
apiVersion: split.smi-spec.io/{api}
kind: TrafficSplit
metadata: {{name: color}}
spec:
  service: color
  backends:
  - {{service: color-blue, weight: {blue}}}
  - {{service: color-green, weight: {green}}}
"""
    assert weights(text.format(api="v1alpha2", blue=75, green=25)) == {"blue": 0.75, "green": 0.25}
    small = text.format(api="v1alpha1", blue="900m", green="100m")
    assert weights(small) == {"blue": 0.9, "green": 0.1}


@pytest.mark.parametrize(
    ("status", "canary"),
    [
        ("", 0.2),
        ("status: {currentStepIndex: 1}", 0.2),
        ("status: {currentStepIndex: 2}", 0.4),
        ("status: {currentStepIndex: 3}", 0.4),
        ("status: {currentStepIndex: 3, abort: true}", 0.0),
        ("status: {currentStepIndex: 8}", 0.0),  # all through: the new version is the stable one
    ],
)
def test_argo_rollouts_current_step(status: str, canary: float) -> None:
    text = f"""
apiVersion: argoproj.io/v1alpha1
kind: Rollout
metadata: {{name: rollouts-demo}}
spec:
  strategy:
    canary:
      canaryService: rollouts-demo-canary
      stableService: rollouts-demo-stable
      trafficRouting: {{istio: {{virtualService: {{name: rollouts-demo-vsvc}}}}}}
      steps:
      - setWeight: 20
      - pause: {{}}
      - setWeight: 40
      - pause: {{duration: 10}}
      - setWeight: 60
      - pause: {{duration: 10}}
      - setWeight: 80
      - pause: {{duration: 10}}
{status}
"""
    found = weights(text, names="stable=blue,canary=green")
    assert found == {"blue": round(1 - canary, 6), "green": canary}


def test_flaggers_canary() -> None:
    text = """
apiVersion: flagger.app/v1beta1
kind: Canary
metadata: {name: podinfo}
spec:
  targetRef: {apiVersion: apps/v1, kind: Deployment, name: podinfo}
  service: {port: 9898}
  analysis: {interval: 1m, threshold: 5, maxWeight: 50, stepWeight: 10}
status: {canaryWeight: 20, phase: Progressing}
"""
    assert weights(text) == {"primary": 0.8, "canary": 0.2}
    done = text.replace("Progressing", "Succeeded")
    assert weights(done) == {"primary": 1.0, "canary": 0.0}


# --- names, several resources, sources ---


def test_names_by_labels_of_services_and_by_what_differs() -> None:
    services = "".join(
        f"apiVersion: v1\nkind: Service\nmetadata: {{name: foo-{v}}}\n"
        f"spec: {{selector: {{app: foo, color: {colour}}}}}\n---\n"
        for v, colour in (("v1", "blue"), ("v2", "green"))
    )
    assert weights(services + SPLIT.format(api="v1")) == {"blue": 0.9, "green": 0.1}


def test_two_destinations_of_one_variant_add_up() -> None:
    text = SPLIT.format(api="v1")
    assert weights(text, names="v1=blue,v2=blue") == {"blue": 1.0}


def test_of_several_resources_one_is_named() -> None:
    both = SPLIT.format(api="v1") + "---" + reviews(("v1", 80), ("v2", 20))
    with pytest.raises(InputError, match=r"simple-split, VirtualService reviews.*--route"):
        weights(both)
    assert weights(both, route="reviews") == {"v1": 0.8, "v2": 0.2}
    with pytest.raises(InputError, match="is called x: there is simple-split, reviews"):
        weights(both, route="x")
    # by a request that only one of them means, there is no question
    other = both.replace("hosts: [reviews]", "hosts: [elsewhere.example]")
    assert weights(other, Asked(host="gw.example")) == {"v1": 0.9, "v2": 0.1}


def test_a_list_is_what_is_in_it() -> None:
    text = "apiVersion: v1\nkind: List\nitems:\n- " + SPLIT.format(api="v1").strip().replace(
        "\n", "\n  "
    )
    assert weights(text) == {"v1": 0.9, "v2": 0.1}


def test_files_directories_and_standard_input(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\n---\n")
    (tmp_path / "b.yml").write_text(SPLIT.format(api="v1"))
    for source in (str(tmp_path), str(tmp_path / "b.yml"), "-"):
        found = weighed({"manifest": source, "map": "v1=blue"}, lambda: SPLIT.format(api="v1"))
        assert found["weights"] == "blue=0.9,v2=0.1"
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="has no YAML files"):
        weighed({"manifest": str(tmp_path / "empty")})
    with pytest.raises(InputError, match="cannot be read: No such file"):
        weighed({"manifest": str(tmp_path / "nothing.yaml")})
    with pytest.raises(InputError, match="--manifest and --weight both"):
        weighed({"manifest": "-", "weight": "25"})
    with pytest.raises(InputError, match="--route is for a --manifest"):
        weighed({"route": "x"})


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: [", r"^m.yaml:1: no YAML"),
        ("- 1", r"^m.yaml: a document is no mapping"),
        ("apiVersion: v1\nkind: Pod", r"no resource with weights in it: none of VirtualService"),
        (reviews(("v1", -5), ("v2", 105)),
         r"^m.yaml:10: VirtualService reviews: spec.http\[0\].route\[0\].weight: the weight is"),
        (reviews(("v1", 0), ("v2", 0)),
         r"^m.yaml:8: VirtualService reviews: spec.http\[0\].route: all weights are zero"),
        (reviews(("v1", 80)).replace("80", "a lot"), r"^m.yaml:10: .*weight: 'a lot' is not what"),
        (reviews(("v1", 80)).replace("hosts: [reviews]", "hosts: 7"), r"^m.yaml:6: .*hosts: 7"),
        (SPLIT.format(api="v1").replace("90", "-1"), r"backendRefs\[0\].weight: .* negative: -1"),
        (SPLIT.format(api="v1").replace("90", "0").replace("10", "0"), r"all weights are zero"),
        ("apiVersion: argoproj.io/v1alpha1\nkind: Rollout\nmetadata: {name: r}\nspec: {}",
         r"^m.yaml:\d: Rollout r: .*there is no canary strategy"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told_by_document_path_and_line(text: str, said: str) -> None:
    with pytest.raises(InputError, match=said) as refusal:
        weights(text)
    assert "\n" not in str(refusal.value)


SEEDS = [SUBSETS + reviews(("v1", 80), ("v2", 20)), SPLIT.format(api="v1"), ROUTES]
JUNK = st.one_of(
    st.sampled_from(["-5", "null", "[]", "{}", "true", "1e400", "'", "weight", ": ", "\n", "- "]),
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
