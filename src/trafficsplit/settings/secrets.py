"""What is never written: the values of headers, tokens, and passwords in addresses."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

MASK = "***"
# Headers whose values are no secret, and without which a command could not be understood.
HARMLESS = frozenset(
    (
        *("accept", "accept-encoding", "accept-language", "content-type", "host", "user-agent"),
        *("x-version", "x-canary"),
    )
)
SECRET_OPTIONS = ("--token",)
PASSWORD = re.compile(r"(//[^/@\s:]*):[^/@\s]*@")


def masked_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """Return headers with a mask for each value that may be a secret."""
    masked = {}
    for name, value in headers.items():
        masked[name] = value if name.lower() in HARMLESS else MASK
    return masked


def masked_arguments(arguments: Sequence[str]) -> list[str]:
    """Return a command's arguments with a mask for each value that may be a secret."""
    masked = []
    option = ""
    for argument in arguments:
        name, equals, value = argument.partition("=")
        if option:
            masked.append(_masked(option, argument))
            option = ""
        elif equals and _has_secret(name):
            masked.append(f"{name}={_masked(name, value)}")
        else:
            option = argument if _has_secret(argument) else ""
            masked.append(PASSWORD.sub(rf"\1:{MASK}@", argument))
    return masked


def _has_secret(name: str) -> bool:
    return name == "--header" or name in SECRET_OPTIONS


def _masked(option: str, value: str) -> str:
    if option in SECRET_OPTIONS:
        return MASK
    lines = []
    for line in value.splitlines():
        name, colon, _ = line.partition(":")
        lines.append(line if name.strip().lower() in HARMLESS else f"{name}{colon and ': '}{MASK}")
    return "\n".join(lines)


def mask_settings(plain: Any) -> Any:
    """Return the plain data of a verification's settings, with its headers masked."""
    request = plain["load"]["request"]
    headers = masked_headers(request["headers"])
    return {**plain, "load": {**plain["load"], "request": {**request, "headers": headers}}}


def are_masked(headers: Mapping[str, str]) -> bool:
    """Return whether a value of some headers was not kept."""
    return MASK in headers.values()


def with_values(headers: Mapping[str, str], given: Mapping[str, str]) -> dict[str, str]:
    """Return headers with the values that are given anew. Raises KeyError for one that is not."""
    lower = {name.lower(): value for name, value in given.items()}
    complete = {}
    for name, value in headers.items():
        complete[name] = lower[name.lower()] if value == MASK else value
    return complete


def names_of(headers: Mapping[str, str]) -> Iterable[str]:
    """Return the names of the headers whose values were not kept."""
    return [name for name, value in headers.items() if value == MASK]
