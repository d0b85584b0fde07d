from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from trafficsplit.lab import MANIFESTS, LabError, read_system
from trafficsplit.lab.translation import bootstrap, routes

CANARY = MANIFESTS[2].read_text()
BLUE = MANIFESTS[0].read_text()


def read(tmp_path: Path, *texts: str) -> object:
    files = []
    for number, text in enumerate(texts):
        files.append(tmp_path / f"manifest{number}.yaml")
        files[-1].write_text(text)
    return read_system(files)


def test_the_repositorys_manifests_are_the_tutorials() -> None:
    system = read_system(MANIFESTS)
    virtual_service = system.virtual_services[0]
    (rule,) = virtual_service.rules
    assert (virtual_service.name, virtual_service.hosts) == ("color-is-vs", ("*",))
    assert [(d.subset, d.weight, d.port) for d in rule.destinations] == [
        ("blue-sub", 75, 8000), ("green-sub", 25, 8000),
    ]  # fmt: skip
    assert [d.name for d in system.members(rule.destinations[1])] == ["dep-color-green"]


def test_weights_are_translated_as_istiod_does() -> None:
    system = read_system(MANIFESTS)
    route = routes(system, "1")["resources"][0]["virtual_hosts"][0]["routes"][0]
    clusters = route["route"]["weighted_clusters"]["clusters"]
    assert [c["weight"] for c in clusters] == [75, 25]
    assert route["match"] == {"prefix": "/color"}
    assert route["route"]["timeout"] == "0s"


def test_weight_zero_is_left_out_and_one_destination_is_a_plain_cluster(tmp_path: Path) -> None:
    rollback = CANARY.replace("weight: 75", "weight: 100").replace("weight: 25", "weight: 0")
    system = read(tmp_path, rollback)
    action = routes(system, "1")["resources"][0]["virtual_hosts"][0]["routes"][0]["route"]  # type: ignore[arg-type]
    (only,) = action["weighted_clusters"]["clusters"]
    assert "blue-sub" in only["name"]
    alone = CANARY[: CANARY.rindex("        - destination:")]
    action = routes(read(tmp_path, alone), "1")["resources"][0]["virtual_hosts"][0]["routes"][0]  # type: ignore[arg-type]
    assert "blue-sub" in action["route"]["cluster"]


def test_circuit_breakers_are_at_their_maximum() -> None:
    config = bootstrap(
        read_system(MANIFESTS), {"dep-color-blue": [1], "dep-color-green": [2]}, "f", "d"
    )
    for cluster in config["static_resources"]["clusters"]:
        assert set(cluster["circuit_breakers"]["thresholds"][0].values()) == {2**32 - 1}


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
    with pytest.raises(LabError) as refusal:
        read(tmp_path, CANARY.replace(old, new, 1))
    text = str(refusal.value)
    lines = CANARY.replace(old, new, 1).splitlines()
    assert said in text
    assert len(text.splitlines()) == 1
    number = int(text.split(".yaml:")[1].split(":")[0])
    assert there in lines[number - 1], text


def test_all_weights_zero_are_refused(tmp_path: Path) -> None:
    zero = CANARY.replace("weight: 75", "weight: 0").replace("weight: 25", "weight: 0")
    with pytest.raises(LabError, match="all weights are zero"):
        read(tmp_path, zero)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("replicas: 1", "replicas: 99", "99 replicas"),
        ("value: \"blue\"", "valueFrom: {fieldRef: {fieldPath: x}}", "cannot translate"),
        ("        - name: color-blue", "        - tty: true\n          name: x", "cannot tr"),
        ("      color: blue\n  template", "      color: red\n  template", "does not match"),
    ],
)  # fmt: skip
def test_deployments_are_read_as_strictly(tmp_path: Path, old: str, new: str, said: str) -> None:
    assert old in BLUE
    with pytest.raises(LabError, match=said):
        read(tmp_path, CANARY, BLUE.replace(old, new, 1))


def test_files_that_are_none_are_one_line(tmp_path: Path) -> None:
    with pytest.raises(LabError, match="cannot be read"):
        read_system([tmp_path / "none.yaml"])
    for text in ("a: [", "- a", "a: b: c", "kind: Gateway", "\x00", "!!python/object:os.system x"):
        with pytest.raises(LabError) as refusal:
            read(tmp_path, text)
        assert len(str(refusal.value).splitlines()) == 1


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
    except LabError as refusal:
        one_line = str(refusal).splitlines()
        assert len(one_line) == 1
    else:
        routes(system, "1")  # type: ignore[arg-type]
