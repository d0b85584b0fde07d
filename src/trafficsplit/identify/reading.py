"""From a response to a variant, and the reason why not."""

from __future__ import annotations

import http.cookies
import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from analysis.colour import colour_name
from analysis.errors import InputError
from analysis.page import PageReader

# A variant's name ends up in tables and file names of people: anything longer is no name.
LONGEST_NAME = 100
MOST_READINGS = 100  # kept, of different colours


@dataclass(frozen=True)
class Reading:
    """What one response says: a variant, or None and the reason."""

    variant: str | None
    reason: str = ""


NO_BODY = Reading(None, "the body is empty")
NO_COLOUR = Reading(None, "the page names no background colour")
NOT_A_COLOUR = Reading(None, "the body is neither a page nor a colour's name")


class ResponseReader:
    """Reads variants from responses. Made by `reader_of`; keeps what it learns about pages.

    `needs_headers` is False where the body alone is read, so that a client may leave them unread.
    """

    def __init__(
        self, read: Callable[[bytes, Mapping[str, str]], Reading], *, needs_headers: bool
    ) -> None:
        # The variant of one response. `headers` has lower-case names. Never raises.
        self.read = read
        self.needs_headers = needs_headers


def variant_of(body: bytes | str, content_type: str = "") -> str | None:
    """The colour that one body names, None where it names none.

    A page (`text/html`, or whatever begins with `<`) is asked for its background colour; anything
    else is a colour's name, as plain text or as a JSON string. For many bodies of one run use
    `reader_of`, which remembers their shape.
    """
    data = body.encode() if isinstance(body, str) else body
    return _ColourReader(()).read(data, {"content-type": content_type}).variant


class _ColourReader:
    """The colour of a page or of plain text, called as the split calls it."""

    def __init__(self, variants: Iterable[str]) -> None:
        # `--weights '#008000=25'` and a page in `Green` speak of one variant.
        self._names = {colour_name(variant) or variant: variant for variant in variants}
        self._pages = PageReader()
        self._readings: dict[str, Reading] = {}

    def read(self, body: bytes, headers: Mapping[str, str]) -> Reading:
        content_type = headers.get("content-type", "")
        if "json" not in content_type and (
            "html" in content_type or body[:1] == b"<" or body.lstrip()[:1] == b"<"
        ):
            colour = self._pages.background(body)
            return self._reading(colour) if colour else (NO_COLOUR if body else NO_BODY)
        if not body.strip():
            return NO_BODY
        if len(body) > LONGEST_NAME:
            return NOT_A_COLOUR
        text = body.decode("utf-8", "replace").strip()
        if text.startswith('"'):
            try:
                value = json.loads(text)
            except ValueError:
                return NOT_A_COLOUR
            text = value if isinstance(value, str) else ""
        colour = colour_name(text)
        return self._reading(colour) if colour else NOT_A_COLOUR

    def _reading(self, colour: str) -> Reading:
        reading = self._readings.get(colour)
        if reading is None:
            reading = Reading(self._names.get(colour, colour))
            if len(self._readings) < MOST_READINGS:
                self._readings[colour] = reading
        return reading


def reader_of(source: str = "page", variants: Iterable[str] = ()) -> ResponseReader:
    """A reader for one source of the variant's name.

    `source` is one of `page` (the background colour, or a colour's name as text or JSON),
    `header:NAME`, `cookie:NAME` (as the response sets it), `json:PATH` (JSONPath, RFC 9535) or
    `regex:PATTERN` (on the body: its first group, or all of the match). `variants` are the names
    that the split uses. Raises InputError for any other source.
    """
    if source == "page":
        return ResponseReader(_ColourReader(variants).read, needs_headers=True)
    kind, _, argument = source.partition(":")
    if kind not in _SOURCES:
        known = ", ".join(["page", *(f"{name}:…" for name in _SOURCES)])
        raise InputError(f"the variant cannot be read from {source!r}: say one of {known}")
    if not argument:
        raise InputError(f"{source!r} names nothing: e.g. {_EXAMPLES[kind]}")
    return _SOURCES[kind](argument)


def _named(value: object, missing: str) -> Reading:
    """A reading from a value found by a name; `missing` is the reason where there is none."""
    if value is None:
        return Reading(None, missing)
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return Reading(None, missing)
    name = str(value).strip()
    if not name or len(name) > LONGEST_NAME or not name.isprintable():
        return Reading(None, f"{missing} that could be a variant's name")
    return Reading(name)


def _from_header(name: str) -> ResponseReader:
    key, missing = name.strip().lower(), f"no header {name}"
    return ResponseReader(lambda _, headers: _named(headers.get(key), missing), needs_headers=True)


def _from_cookie(name: str) -> ResponseReader:
    missing = f"no cookie {name} is set"

    def read(_: bytes, headers: Mapping[str, str]) -> Reading:
        # Several Set-Cookie headers arrive joined by line ends (or, from some clients, commas).
        for line in headers.get("set-cookie", "").split("\n"):
            try:
                morsel = http.cookies.SimpleCookie(line).get(name)
            except http.cookies.CookieError:
                continue
            if morsel is not None:
                return _named(morsel.value, missing)
        return Reading(None, missing)

    return ResponseReader(read, needs_headers=True)


def _from_json(path: str) -> ResponseReader:
    import jsonpath_rfc9535  # 30 ms, which other sources need not pay

    try:
        query = jsonpath_rfc9535.compile(path)
    except jsonpath_rfc9535.JSONPathError as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"{path!r} is no JSONPath ({reason}): e.g. json:$.version") from None
    missing = f"no {path} in the JSON"

    def read(body: bytes, _: Mapping[str, str]) -> Reading:
        try:
            document = json.loads(body)
            found = query.find(document).values()
        except (ValueError, RecursionError, jsonpath_rfc9535.JSONPathError):
            return Reading(None, "the body is not JSON")
        return _named(found[0] if found else None, missing)

    return ResponseReader(read, needs_headers=False)


def _from_regex(pattern: str) -> ResponseReader:
    try:
        compiled = re.compile(pattern.encode())
    except re.error as error:
        raise InputError(f"{pattern!r} is no regular expression: {error}") from None
    group = 1 if compiled.groups else 0
    missing = "the regular expression matches nothing"

    def read(body: bytes, _: Mapping[str, str]) -> Reading:
        match = compiled.search(body)
        found = match.group(group) if match else None
        return _named(found.decode("utf-8", "replace") if found is not None else None, missing)

    return ResponseReader(read, needs_headers=False)


_SOURCES: dict[str, Callable[[str], ResponseReader]] = {
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
