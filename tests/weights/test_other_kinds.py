"""Kinds of other controllers, in shapes that people have, and as their controllers check them."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.manifests import weights
from trafficsplit.errors import InputError
from trafficsplit.weights.manifests import READERS
from trafficsplit.weights.routes import Probe

Document = dict[str, Any]


def one(version: str, kind: str, spec: Document, **metadata: Any) -> Document:
    return {
        "apiVersion": version,
        "kind": kind,
        "metadata": {"name": "color", **metadata},
        "spec": spec,
    }


def text_of(*documents: Document) -> str:
    return "\n---\n".join(map(json.dumps, documents))


# --- ingress-nginx ---

NGINX = "nginx.ingress.kubernetes.io/"


def ingress(
    service: str, host: str = "shop.example.com", path: str = "/", **annotations: str
) -> Document:
    backend = {"service": {"name": service, "port": {"number": 80}}}
    paths = [{"path": path, "pathType": "Prefix", "backend": backend}]
    rules = [{"host": host, "http": {"paths": paths}}]
    marks = {f"{NGINX}{name.replace('_', '-')}": value for name, value in annotations.items()}
    return one("networking.k8s.io/v1", "Ingress", {"rules": rules}, annotations=marks)


MAIN = ingress("shop-blue")
ANY = Probe("/")


def canary(**annotations: str) -> Document:
    return ingress("shop-green", canary="true", **annotations)


@pytest.mark.parametrize(
    ("annotations", "probe", "green"),
    [
        ({"canary_weight": "25"}, ANY, 0.25),
        ({"canary_weight": "5", "canary_weight_total": "1000"}, ANY, 0.005),
        ({}, ANY, 0.0),
        (
            {"canary_weight": "10", "canary_by_header": "X-Canary"},
            Probe("/", headers={"x-canary": "always"}),
            1.0,
        ),
        (
            {"canary_weight": "10", "canary_by_header": "X-Canary"},
            Probe("/", headers={"x-canary": "never"}),
            0.0,
        ),
        (
            {"canary_weight": "10", "canary_by_header": "X-V", "canary_by_header_value": "2"},
            Probe("/", headers={"x-v": "2"}),
            1.0,
        ),
        (
            {"canary_weight": "10", "canary_by_header": "X-V", "canary_by_header_value": "2"},
            Probe("/", headers={"x-v": "always"}),
            0.1,
        ),
        (
            {"canary_weight": "10", "canary_by_cookie": "canary"},
            Probe("/", headers={"cookie": "a=1; canary=always"}),
            1.0,
        ),
    ],
)
def test_a_canary_of_ingress_nginx(annotations: dict[str, str], probe: Probe, green: float) -> None:
    for documents in ((MAIN, canary(**annotations)), (canary(**annotations), MAIN)):
        found = weights(text_of(*documents), probe)
        assert found == pytest.approx({"blue": 1 - green, "green": green})


@pytest.mark.parametrize(
    ("documents", "line"),
    [
        ((canary(canary_weight="10"),), "it is the canary of another Ingress"),
        ((MAIN, canary(canary_weight="ten")), "no whole number: 'ten'"),
        ((MAIN, canary(canary_weight="101")), "not from 0 to 100: 101"),
        ((MAIN, canary(canary_weight="-1")), "not from 0 to 100: -1"),
        ((MAIN,), "no canary beside it"),
        ((MAIN, ingress("b", "other.example.com", canary="true")), "no canary beside it"),
    ],
)
def test_what_gives_no_weights_by_ingress_nginx(documents: tuple[Document, ...], line: str) -> None:
    with pytest.raises(InputError, match=line):
        weights(text_of(*documents), ANY)


# --- AWS's ALB ---


def alb(action: Document, name: str = "split") -> Document:
    backend = {"service": {"name": "split", "port": {"name": "use-annotation"}}}
    rules = [{"http": {"paths": [{"path": "/", "pathType": "Prefix", "backend": backend}]}}]
    marks = {f"alb.ingress.kubernetes.io/actions.{name}": json.dumps(action)}
    return one("networking.k8s.io/v1", "Ingress", {"rules": rules}, annotations=marks)


def forward(*groups: Document) -> Document:
    return {"type": "forward", "forwardConfig": {"targetGroups": list(groups)}}


def test_an_action_of_alb() -> None:
    services = [
        {"serviceName": "shop-blue", "servicePort": "80", "weight": 75},
        {"serviceName": "shop-green", "servicePort": 80, "weight": 25},
    ]
    assert weights(text_of(alb(forward(*services)))) == {"blue": 0.75, "green": 0.25}
    arn = "arn:aws:elasticloadbalancing:eu-west-1:1:targetgroup/%s/0123"
    groups = [{"targetGroupARN": arn % "k8s-blue"}, {"targetGroupARN": arn % "k8s-green"}]
    assert weights(text_of(alb(forward(*groups)))) == {"blue": 0.5, "green": 0.5}
    for action, line in (
        ({"type": "redirect"}, "answers this request itself"),
        (forward({"serviceName": "a", "weight": 1000}), "999 at most"),
        (forward({"weight": 1}), "which service"),
        (forward(), "forwardConfig"),
    ):
        with pytest.raises(InputError, match=line):
            weights(text_of(alb(action)))
    with pytest.raises(InputError, match="the action split has no annotation"):
        weights(text_of(alb(forward(*services), name="other")))


# --- Knative ---


def knative(*traffic: Document, **status: Any) -> Document:
    return {
        **one("serving.knative.dev/v1", "Service", {"traffic": list(traffic)}),
        "status": status,
    }


@pytest.mark.parametrize(
    ("document", "shares"),
    [
        (
            knative(
                {"revisionName": "color-blue", "percent": 75},
                {"revisionName": "color-green", "percent": 25},
            ),
            {"blue": 0.75, "green": 0.25},
        ),
        (
            knative(
                {"revisionName": "color-00001", "percent": 90},
                {"latestRevision": True, "percent": 10},
                latestReadyRevisionName="color-00002",
            ),
            {"00001": 0.9, "00002": 0.1},
        ),
        (
            knative(
                {"revisionName": "color-00001", "percent": 100},
                {"revisionName": "color-00002", "tag": "next"},
            ),
            {"00001": 1.0, "00002": 0.0},
        ),
        (
            knative(
                {"latestRevision": True, "percent": 100},
                traffic=[
                    {"revisionName": "color-00001", "percent": 40},
                    {"revisionName": "color-00002", "percent": 60},
                ],
            ),
            {"00001": 0.4, "00002": 0.6},
        ),
        (knative(), {"color-latest": 1.0}),
    ],
)
def test_knatives_revisions(document: Document, shares: dict[str, float]) -> None:
    assert weights(text_of(document)) == shares


@pytest.mark.parametrize(
    ("per_cents", "line"),
    [((75, 20), "sum to 95"), ((101, -1), "not from 0 to 100"), ((50.5, 49.5), "percent")],
)
def test_what_knative_refuses(per_cents: tuple[float, float], line: str) -> None:
    targets = [{"revisionName": f"r{share}", "percent": share} for share in per_cents]
    with pytest.raises(InputError, match=line):
        weights(text_of(knative(*targets)))


# --- Traefik ---


def ingress_route(*routes: Document) -> Document:
    return one("traefik.io/v1alpha1", "IngressRoute", {"routes": list(routes)})


def named(*pairs: tuple[str, int]) -> list[Document]:
    return [{"name": name, "port": 80, "weight": weight} for name, weight in pairs]


BOTH = named(("shop-blue", 3), ("shop-green", 1))
WEIGHTED = one("traefik.io/v1alpha1", "TraefikService", {"weighted": {"services": BOTH}})


@pytest.mark.parametrize(
    ("documents", "probe", "shares"),
    [
        ((WEIGHTED,), ANY, {"blue": 0.75, "green": 0.25}),
        (
            (ingress_route({"match": "Host(`shop.example.com`)", "services": BOTH}),),
            Probe("/", host="shop.example.com"),
            {"blue": 0.75, "green": 0.25},
        ),
        (
            (
                ingress_route(
                    {"match": "PathPrefix(`/`)", "services": named(("shop", 1))},
                    {"match": "Host(`a.b`) && PathPrefix(`/color`)", "services": BOTH},
                ),
            ),
            Probe("/color", host="a.b"),
            {"blue": 0.75, "green": 0.25},
        ),
        (
            (
                ingress_route(
                    {
                        "match": "PathPrefix(`/`)",
                        "services": [{"name": "color", "kind": "TraefikService"}],
                    }
                ),
                WEIGHTED,
            ),
            ANY,
            {"blue": 0.75, "green": 0.25},
        ),
        (
            (
                ingress_route(
                    {"match": "PathPrefix(`/`)", "priority": 100, "services": named(("shop", 1))},
                    {"match": "PathPrefix(`/color`) && Method(`GET`)", "services": BOTH},
                ),
            ),
            Probe("/color"),
            {"shop": 1.0},
        ),
        (
            (
                ingress_route(
                    {
                        "match": "(Path(`/a`) || Path(`/b`)) && !Header(`X-Old`, `1`)",
                        "services": BOTH,
                    },
                ),
            ),
            Probe("/b"),
            {"blue": 0.75, "green": 0.25},
        ),
    ],
)
def test_traefiks_services(
    documents: tuple[Document, ...], probe: Probe, shares: dict[str, float]
) -> None:
    assert weights(text_of(*documents), probe) == pytest.approx(shares)


@pytest.mark.parametrize(
    ("rule", "line"),
    [
        ("ClientIP(`10.0.0.0/8`)", "the matcher ClientIP is not understood"),
        ("Path(`/a`", "is missing"),
        ("Path(`/a`) Path(`/b`)", "does not belong there"),
        ("Path(`/a`) and", "does not belong there"),
        ("PathRegexp(`[`)", "no regular expression"),
        ("Path()", "nothing in it"),
        ("Path(`/other`)", "no route of it takes"),
        ("§", "is not understood"),
    ],
)
def test_a_rule_of_traefiks_that_says_nothing(rule: str, line: str) -> None:
    with pytest.raises(InputError, match=line):
        weights(text_of(ingress_route({"match": rule, "services": BOTH})), ANY)


def test_traefik_services_that_contain_one_another() -> None:
    services = [{"name": "color", "kind": "TraefikService"}]
    itself = one("traefik.io/v1alpha1", "TraefikService", {"weighted": {"services": services}})
    with pytest.raises(InputError, match="contain one another"):
        weights(text_of(itself), ANY)


# --- OpenShift ---


def route(*backends: tuple[str, int | None], **spec: Any) -> Document:
    listed: list[Document] = []
    for name, weight in backends:
        given = {} if weight is None else {"weight": weight}
        listed.append({"kind": "Service", "name": name, **given})
    fields = {"to": listed[0], "alternateBackends": listed[1:], **spec}
    return one("route.openshift.io/v1", "Route", fields)


@pytest.mark.parametrize(
    ("document", "probe", "shares"),
    [
        (route(("a-blue", 75), ("a-green", 25)), ANY, {"blue": 0.75, "green": 0.25}),
        (route(("a-blue", None), ("a-green", None)), ANY, {"blue": 0.5, "green": 0.5}),
        (route(("a-blue", 256), ("a-green", 0)), ANY, {"blue": 1.0, "green": 0.0}),
        (
            route(("a-blue", 1), ("a-green", 1), host="a.b", path="/color"),
            Probe("/color/x", host="a.b"),
            {"blue": 0.5, "green": 0.5},
        ),
        (route(("a", 1), ("b", 1), ("c", 2)), ANY, {"a": 0.25, "b": 0.25, "c": 0.5}),
    ],
)
def test_openshifts_backends(document: Document, probe: Probe, shares: dict[str, float]) -> None:
    assert weights(text_of(document), probe) == shares


@pytest.mark.parametrize(
    ("document", "probe", "line"),
    [
        (route(("a", 257)), ANY, "not from 0 to 256"),
        (route(("a", 0), ("b", 0)), ANY, "all weights are zero"),
        (route(*((name, 1) for name in "abcde")), ANY, "at most belong here"),
        (route(("a", 1), host="a.b"), Probe("/", host="c.d"), "its host is a.b"),
        (route(("a", 1), path="/color"), Probe("/colorful"), "its path is /color"),
    ],
)
def test_what_openshift_refuses(document: Document, probe: Probe, line: str) -> None:
    with pytest.raises(InputError, match=line):
        weights(text_of(document), probe)


# --- Consul ---


def splitter(*splits: Document) -> Document:
    return one("consul.hashicorp.com/v1alpha1", "ServiceSplitter", {"splits": list(splits)})


@pytest.mark.parametrize(
    ("splits", "shares"),
    [
        (
            ({"weight": 90, "serviceSubset": "v1"}, {"weight": 10, "serviceSubset": "v2"}),
            {"v1": 0.9, "v2": 0.1},
        ),
        (
            ({"weight": 99.99, "service": "web"}, {"weight": 0.01, "service": "web-rewrite"}),
            {"web": 0.9999, "web-rewrite": 0.0001},
        ),
        (({"weight": 100, "service": "web"},), {"web": 1.0}),
        (({"weight": 50}, {"weight": 50, "service": "api"}), {"color": 0.5, "api": 0.5}),
        (
            ({"weight": 33.33, "service": "a"}, {"weight": 66.67, "service": "b"}),
            {"a": 0.3333, "b": 0.6667},
        ),
    ],
)
def test_consuls_splits(splits: tuple[Document, ...], shares: dict[str, float]) -> None:
    assert weights(text_of(splitter(*splits))) == pytest.approx(shares)


@pytest.mark.parametrize(
    ("weights_of", "line"),
    [((90, 5), "sum to 95"), ((101, -1), "not from 0 to 100"), ((), "splits")],
)
def test_what_consul_refuses(weights_of: tuple[float, ...], line: str) -> None:
    splits = [{"weight": weight, "service": f"s{weight}"} for weight in weights_of]
    with pytest.raises(InputError, match=line):
        weights(text_of(splitter(*splits)))


# --- Kuma ---


def mesh(*rules: Document, name: str = "color") -> Document:
    to = [{"targetRef": {"kind": "MeshService", "name": name}, "rules": list(rules)}]
    return one("kuma.io/v1alpha1", "MeshHTTPRoute", {"to": to})


def backends(*shares: int, **match: Any) -> Document:
    refs = []
    for number, weight in enumerate(shares, 1):
        tags = {"version": f"v{number}"}
        refs.append({"kind": "MeshServiceSubset", "name": "color", "tags": tags, "weight": weight})
    matches = [match] if match else []
    return {"matches": matches, "default": {"backendRefs": refs}}


@pytest.mark.parametrize(
    ("rules", "probe", "shares"),
    [
        ((backends(90, 10),), ANY, {"v1": 0.9, "v2": 0.1}),
        (
            (backends(1, 0, path={"type": "PathPrefix", "value": "/a"}), backends(1, 3)),
            Probe("/color"),
            {"v1": 0.25, "v2": 0.75},
        ),
        (
            (backends(1, 1, path={"type": "Exact", "value": "/color"}),),
            Probe("/color"),
            {"v1": 0.5, "v2": 0.5},
        ),
        (
            (backends(1, 1, headers=[{"name": "x", "value": "1"}]), backends(1, 0)),
            Probe("/", headers={"x": "1"}),
            {"v1": 0.5, "v2": 0.5},
        ),
        ((backends(1, 1, method="POST"), backends(0, 5)), ANY, {"v1": 0.0, "v2": 1.0}),
    ],
)
def test_kumas_backends(
    rules: tuple[Document, ...], probe: Probe, shares: dict[str, float]
) -> None:
    assert weights(text_of(mesh(*rules)), probe) == shares


@pytest.mark.parametrize(
    ("rule", "line"),
    [
        (backends(), "backendRefs is missing"),
        (backends(-1), "the weight is negative"),
        (backends(1, path={"type": "Odd", "value": "/"}), "there is no type Odd"),
        (backends(1, queryParams=[{"name": "a"}]), "not understood"),
        (backends(1, path={"type": "Exact", "value": "/no"}), "no rule of it takes"),
    ],
)
def test_what_kuma_gives_no_weights_for(rule: Document, line: str) -> None:
    with pytest.raises(InputError, match=line):
        weights(text_of(mesh(rule)), ANY)


# --- Linkerd ---


def test_linkerds_own_http_route() -> None:
    refs = [{"name": "web-blue", "port": 80, "weight": 9}, {"name": "web-green", "port": 80}]
    parents = [{"kind": "Service", "group": "core", "name": "web", "port": 80}]
    spec = {"parentRefs": parents, "rules": [{"backendRefs": refs}]}
    document = one("policy.linkerd.io/v1beta3", "HTTPRoute", spec)
    assert weights(text_of(document)) == {"blue": 0.9, "green": 0.1}


# --- all of them ---

FIELDS = st.sampled_from(
    [
        *("traffic", "percent", "revisionName", "routes", "match", "services", "name", "weight"),
        *("weighted", "to", "rules", "default", "backendRefs", "matches", "path", "value", "http"),
        *("paths", "backend", "service", "port", "splits", "alternateBackends", "conditions"),
        *("header", "virtualhost", "fqdn", "tags", "kind", "headers", "hosts", "route"),
    ]
)
ODD = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(FIELDS, inner, max_size=4),
    max_leaves=20,
)


@settings(max_examples=40)
@given(spec=st.dictionaries(FIELDS, ODD, max_size=5), status=ODD)
@pytest.mark.parametrize("kind", list(READERS), ids="/".join)
def test_a_reader_says_a_split_or_one_line(
    kind: tuple[str, str], spec: Document, status: object
) -> None:
    document = {**one(f"{kind[0]}/v1", kind[1], spec), "status": status}
    line = ""
    found = {"nothing": 1.0}
    try:
        found = weights(json.dumps(document), ANY)
    except InputError as error:
        line = str(error)
    assert len(line.splitlines()) <= 1
    assert sum(found.values()) == pytest.approx(1)
