"""The request that a user of Locust's sends, again and again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Request:
    """A GET request for a path, percent-encoded as it is to be sent, with headers."""

    path: str
    headers: Mapping[str, str] = field(default_factory=dict)
