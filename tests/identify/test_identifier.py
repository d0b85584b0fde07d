"""Which variant a response names: from its page, its headers, its JSON, or by a pattern."""

from __future__ import annotations

import html
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trafficsplit.errors import InputError
from trafficsplit.identify.identifier import identifier_of, variant_of
from trafficsplit.identify.page import PageReader, background

# The tutorial's family of pages: the colour in a style of the element that is called color, or of
# body; a style sheet with a colour of its own; a textarea that repeats the request.
PAGE = """<!DOCTYPE html><html><head><title>Color</title><style>
.modal {{ background-color:#fefefe; }} textarea {{ background: url(x.png) red }}
</style></head><body style="background-color:{color}">
<h1>Color</h1><p>{host}</p><textarea id="request">{request}</textarea></body></html>"""


def page(color: str = "green", request: str = "GET /color", host: str = "pod-1") -> bytes:
    return PAGE.format(color=color, request=request, host=host).encode()


@pytest.mark.parametrize(
    "notation",
    [
        "green",
        "Green",
        "#008000",
        "#080",
        "rgb(0,128,0)",
        "rgb(0 128 0)",
        "hsl(120 100% 25.1%)",
        "rgba(0, 128, 0, 1)",
        "color(srgb 0 .50196 0)",
    ],
)
def test_every_notation_of_green_is_green(notation: str) -> None:
    assert variant_of(page(notation), "text/html") == ("#008800" if notation == "#080" else "green")


@pytest.mark.parametrize(
    ("body", "color"),
    [
        ("<body style='background:blue'>", "blue"),
        ("<body style='background-color: blue; background-color: nonsense'>", "blue"),
        ("<body style='background-color: blue !important; background-color: red'>", "blue"),
        ("<style>body{background-color:blue}</style><body>", "blue"),
        ("<style>.x{background-color:red}</style><body class=y>", None),
        ("<style>body{background:red} #color{background:blue}</style><div id=color>", "blue"),
        ("<body style='background-color:red'><div id=color style='background:blue'>", "blue"),
        ("<body><!-- <body style='background-color:red'> -->", None),
        ("<script>var x = \"<body style='background-color:red'>\"</script><body>", None),
        ("<textarea><body style='background-color:red'></textarea>", None),
        ("<body title='style=background-color:red'>", None),
        ("<body style='color:red; border-color:red'>", None),
        ("<body style='background-color:transparent'>", None),
        ("<body style='background-color:var(--x)'>", None),
        ("<html><body><div style='background-color:blue'>", "blue"),
        # Whatever a browser paints behind everything else.
        (
            "<style>body{background:blue}</style><body><p style='background:red'>notice</p>",
            "blue",
        ),
        ("<style>.app{background:blue}</style><body class=app>", "blue"),
        ("<style>html.b{background:blue}</style><html class=b><body>", "blue"),
        ("<style>:root{--c:blue}body{background:var(--c)}</style><body>", "blue"),
        ("<style>body{background:var(--c)}</style><body style='--c:blue'>", "blue"),
        ("<style>body{background:var(--none, blue)}</style><body>", "blue"),
        ("<style>:root{--a:var(--b);--b:blue}body{background:var(--a)}</style><body>", "blue"),
        ("<style>:root{--a:var(--b);--b:var(--a)}body{background:var(--a)}</style><body>", None),
        ("<style>body{color:red; &.b{background:blue}}</style><body class=b>", "blue"),
        ("<style>.v2{body{background:red}}body{background:blue}</style><body>", "blue"),
        ("<style>html{body{background:blue}}</style><body>", "blue"),
        ("<style>@media print{body{background:red}}body{background:blue}</style><body>", "blue"),
        ("<style>@media screen{body{background:blue}}</style><body>", "blue"),
        ("<style>@layer base{body{background:blue}}</style><body>", "blue"),
        ("<style>a::before{background:#eee} body{background:blue}</style><body>", "blue"),
        ("<style>body::before{background:red}</style><body>", None),
        (
            "<body><p style='background:red'>note</p><main style='background:blue'>" + "text " * 9,
            "blue",
        ),
        ("<style>.w{background:blue}</style><body><div><div class=w>text</div></div>", "blue"),
    ],
)
def test_the_background_is_what_a_browser_would_paint(body: str, color: str | None) -> None:
    assert background(body.encode()) == color


@pytest.mark.parametrize(
    ("body", "content_type", "variant"),
    [
        ('"blue"', "text/plain", "blue"),
        ('"blue"\n', "application/json", "blue"),
        ("green", "text/plain", "green"),
        ("#008000", "", "green"),
        ("", "text/plain", None),
        ("a page of text", "text/plain", None),
        ("42", "application/json", None),
        ('"blue', "text/plain", None),
    ],
)
def test_plain_text_and_json_name_a_color(
    body: str, content_type: str, variant: str | None
) -> None:
    assert variant_of(body, content_type) == variant


hostile = st.one_of(
    st.text(max_size=200),
    st.sampled_from(
        [
            "background-color:red",
            "Cookie: background-color:red",
            "</textarea><body style='background-color:red'>",
            "</textarea></body><body style=background-color:red>",
            "<style>body{background-color:red!important}</style>",
            "'\"><script>document.body.style.background='red'</script>",
            "<!--",
            "]]>",
            "&#60;body style=background-color:red&#62;",
            "\x00<",
        ]
    ),
)


@given(hostile, hostile, st.sampled_from(["green", "blue"]))
def test_no_request_that_comes_back_escaped_changes_the_answer(
    request: str, host: str, color: str
) -> None:
    escaped = page(color, html.escape(request), html.escape(host))
    assert variant_of(escaped, "text/html") == color


@given(hostile, st.sampled_from(["green", "blue"]))
def test_nor_does_one_that_comes_back_as_it_is(request: str, color: str) -> None:
    assert variant_of(page(color, request), "text/html") == color


@pytest.mark.slow
@given(st.lists(st.tuples(hostile, hostile, st.sampled_from(["green", "blue"])), max_size=12))
def test_the_fast_path_says_what_the_parser_says(
    requests: list[tuple[str, str, str]],
) -> None:
    reader = PageReader()
    for raw in (False, True):
        for request, host, color in requests:
            text = request if raw else html.escape(request)
            body = page(color, text, html.escape(host))
            assert reader.background(body) == background(body)


@given(st.lists(st.binary(max_size=80).map(lambda b: b"<p>" + b + b"</p>"), max_size=10))
def test_the_fast_path_is_no_other_on_bytes_of_any_kind(pages: list[bytes]) -> None:
    reader = PageReader()
    for body in pages:
        assert reader.background(body) == background(body)


def test_styles_too_deep_to_be_read_are_no_reason_to_raise() -> None:
    reader = PageReader()
    for number in range(3):
        body = f"<body style='background:{'(' * 2000}'><p>{number}</p></body>".encode()
        assert reader.background(body) is None


def test_pages_of_a_known_shape_are_not_parsed_again() -> None:
    reader = PageReader()
    for number in range(200):
        color = "blue" if number % 4 else "green"
        body = page(color, f"GET /color\nx-request-id: {number}", f"pod-{number % 3}")
        assert reader.background(body) == color
    assert reader.parsed <= 8


def test_unlike_pages_are_parsed_and_memory_stays_bounded() -> None:
    reader = PageReader(shapes=4)
    for number in range(50):
        reader.background(f"<body {number}='' style='background-color:blue'>".encode())
    assert reader.parsed == 50
    assert len(reader._shapes) <= 4


@pytest.mark.parametrize(
    ("source", "body", "headers", "variant"),
    [
        ("header:X-Version", "", {"x-version": "v2"}, "v2"),
        ("header:x-version", "", {}, None),
        ("cookie:color", "", {"set-cookie": "a=b\ncolor=green; Path=/"}, "green"),
        ("cookie:color", "", {"set-cookie": "other=green"}, None),
        ("cookie:version", "", {"set-cookie": 'a=b\nversion="green"; Path=/'}, "green"),
        ("cookie:version", "", {"set-cookie": "a=b; version=green"}, None),
        ("json:$.version", '{"version": 2}', {}, "2"),
        ("json:$.a[0].v", '{"a": [{"v": "x"}]}', {}, "x"),
        ("json:$.version", "<html>", {}, None),
        ("json:$.version", '{"version": {"no": "name"}}', {}, None),
        ("regex:version=(\\w+)", "... version=canary ...", {}, "canary"),
        ("regex:v\\d", "this is v7", {}, "v7"),
        ("regex:v\\d", "none", {}, None),
    ],
)
def test_other_sources(source: str, body: str, headers: dict[str, str], variant: str) -> None:
    reading = identifier_of(source).read(body.encode(), headers)
    assert reading.variant == variant
    assert bool(reading.reason) == (variant is None)


@pytest.mark.parametrize("source", ["", "body", "header:", "json:$[", "regex:(", "cookie"])
def test_sources_that_cannot_be_are_refused(source: str) -> None:
    with pytest.raises(InputError):
        identifier_of(source)


@given(
    st.binary(max_size=300), st.sampled_from(["text/html", "application/json", "", "text/plain"])
)
def test_no_body_is_ever_an_exception(body: bytes, content_type: str) -> None:
    headers = {"content-type": content_type, "set-cookie": body.decode("latin-1")}
    for source in ("page", "cookie:color", "json:$.version", "regex:x(.*)"):
        identifier_of(source).read(body, headers)


def test_a_variant_is_called_as_the_split_calls_it() -> None:
    reader = identifier_of("page", ["#008000", "blue"])
    assert reader.read(page("Green"), {"content-type": "text/html"}).variant == "#008000"


def test_a_deeply_nested_document_is_only_unidentified() -> None:
    deep = json.loads(json.dumps("[" * 100_000))
    assert identifier_of("json:$.version").read(deep.encode(), {}).variant is None


@pytest.mark.parametrize(
    ("encoding", "content_type"),
    [
        ("utf-16", "text/html"),
        ("utf-16-le", "text/html; charset=UTF-16LE"),
        ("utf-16-be", "text/html; charset=utf-16be"),
    ],
)
def test_a_page_in_utf_16_is_read(encoding: str, content_type: str) -> None:
    page = "<html><body style='background:blue'>ü</body></html>".encode(encoding)
    assert variant_of(page, content_type) == "blue"
    assert variant_of("green".encode(encoding), content_type.replace("html", "plain")) == "green"


@pytest.mark.parametrize(
    ("body", "variant", "reason"),
    [
        ('{"color": "blue", "host": "pod-1"}', "blue", ""),
        ('{"app": {"theme": ["x", {"c": "#00f"}]}}', "blue", ""),
        ('{"color": "green", "border": "red"}', "green", ""),  # red is no variant
        ('{"a": "blue", "b": "green"}', None, "several strings in the JSON are colors"),
        ('{"version": "v1"}', None, "no string in the JSON is a color"),
        ('{"color": "blue"', None, "neither a page nor"),
    ],
)
def test_one_string_of_a_json_object_is_the_variant(
    body: str, variant: str | None, reason: str
) -> None:
    identifier = identifier_of("page", ("blue", "green"))
    found = identifier.read(body.encode(), {"content-type": "application/json"})
    assert found.variant == variant
    assert reason in found.reason


def test_pages_that_would_take_long_are_read_no_further() -> None:
    deep = b"<html><body style='background:blue'>" + b"<div>" * 60_000
    assert background(deep) is None
    long = b"<html><body style='background:blue'>" + b"<p>text</p>" * 200_000
    assert background(long) == "blue"
    rules = "".join(f"a[x{n}] [y='{n}']{{background:red}}" for n in range(10_000))
    page = f"<style>body{{background:blue}}{rules}</style><body><div a b c></div>"
    assert background(page.encode()) == "blue"


@pytest.mark.parametrize("name", ["##[error]x", "::error::x", "a\nb", "x" * 200, " "])
def test_what_could_be_no_variants_name_is_none(name: str) -> None:
    found = identifier_of("header:x-version").read(b"", {"x-version": name})
    assert found.variant is None
    assert "that could be a variant's name" in found.reason
