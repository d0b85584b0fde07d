"""Traefik's rules, as Host(`a`) && (PathPrefix(`/b`) || !Method(`POST`)): read, and asked.

The grammar is that of Traefik 3; names of version 2 that mean the same are known. A matcher that is
not known is refused.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from trafficsplit.weights.routes import Probe

TOKEN = re.compile(r"\s*(&&|\|\||!|\(|\)|,|`[^`]*`|\"[^\"]*\"|[A-Za-z]+)")
Means = Callable[[Probe], bool]


class RuleError(Exception):
    """A rule cannot be read."""


def read_rule(text: str) -> Means:
    """Return what says whether a rule means a request. Raises RuleError."""
    reader = _Reader(_tokens(text))
    means = reader.either()
    if reader.next:
        raise RuleError(f"{reader.next} does not belong there")
    return means


def _tokens(text: str) -> list[str]:
    tokens = []
    position = 0
    while position < len(text.rstrip()):
        found = TOKEN.match(text, position)
        if found is None:
            raise RuleError(f"{text[position : position + 20]!r} is not understood")
        tokens.append(found[1])
        position = found.end()
    return tokens


@dataclass
class _Reader:
    """Reads tokens from the left."""

    tokens: list[str]

    @property
    def next(self) -> str:
        return self.tokens[0] if self.tokens else ""

    def take(self, wanted: str = "") -> str:
        if not self.tokens or (wanted and self.next != wanted):
            raise RuleError(f"{wanted or 'more'} is missing")
        return self.tokens.pop(0)

    def either(self) -> Means:
        parts = [self.both()]
        while self.next == "||":
            self.take()
            parts.append(self.both())
        return lambda probe: any(part(probe) for part in parts)

    def both(self) -> Means:
        parts = [self.one()]
        while self.next == "&&":
            self.take()
            parts.append(self.one())
        return lambda probe: all(part(probe) for part in parts)

    def one(self) -> Means:
        token = self.take()
        if token == "!":
            inner = self.one()
            return lambda probe: not inner(probe)
        if token == "(":
            inner = self.either()
            self.take(")")
            return inner
        return self._matcher(token)

    def _matcher(self, name: str) -> Means:
        self.take("(")
        values = []
        while self.next != ")":
            values.append(self.take().strip('`"'))
            if self.next == ",":
                self.take()
        self.take(")")
        if name not in MATCHERS:
            raise RuleError(f"the matcher {name} is not understood")
        if not values:
            raise RuleError(f"{name} has nothing in it")
        return MATCHERS[name](values)


def _compiled(pattern: str) -> re.Pattern[str]:
    try:
        return re.compile(pattern)
    except re.error as error:
        raise RuleError(f"{pattern!r} is no regular expression: {error}") from None


def _host(values: list[str]) -> Means:
    hosts = {value.lower() for value in values}
    return lambda probe: not probe.host or probe.host_name in hosts


def _host_regexp(values: list[str]) -> Means:
    patterns = list(map(_compiled, values))
    return lambda probe: not probe.host or any(one.search(probe.host_name) for one in patterns)


def _path(values: list[str]) -> Means:
    return lambda probe: probe.bare_path in values


def _path_prefix(values: list[str]) -> Means:
    return lambda probe: probe.bare_path.startswith(tuple(values))


def _path_regexp(values: list[str]) -> Means:
    patterns = list(map(_compiled, values))
    return lambda probe: any(one.search(probe.bare_path) for one in patterns)


def _method(values: list[str]) -> Means:
    return lambda probe: probe.method in values


def _header(values: list[str]) -> Means:
    if len(values) != 2:
        raise RuleError("Header takes a name and a value")
    name, value = values
    return lambda probe: probe.headers.get(name.lower()) == value


def _header_regexp(values: list[str]) -> Means:
    if len(values) != 2:
        raise RuleError("HeaderRegexp takes a name and a pattern")
    name, pattern = values[0].lower(), _compiled(values[1])
    return lambda probe: name in probe.headers and bool(pattern.search(probe.headers[name]))


def _query(values: list[str]) -> Means:
    pairs = [value.split("=", 1) for value in values] if "=" in values[0] else [values]
    wanted = [(pair[0], pair[1] if len(pair) > 1 else "") for pair in pairs]
    return lambda probe: all(probe.query.get(name) == value for name, value in wanted)


MATCHERS: dict[str, Callable[[list[str]], Means]] = {
    "Host": _host,
    "HostRegexp": _host_regexp,
    "Path": _path,
    "PathPrefix": _path_prefix,
    "PathRegexp": _path_regexp,
    "Method": _method,
    "Header": _header,
    "Headers": _header,
    "HeaderRegexp": _header_regexp,
    "HeadersRegexp": _header_regexp,
    "Query": _query,
}
