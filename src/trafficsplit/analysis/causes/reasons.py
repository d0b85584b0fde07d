"""What the reasons of lost requests mean: one of a few kinds.

A reason is a text for people: `HTTP 503`, with what the gateway says beside it (`said_by`).
"""

from __future__ import annotations

import enum
import re
from collections import Counter as Multiset
from collections.abc import Mapping

MOST = 0.8  # of what is lost: one kind of loss is the kind

OVERLOADED = "x-envoy-overloaded"  # a header of Envoy's, where a circuit breaker is open
FAULT = "fault filter abort"
NO_HOSTS = "no healthy upstream"
NOT_CONNECTED = "upstream connect error"
TOO_LATE = "upstream request timeout"
LIMITED = "local_rate_limited"
DENIED = "RBAC: access denied"
# What Envoy answers itself; the rest of the text may name an address.
ENVOY_SAYS = (FAULT, NO_HOSTS, NOT_CONNECTED, TOO_LATE, LIMITED, DENIED)
# Why a connection to a variant failed; behind it are addresses, and what OpenSSL says.
RESET = re.compile(r"reset reason: ([^,]+)")
LONGEST = 120  # characters of what is said
NO_ANSWER = "no answer within"  # the beginning of the reason of a request that took too long


def said_by(headers: Mapping[str, str], body: bytes) -> str:
    """Return what a gateway says of an answer that it makes up itself, empty if it says nothing.

    `headers` have lower-case names.
    """
    if OVERLOADED in headers:
        return OVERLOADED
    text = body[: 4 * LONGEST].decode("utf-8", "replace").strip()
    if not text.startswith(ENVOY_SAYS):
        return ""
    reset = RESET.search(text)
    if reset:
        return f"{NOT_CONNECTED} ({reset[1]})"[:LONGEST]
    return text[:LONGEST]


class Kind(enum.Enum):
    """What a reason says of the cause."""

    OVERLOADED = "connection pools are full"
    FAULT = "a fault is injected"
    NO_PODS = "no pod is ready"
    NOT_CONNECTED = "pods do not take connections"
    SLOW = "answers take too long"
    LIMITED = "a rate limit"
    DENIED = "access is denied"
    FAILING = "errors"


_SIGNS = (
    (Kind.OVERLOADED, (OVERLOADED, f"{NOT_CONNECTED} (overflow)")),
    (Kind.FAULT, (FAULT,)),
    (Kind.NO_PODS, (NO_HOSTS,)),
    (Kind.SLOW, (TOO_LATE, NO_ANSWER, "HTTP 504")),
    (Kind.LIMITED, (LIMITED, "HTTP 429")),
    (Kind.DENIED, (DENIED, "HTTP 401", "HTTP 403")),
    (Kind.NOT_CONNECTED, (NOT_CONNECTED, "HTTP 502")),
)


def kind_of(reason: str) -> Kind:
    """Return what a reason says of the cause."""
    for kind, signs in _SIGNS:
        if any(sign in reason for sign in signs):
            return kind
    return Kind.FAILING


def main_kind(losses: Mapping[str, int]) -> Kind:
    """Return the kind of most of the losses, `FAILING` where they are of several."""
    by_kind: Multiset[Kind] = Multiset()
    for reason, count in losses.items():
        by_kind[kind_of(reason)] += count
    for kind, count in by_kind.most_common(1):
        if count >= MOST * by_kind.total():
            return kind
    return Kind.FAILING
