"""From a response to a variant, and the reason why not."""

from __future__ import annotations

import http.cookies
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

from trafficsplit.errors import InputError
from trafficsplit.identify.color import color_name
from trafficsplit.identify.page import PageReader
from trafficsplit.text import COMMAND

# Characters: a variant's name ends up in tables and file names, and anything longer is no name.
LONGEST_NAME = 100
MOST_KNOWN = 100  # colors, of which the identification is kept


@dataclass(frozen=True)
class Identification:
    """What one response says: a variant, or None and the reason."""

    variant: str | None
    reason: str = ""


NO_BODY = Identification(None, "the body is empty")
NO_COLOR = Identification(None, "the page names no background color")
NO_COLOR_IN_OBJECT = Identification(
    None, "no string in the JSON is a color: say which one, --variant-from json:$.NAME"
)
AMBIGUOUS = Identification(
    None, "several strings in the JSON are colors: say which one, --variant-from json:$.NAME"
)
# With which UTF-16 may begin; of what is markup, JSON or a color's name every other byte is 0.
WIDE = (b"\xff\xfe", b"\xfe\xff")
LARGEST_OBJECT = 64 * 1024  # bytes of JSON in which a variant is looked for
NOT_A_COLOR = Identification(None, "the body is neither a page nor a color's name")


class Identifier:
    """Reads the variant of each response. Made by `identifier_of`; learns the shapes of pages.

    `needs_headers` is False if the body alone is read, so that a client may leave headers unread.
    """

    def __init__(
        self, read: Callable[[bytes, Mapping[str, str]], Identification], *, needs_headers: bool
    ) -> None:
        # Identifies one response, of which `headers` has lower-case names. Never raises.
        self.read = read
        self.needs_headers = needs_headers


def variant_of(body: bytes | str, content_type: str = "") -> str | None:
    """Return the color that one body names, None where it names none.

    A page (`text/html`, or a body that begins with `<`) names its background color. Any other body
    is a color's name, as plain text or as a JSON string. For the many bodies of one run use
    `identifier_of`, which remembers their shape.
    """
    if isinstance(body, str):
        body = body.encode()
    return _ColorReader(()).read(body, {"content-type": content_type}).variant


class _ColorReader:
    """Reads the color of a page or of plain text, by the name that the split has for it."""

    def __init__(self, variants: Iterable[str]) -> None:
        # `--weights '#008000=25'` and a page in `Green` speak of one variant.
        self._names = {color_name(variant) or variant: variant for variant in variants}
        self._pages = PageReader()
        self._known: dict[str, Identification] = {}

    def read(self, body: bytes, headers: Mapping[str, str]) -> Identification:
        content_type = headers.get("content-type", "")
        if b"\0" in body[:4] and (body[:2] in WIDE or "utf-16" in content_type.lower()):
            body = _narrowed(body, content_type)
        if not _is_page(body, content_type):
            return self._read_text(body)
        try:
            color = self._pages.background(body)
        except Exception as error:  # whatever a parser may run into: it is the page's, not ours
            return Identification(None, f"the page cannot be read ({type(error).__name__})")
        if color is None:
            return NO_COLOR if body else NO_BODY
        return self._known.get(color) or self._identification(color)

    def _read_text(self, body: bytes) -> Identification:
        if not body.strip():
            return NO_BODY
        if body.lstrip()[:1] == b"{":
            return self._read_object(body)
        if len(body) > LONGEST_NAME:
            return NOT_A_COLOR
        color = color_name(_text_of(body))
        if color is None:
            return NOT_A_COLOR
        return self._identification(color)

    def _read_object(self, body: bytes) -> Identification:
        """Return the variant of a JSON object in which one string is a variant's color."""
        if len(body) > LARGEST_OBJECT:
            return NOT_A_COLOR
        try:
            texts = set(_strings(json.loads(body)))
        except (ValueError, RecursionError):
            return NOT_A_COLOR
        colors = {color for color in map(color_name, texts) if color}
        known = colors & set(self._names)
        (color,) = known if len(known) == 1 else colors if len(colors) == 1 else ("",)
        if color:
            return self._identification(color)
        return AMBIGUOUS if colors else NO_COLOR_IN_OBJECT

    def _identification(self, color: str) -> Identification:
        known = self._known.get(color)
        if known is None:
            known = Identification(self._names.get(color, color))
            if len(self._known) < MOST_KNOWN:
                self._known[color] = known
        return known


def _narrowed(body: bytes, content_type: str) -> bytes:
    """Return a body in UTF-16 as UTF-8."""
    little = "utf-16le" in content_type.lower()
    encoding = "utf-16" if body[:2] in WIDE else "utf-16-le" if little else "utf-16-be"
    return body.decode(encoding, "replace").encode()


def _strings(value: object) -> Iterator[str]:
    """Yield the strings of a JSON value that may be a name."""
    if isinstance(value, str) and len(value) <= LONGEST_NAME:
        yield value
    elif isinstance(value, Mapping):
        for inner in value.values():
            yield from _strings(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _strings(inner)


def _is_page(body: bytes, content_type: str) -> bool:
    if "json" in content_type:
        return False
    return "html" in content_type or body[:1] == b"<" or body.lstrip()[:1] == b"<"


def _text_of(body: bytes) -> str:
    """Return a body's text, that of the string where it is one in JSON; empty for broken JSON."""
    text = body.decode("utf-8", "replace").strip()
    if not text.startswith('"'):
        return text
    try:
        value = json.loads(text)
    except ValueError:
        return ""
    return value if isinstance(value, str) else ""


def identifier_of(source: str = "page", variants: Iterable[str] = ()) -> Identifier:
    """Return an identifier for one source of the variant's name.

    `source` is one of `page` (the background color, or a color's name as text or JSON),
    `header:NAME`, `cookie:NAME` (as the response sets it), `json:PATH` (JSONPath, RFC 9535) or
    `regex:PATTERN` (on the body: its first group, or all of the match). `variants` are the names
    that the split uses. Raises InputError for any other source.
    """
    if source == "page":
        return Identifier(_ColorReader(variants).read, needs_headers=True)
    kind, _, argument = source.partition(":")
    if kind not in _SOURCES:
        known = ", ".join(["page", *(f"{name}:…" for name in _SOURCES)])
        raise InputError(f"the variant cannot be read from {source!r}: say one of {known}")
    if not argument:
        raise InputError(f"{source!r} names nothing: e.g. {_EXAMPLES[kind]}")
    return _SOURCES[kind](argument)


def _named(value: object, missing: str) -> Identification:
    """Return what a value identifies; `missing` is the reason where there is no value."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return Identification(None, missing)
    name = str(value).strip()
    # A name stands in many lines: one that a runner of pipelines would take for a command is none.
    if not name or len(name) > LONGEST_NAME or not name.isprintable() or COMMAND.search(name):
        return Identification(None, f"{missing} that could be a variant's name")
    return Identification(name)


def _from_header(name: str) -> Identifier:
    key = name.strip().lower()
    missing = f"no header {name}"
    return Identifier(lambda _, headers: _named(headers.get(key), missing), needs_headers=True)


def _from_cookie(name: str) -> Identifier:
    missing = f"no cookie {name} is set"

    def read(_: bytes, headers: Mapping[str, str]) -> Identification:
        # Several Set-Cookie headers arrive joined by line ends (or, from some clients, commas).
        for line in headers.get("set-cookie", "").split("\n"):
            first, value = line.partition(";")[0].partition("=")[::2]
            if first.strip() == name:  # the parser below takes `version` for an attribute
                return _named(value.strip().strip('"'), missing)
            try:
                morsel = http.cookies.SimpleCookie(line).get(name)
            except http.cookies.CookieError:
                continue
            if morsel is not None:
                return _named(morsel.value, missing)
        return Identification(None, missing)

    return Identifier(read, needs_headers=True)


def _from_json(path: str) -> Identifier:
    import jsonpath_rfc9535  # 30 ms, which other sources need not pay

    try:
        query = jsonpath_rfc9535.compile(path)
    except jsonpath_rfc9535.JSONPathError as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"{path!r} is no JSONPath ({reason}): e.g. json:$.version") from None
    missing = f"no {path} in the JSON"

    def read(body: bytes, _: Mapping[str, str]) -> Identification:
        try:
            document = json.loads(body)
            values = query.find(document).values()
        except (ValueError, RecursionError, jsonpath_rfc9535.JSONPathError):
            return Identification(None, "the body is not JSON")
        return _named(values[0] if values else None, missing)

    return Identifier(read, needs_headers=False)


def _from_regex(pattern: str) -> Identifier:
    try:
        compiled = re.compile(pattern.encode())
    except re.error as error:
        raise InputError(f"{pattern!r} is no regular expression: {error}") from None
    group = 1 if compiled.groups else 0
    missing = "the regular expression matches nothing"

    def read(body: bytes, _: Mapping[str, str]) -> Identification:
        match = compiled.search(body)
        if match is None or match.group(group) is None:
            return Identification(None, missing)
        return _named(match.group(group).decode("utf-8", "replace"), missing)

    return Identifier(read, needs_headers=False)


_SOURCES: dict[str, Callable[[str], Identifier]] = {
    "header": _from_header,
    "cookie": _from_cookie,
    "json": _from_json,
    "regex": _from_regex,
}
_EXAMPLES = {
    "header": "header:x-version",
    "cookie": "cookie:color",
    "json": "json:$.version",
    "regex": 'regex:version="(\\w+)"',
}
