"""From a response to a variant, and the reason why not."""

from __future__ import annotations

import http.cookies
import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from trafficsplit.errors import InputError
from trafficsplit.identify.color import color_name
from trafficsplit.identify.page import PageReader

# A variant's name ends up in tables and file names of people: anything longer is no name.
LONGEST_NAME = 100
MOST_KNOWN = 100  # kept, of different colors


@dataclass(frozen=True)
class Identification:
    """What one response says: a variant, or None and the reason."""

    variant: str | None
    reason: str = ""


NO_BODY = Identification(None, "the body is empty")
NO_COLOR = Identification(None, "the page names no background color")
NOT_A_COLOR = Identification(None, "the body is neither a page nor a color's name")


class Identifier:
    """Reads variants from responses. Made by `identifier_of`; keeps what it learns about pages.

    `needs_headers` is False where the body alone is read, so that a client may leave them unread.
    """

    def __init__(
        self, read: Callable[[bytes, Mapping[str, str]], Identification], *, needs_headers: bool
    ) -> None:
        # The variant of one response. `headers` has lower-case names. Never raises.
        self.read = read
        self.needs_headers = needs_headers


def variant_of(body: bytes | str, content_type: str = "") -> str | None:
    """The color that one body names, None where it names none.

    A page (`text/html`, or whatever begins with `<`) is asked for its background color; anything
    else is a color's name, as plain text or as a JSON string. For many bodies of one run use
    `identifier_of`, which remembers their shape.
    """
    data = body.encode() if isinstance(body, str) else body
    return _ColorReader(()).read(data, {"content-type": content_type}).variant


class _ColorReader:
    """The color of a page or of plain text, called as the split calls it."""

    def __init__(self, variants: Iterable[str]) -> None:
        # `--weights '#008000=25'` and a page in `Green` speak of one variant.
        self._names = {color_name(variant) or variant: variant for variant in variants}
        self._pages = PageReader()
        self._known: dict[str, Identification] = {}

    def read(self, body: bytes, headers: Mapping[str, str]) -> Identification:
        content_type = headers.get("content-type", "")
        if "json" not in content_type and (
            "html" in content_type or body[:1] == b"<" or body.lstrip()[:1] == b"<"
        ):
            color = self._pages.background(body)
            return self._reading(color) if color else (NO_COLOR if body else NO_BODY)
        if not body.strip():
            return NO_BODY
        if len(body) > LONGEST_NAME:
            return NOT_A_COLOR
        text = body.decode("utf-8", "replace").strip()
        if text.startswith('"'):
            try:
                value = json.loads(text)
            except ValueError:
                return NOT_A_COLOR
            text = value if isinstance(value, str) else ""
        color = color_name(text)
        return self._reading(color) if color else NOT_A_COLOR

    def _reading(self, color: str) -> Identification:
        reading = self._known.get(color)
        if reading is None:
            reading = Identification(self._names.get(color, color))
            if len(self._known) < MOST_KNOWN:
                self._known[color] = reading
        return reading


def identifier_of(source: str = "page", variants: Iterable[str] = ()) -> Identifier:
    """A reader for one source of the variant's name.

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
    """A reading from a value found by a name; `missing` is the reason where there is none."""
    if value is None:
        return Identification(None, missing)
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return Identification(None, missing)
    name = str(value).strip()
    if not name or len(name) > LONGEST_NAME or not name.isprintable():
        return Identification(None, f"{missing} that could be a variant's name")
    return Identification(name)


def _from_header(name: str) -> Identifier:
    key, missing = name.strip().lower(), f"no header {name}"
    return Identifier(lambda _, headers: _named(headers.get(key), missing), needs_headers=True)


def _from_cookie(name: str) -> Identifier:
    missing = f"no cookie {name} is set"

    def read(_: bytes, headers: Mapping[str, str]) -> Identification:
        # Several Set-Cookie headers arrive joined by line ends (or, from some clients, commas).
        for line in headers.get("set-cookie", "").split("\n"):
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
            found = query.find(document).values()
        except (ValueError, RecursionError, jsonpath_rfc9535.JSONPathError):
            return Identification(None, "the body is not JSON")
        return _named(found[0] if found else None, missing)

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
        found = match.group(group) if match else None
        return _named(found.decode("utf-8", "replace") if found is not None else None, missing)

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
