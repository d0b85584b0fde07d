"""YAML field by field: what no manifest can have is refused in one line, whatever it is."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.support.manifests import document
from trafficsplit.errors import InputError
from trafficsplit.weights.fields import (
    LONGEST_SHOWN,
    document_of,
    documents_of,
    documents_of_files,
    plain,
    shown,
)

LEVELS = 1000
BLOCKS = "".join(" " * level + "a:\n" for level in range(LEVELS))
LAUGHS = "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 10))


def refusal_of(text: str) -> str:
    """Return the one line by which a text is refused."""
    with pytest.raises(InputError) as refusal:
        documents_of(text, "m.yaml")
    message = str(refusal.value)
    assert len(message.splitlines()) == 1
    return message


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: 1\n? {b: c}\n: d\n", "m.yaml:1: a mapping as a key is no string: is this a template"),
        ("{a: 1, {b: c}: d}", "is no string"),
        ("a: 1\n{{ .Values.b }}: 2\n", "is this a template, as of Helm's? Render it first"),
        ("a:\n  ? [1, 2]\n  : d\n", "m.yaml:2: the key (1, 2) is no string"),
        ("1: a", "m.yaml:1: the key 1 is no string"),
        ("true: a", "the key True is no string"),
        ("? \n: a", "the key None is no string"),
        (".inf: a", "the key inf is no string"),
    ],
)
def test_a_key_that_is_no_string_is_refused(text: str, said: str) -> None:
    assert said in refusal_of(text)


@pytest.mark.parametrize(
    "text",
    [
        "&x\na: *x\n",
        "b: 1\na: &x {b: *x}\n",
        "b: 1\na: &x [1, *x]\n",
        "b: 1\na: &x\n  <<: *x\n",
        "b: 1\na: &x\n  <<: [*x]\n",
        "b: 1\na: &x {b: {c: [{d: *x}]}}\n",
    ],
)
def test_an_alias_within_what_it_stands_for_is_refused(text: str) -> None:
    message = refusal_of(text)
    assert message.endswith("an alias stands for something that contains it")
    assert message.startswith(("m.yaml:1:", "m.yaml:2:"))


@pytest.mark.parametrize(
    "odd", ["5", "abc", "[1, 2]", "", "{<<: 3}", "*nothing", "1.5", "true", "!!binary x", "[[]]"]
)
def test_an_odd_merge_is_refused_with_its_line(odd: str) -> None:
    assert refusal_of(f"a: 1\nb:\n  <<: {odd}\n").startswith(("m.yaml:3:", "m.yaml:4:"))


def test_what_is_merged_stands_where_it_is_merged() -> None:
    read = document("base: &base {a: one, b: two}\nuse:\n  <<: *base\n  b: three\n").fields("use")
    assert read.text("a") == "one"
    assert read.text("b") == "three"
    assert read.position("a") is None  # it stands elsewhere
    assert read.position("b") == (3, 5)


@pytest.mark.parametrize("number", [".inf", "-.inf", ".nan", "1e400", "!!float .INF"])
@pytest.mark.parametrize("frame", ["a: 1\nb: {}", "a: 1\nb: [0, {}]", "a: 1\nb:\n- {}"])
def test_what_is_no_finite_number_is_refused_with_its_line(number: str, frame: str) -> None:
    message = refusal_of(frame.replace("{}", number))
    assert "is no number that a manifest can have" in message
    assert message.startswith(f"m.yaml:{frame.count(chr(10)) + 1}:")


@pytest.mark.slow
@pytest.mark.parametrize(
    "text",
    [
        "a: " + "[" * LEVELS + "]" * LEVELS,
        "a: " + "{a: " * LEVELS + "1" + "}" * LEVELS,
        "- " * LEVELS,
        BLOCKS,
        "a: " + "[" * 150 + "]" * 150,
    ],
)
def test_a_thousand_levels_are_refused(text: str) -> None:
    message = refusal_of(text)
    assert message.endswith(("more than 100 levels", "expected apiVersion, kind, …"))


@pytest.mark.slow
def test_aliases_that_multiply_are_refused() -> None:
    text = f"a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n{LAUGHS}"  # 10^10 values in 10 lines
    assert "with its aliases it has more than 1,000,000 values" in refusal_of(text)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: [", "m.yaml:1: no YAML: "),
        ("b: 1\na: !!int x", "m.yaml:2: no YAML: invalid literal for int()"),
        ("b: 1\na: 2026-99-99", "m.yaml:2: no YAML: month must be in 1..12"),
        ("a: 1\na: 2", "m.yaml:2: no YAML: found duplicate key"),
        ("a: \0", "m.yaml: no YAML: unacceptable character"),
        ("--- 5", "m.yaml: a document is no mapping"),
        ("a: 1\n--- [1]", "m.yaml: a document is no mapping"),
    ],
)
def test_what_is_no_yaml_is_refused(text: str, said: str) -> None:
    assert said in refusal_of(text)


STRUCTURE = ("a", "b: ", "? ", ": ", "- ", "[", "]", "{", "}", ", ", "\n", "  ", "---\n", "...")
REFERENCES = ("&x ", "*x", "<<: ", "!x ", "!<", "!!int ", "!!float ", "!!set ", "!!omap ", "!!map ")
SCALARS = (".inf", ".nan", "1e400", "0x", "0o9", "~", "true", "2026-02-30", "1_0", "!!timestamp ")
SIGNS = ("'", '"', "|", ">", "%", "#", "@", "`", "\t", "\r", "\0", "\x85", "\ufeff", "!!binary ")
PIECES = st.sampled_from([*STRUCTURE, *REFERENCES, *SCALARS, *SIGNS])
YAMLISH = st.lists(PIECES, max_size=30).map("".join)


@given(st.one_of(YAMLISH, st.text(max_size=60)))
@example("{<<: [[]]}")
@example("? - a\n: b")
@example("!!set {a, [b]: c}")
@example("a: !!omap [b: 1, b: 2]")
def test_any_text_is_read_or_refused_in_one_line(text: str) -> None:
    try:
        read = documents_of(text, "m.yaml")
    except InputError as refusal:
        assert len(str(refusal).splitlines()) == 1  # noqa: PT017
        return
    for one in read:
        plain(one.data)  # and what is read has an end


# --- fields ---

TEXT = """\
name: color
count: 3
on: true
nested: {inner: x}
listed:
- {inner: y}
words: [a, b]
pods: {app: color}
none: null
"""


def test_fields_are_taken_by_their_kind() -> None:
    read = document(TEXT)
    assert read.text("name") == "color"
    assert read.take("count", int) == 3
    assert read.take("on", bool) is True
    assert read.fields("nested").text("inner") == "x"
    assert [one.text("inner") for one in read.each("listed")] == ["y"]
    assert read.strings("words") == ["a", "b"]
    assert read.labels("pods") == {"app": "color"}
    assert read.left == ["none"]
    read.ignore("none")
    assert read.left == []


def test_what_is_missing_or_null_has_its_default() -> None:
    read = document(TEXT)
    assert read.text("none", "default") == read.text("nowhere", "default") == "default"
    assert read.take("none", int) is None
    assert list(read.each("nowhere")) == []
    assert read.strings("nowhere") == []
    assert read.labels("nowhere") == {}
    assert read.fields("nowhere").fields("deeper").names() == []
    with pytest.raises(InputError, match=r"m.yaml:1: nowhere is missing"):
        read.need("nowhere")


@pytest.mark.parametrize(
    ("name", "kind", "said"),
    [
        ("name", int, "m.yaml:1: name: 'color' is not what belongs here"),
        ("count", str, "m.yaml:2: count: 3 is not what belongs here"),
        ("on", int, "m.yaml:3: on: True is not what belongs here"),  # no number to Kubernetes
        ("nested", str, "m.yaml:4: nested: "),
    ],
)
def test_another_kind_is_refused_with_line_and_path(name: str, kind: type, said: str) -> None:
    with pytest.raises(InputError) as refusal:
        document(TEXT).take(name, kind)
    assert said in str(refusal.value)


@pytest.mark.parametrize("number", ["031", "007", "00"])
def test_a_number_that_kubernetes_takes_for_octal_is_refused(number: str) -> None:
    with pytest.raises(InputError, match=r"m.yaml:1: weight: 0.* octal"):
        document(f"weight: {number}\n").take("weight", int)


@pytest.mark.parametrize(("number", "meant"), [("0", 0), ("31", 31), ("-5", -5), ("1_000", 1000)])
def test_other_numbers_are_read_as_they_are(number: str, meant: int) -> None:
    assert document(f"weight: {number}\n").take("weight", int) == meant


def test_what_does_not_belong_into_a_list_or_mapping_is_refused() -> None:
    read = document("spec:\n  rules: [1]\n  hosts: [a, 7]\n  labels: {app: 5}\n").fields("spec")
    with pytest.raises(InputError, match=r"m.yaml:2: spec.rules: \[0\]: 1 is not"):
        list(read.each("rules"))
    with pytest.raises(InputError, match=r"m.yaml:3: spec.hosts: 7 is not"):
        read.strings("hosts")
    with pytest.raises(InputError, match=r"m.yaml:4: spec.labels: app: 5 is not a string"):
        read.labels("labels")


def test_a_choice_has_one_field() -> None:
    assert document("exact: /color").only() == ("exact", "/color")
    with pytest.raises(InputError, match="exactly one way"):
        document("exact: a\nprefix: b").only()


def test_a_refusal_names_file_line_title_and_path() -> None:
    read = document("spec:\n  http:\n  - a: 1\n    b: 2\n")
    read.title = "VirtualService color"
    (rule,) = read.fields("spec").each("http")
    assert str(rule.error("odd", "b")) == "m.yaml:4: VirtualService color: spec.http[0].b: odd"
    assert rule.where == "spec.http[0]"
    assert rule.file == "m.yaml"


def test_what_comes_from_an_api_has_no_lines() -> None:
    read = document_of({"spec": {"rules": [{"weight": 1}], "n": None}})
    (rule,) = read.fields("spec").each("rules")
    assert str(rule.error("odd", "weight")) == "spec.rules[0].weight: odd"
    assert rule.position("weight") is None


def test_a_value_in_a_message_is_short_and_one_line() -> None:
    assert shown("a\nb") == r"'a\nb'"
    assert len(shown("x" * 1000)) == LONGEST_SHOWN


def test_plain_data_has_what_is_merged() -> None:
    assert plain(document("a: &a {b: 1}\nc:\n- <<: *a\n  d: 2\n").data) == {
        "a": {"b": 1},
        "c": [{"b": 1, "d": 2}],
    }


def test_a_file_that_is_no_text_or_not_there_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "m.yaml"
    with pytest.raises(InputError, match="cannot be read: No such file"):
        documents_of_files([file])
    file.write_bytes(b"a: \xff")
    with pytest.raises(InputError, match="cannot be read: it is not UTF-8 text"):
        documents_of_files([file])
    with pytest.raises(InputError, match="cannot be read: Is a directory"):
        documents_of_files([tmp_path])
    file.write_bytes("a: ü\r\n---\r\n---\r\nb: 1\r\n".encode())
    assert [one.names() for one in documents_of_files([file])] == [
        ["a"],
        ["b"],
    ]  # an empty one is none
