"""The cookies of one user, as a gateway's stickiness needs them (RFC 6265, without domains).

Only one host is asked, so a cookie's domain does not matter; Secure and HttpOnly neither. Path and
Max-Age do, and Expires where it lies in the past.
"""

from __future__ import annotations

import time
from email.utils import parsedate_to_datetime


class Jar:
    """The cookies that a user has got, by name and path."""

    __slots__ = ("_cookies",)

    def __init__(self) -> None:
        self._cookies: dict[tuple[str, str], str] = {}

    def take(self, lines: str, path: str) -> bool:
        """Take what an answer to a request for `path` sets; return whether anything is new.

        `lines` are the values of its Set-Cookie headers, a line each.
        """
        changed = False
        for line in lines.splitlines():
            changed |= self._take(line, path)
        return changed

    def _take(self, line: str, path: str) -> bool:
        pair, *rest = line.split(";")
        name, equals, value = pair.strip().partition("=")
        if not equals or not name:
            return False
        attributes = _attributes(rest)
        where = attributes.get("path", "")
        if not where.startswith("/"):
            where = default_path(path)
        key = (name.strip(), where)
        if _is_over(attributes):
            return self._cookies.pop(key, None) is not None
        if self._cookies.get(key) == value.strip():
            return False
        self._cookies[key] = value.strip()
        return True

    def header(self, path: str) -> str:
        """Return the Cookie header of a request, empty where there is none for its path."""
        pairs = []
        for (name, where), value in self._cookies.items():
            if matches(where, path):
                pairs.append(f"{name}={value}")
        return "; ".join(pairs)


def _attributes(parts: list[str]) -> dict[str, str]:
    attributes = {}
    for part in parts:
        name, _, value = part.partition("=")
        attributes[name.strip().lower()] = value.strip()
    return attributes


def _is_over(attributes: dict[str, str]) -> bool:
    """Return whether a cookie is deleted; Max-Age comes before Expires."""
    age = attributes.get("max-age", "")
    if age.removeprefix("-").isdecimal():
        return int(age) <= 0
    expires = attributes.get("expires", "")
    if not expires:
        return False
    try:
        return parsedate_to_datetime(expires).timestamp() < time.time()
    except (ValueError, TypeError, OverflowError):
        return False  # unknown is not absent


def default_path(path: str) -> str:
    """Return the path of a cookie that names none: the folder of the request's."""
    folder = path.partition("?")[0].rpartition("/")[0]
    return folder or "/"


def matches(where: str, path: str) -> bool:
    """Return whether a cookie for the path `where` goes with a request for `path`."""
    path = path.partition("?")[0]
    if path == where:
        return True
    return path.startswith(where.removesuffix("/") + "/")
