"""The system that manifests describe: understood, or refused with name and line."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.systems import BLUE, CANARY, read, tutorial
from trafficsplit.errors import InputError
from trafficsplit.lab import MANIFESTS, read_system
from trafficsplit.lab.translation import routes


def test_the_repositorys_manifests_are_the_tutorials() -> None:
    system = tutorial()
    routing = system.routings[0]
    (rule,) = routing.rules
    assert (routing.name, routing.hosts) == ("color-is-vs", ("*",))
    assert [(b.subset, b.weight, b.port) for b in rule.backends] == [
        ("blue-sub", 75, 8000),
        ("green-sub", 25, 8000),
    ]
    assert [d.name for d in system.members(rule.backends[1])] == ["dep-color-green"]


def test_services_and_deployments_are_the_tutorials() -> None:
    system = tutorial()
    service = system.services["color-service"]
    assert service.selector == {"app": "color"}
    assert service.ports == {8000: 8080}
    assert system.subsets["color-service", "green-sub"] == {"color": "green"}
    by_name = {deployment.name: deployment for deployment in system.deployments}
    assert by_name["dep-color-blue"].environment["COLOR"] == "blue"
    assert by_name["dep-color-blue"].replicas == 1
    assert any(service.node_port for service in system.services.values())


def test_the_order_of_documents_makes_no_difference(tmp_path: Path) -> None:
    backwards = "---\n".join(reversed(CANARY.split("---\n")))
    assert read(tmp_path, backwards).routings[0].rules[0].backends[1].weight == 25


def test_a_subset_leads_to_the_pods_that_have_all_its_labels(tmp_path: Path) -> None:
    green = BLUE.replace("blue", "green")
    second = green.replace("name: dep-color-green", "name: second").replace("green", "green")
    other = green.replace("name: dep-color-green", "name: other").replace(
        "app: color", "app: other"
    )
    system = read(tmp_path, CANARY, BLUE, green, second, other)
    _, backend = system.routings[0].rules[0].backends
    assert [d.name for d in system.members(backend)] == ["dep-color-green", "second"]


def test_a_deployment_that_does_not_open_the_port_is_no_member(tmp_path: Path) -> None:
    closed = BLUE.replace("containerPort: 8080", "containerPort: 9090")
    system = read(tmp_path, CANARY, closed)
    assert system.members(system.routings[0].rules[0].backends[0]) == []


DESTINATION = "            host: color-service\n            subset: blue-sub"
# What is replaced by what, what is said of it, and the text on the line that is named.
REFUSALS = [
    ("weight: 75", "weight: -5", "weight is negative: -5", "weight: -5"),
    ("weight: 75", "weight: many", "'many' is not what belongs here", "weight: many"),
    ("weight: 75", "weight: true", "is not what belongs here", "weight: true"),
    ("weight: 75", "weight: 75\n          mirror: x", "cannot translate", "mirror: x"),
    ("    - match:", "    - fault: {}\n      match:", "cannot translate", "fault: {}"),
    ("prefix: /color", "wildcard: /c", "exact, prefix or regex", "wildcard: /c"),
    ("prefix: /color", "regex: '('", "no regular expression", "regex: '('"),
    ("subset: blue-sub", "subset: red-sub", "no DestinationRule", "subset: red-sub"),
    (DESTINATION, DESTINATION.replace("color-s", "other-s"), "is no Service", "host: other"),
    ("    - color-is-gw", "    - other-gw", "other-gw is no Gateway", "gateways:"),
    ("protocol: HTTP", "protocol: TLS", "plain HTTP only", "protocol: TLS"),
    ("kind: Gateway", "kind: EnvoyFilter", "cannot translate a EnvoyFilter", "apiVersion"),
    ("  selector:\n    app", "  type: ExternalName\n  selector:\n    app", "type Ext", "type: E"),
    ("-gw\n", "-gw\n  namespace: other\n", "no namespace but default", "namespace: other"),
    ("  http:\n", "  tcp: []\n  http:\n", "cannot translate", "tcp: []"),
]


@pytest.mark.parametrize(("old", "new", "said", "there"), REFUSALS)
def test_what_cannot_be_translated_is_refused_by_name_and_line(
    tmp_path: Path, old: str, new: str, said: str, there: str
) -> None:
    assert old in CANARY
    with pytest.raises(InputError) as refusal:
        read(tmp_path, CANARY.replace(old, new, 1))
    text = str(refusal.value)
    lines = CANARY.replace(old, new, 1).splitlines()
    assert said in text
    assert len(text.splitlines()) == 1
    number = int(text.split(".yaml:")[1].split(":")[0])
    assert there in lines[number - 1], text


URI = "            prefix: /color # a prefix of the string: /colorful matches too"


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (
            "        - uri:\n",
            "        - method: {exact: GET}\n          uri:\n",
            "cannot translate",
        ),
        ("        - uri:\n", "        - queryParams: {}\n          uri:\n", "cannot translate"),
        (f"        - uri:\n{URI}", "        - uri: {}", "exactly one way to match"),
        ("            subset: blue-sub\n", "            port: {number: 1}\n", "has no port 1"),
        ("    - port:\n", "    - tls: {}\n      port:\n", "cannot translate"),
        ('      hosts:\n        - "*"\n', "", "a gateway needs servers with hosts"),
        ('  hosts:\n    - "*"\n', "", "hosts and gateways are needed"),
        ('      hosts:\n        - "*"\n', "      hosts: [a.example]\n", "serves the host \\*"),
        ("      labels:\n        color: blue\n", "      labels: {a: b}\n      x: 1\n", "cannot tr"),
    ],
)
def test_what_bears_on_routing_is_never_passed_over(
    tmp_path: Path, old: str, new: str, said: str
) -> None:
    assert old in CANARY
    with pytest.raises(InputError, match=said):
        read(tmp_path, CANARY.replace(old, new, 1))


def test_all_weights_zero_are_refused(tmp_path: Path) -> None:
    zero = CANARY.replace("weight: 75", "weight: 0").replace("weight: 25", "weight: 0")
    with pytest.raises(InputError, match="all weights are zero"):
        read(tmp_path, zero)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("replicas: 1", "replicas: 99", "99 replicas"),
        ('value: "blue"', "valueFrom: {fieldRef: {fieldPath: x}}", "cannot translate"),
        ("        - name: color-blue", "        - tty: true\n          name: x", "cannot tr"),
        ("      color: blue\n  template", "      color: red\n  template", "does not match"),
    ],
)
def test_deployments_are_read_as_strictly(tmp_path: Path, old: str, new: str, said: str) -> None:
    assert old in BLUE
    with pytest.raises(InputError, match=said):
        read(tmp_path, CANARY, BLUE.replace(old, new, 1))


def test_servers_of_several_ports_are_refused(tmp_path: Path) -> None:
    second = "    - port: {number: 8080, name: other, protocol: HTTP}\n      hosts: ['*']\n---"
    with pytest.raises(InputError, match="one port"):
        read(tmp_path, CANARY.replace("---", second, 1))


def test_manifests_without_a_gateway_are_nothing_to_ask(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no Gateway with a VirtualService"):
        read(tmp_path, BLUE)


def test_files_that_are_none_are_one_line(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        read_system([tmp_path / "none.yaml"])
    for text in ("a: [", "- a", "a: b: c", "kind: Gateway", "\x00", "!!python/object:os.system x"):
        with pytest.raises(InputError) as refusal:
            read(tmp_path, text)
        assert len(str(refusal.value).splitlines()) == 1


@pytest.mark.slow
@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_no_damage_to_a_manifest_is_ever_a_traceback(tmp_path: Path, data: st.DataObject) -> None:
    lines = CANARY.splitlines()
    at = data.draw(st.integers(0, len(lines) - 1))
    how = data.draw(st.sampled_from(["drop", "double", "indent", "value", "text"]))
    line = lines[at]
    if how == "value":
        value = data.draw(st.sampled_from(["", "{}", "[]", "-1", "true", "1.5", "'x'", "null"]))
        line = line.split(":")[0] + ": " + value
    text = data.draw(st.text(max_size=20)) if how == "text" else ""
    changed = {"drop": [], "double": [line, line], "indent": ["  " + line], "text": [text]}
    lines[at : at + 1] = changed.get(how, [line])
    try:
        system = read(tmp_path, "\n".join(lines))
    except InputError as refusal:
        one_line = str(refusal).splitlines()
        assert len(one_line) == 1
    else:
        routes(system, "1")


def test_the_manifests_of_the_lab_are_those_of_the_repository() -> None:
    assert all(file.is_file() for file in MANIFESTS)
    assert [file.parent.name for file in MANIFESTS] == [
        "color",
        "color",
        "istio",
        "istio",
        "istio",
        "color",
    ]
