"""Requests that were lost: why, and when, and what they kept from being sent."""

from __future__ import annotations

from collections import Counter as Multiset
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

MOST_REASONS = 50
OTHERS = "other reasons"
MOST_LATEST = 128  # requests of which it is kept in turn whether they were lost


class Losses(Multiset[str]):
    """Requests that were lost, by reason; beyond `MOST_REASONS` all others are one reason."""

    def lose(self, reason: str, count: int = 1) -> None:
        """Count lost requests under a reason."""
        if reason not in self and len(self) >= MOST_REASONS:
            reason = OTHERS
        self[reason] += count


@dataclass(frozen=True)
class Hanging:
    """What was lost at one gateway in time, and what was not sent because an answer never came.

    `requests` have ended, `lost` of them without a good answer. `connections` have been opened,
    `hung` of them lost an answer. A connection that waits in vain sends nothing meanwhile:
    `kept_back` are the further requests that such connections would have sent. Of `users`, who have
    one request under way each, `stuck` have lost the answer to their last.

    `latest` says of each of the last `MOST_LATEST` requests in order of sending whether it was
    lost; the oldest come first. `answered` is when the last good answer came, in seconds since the
    start, below 0 if none ever came. `silent` are the seconds from then to the end, in which
    `unanswered` requests were lost or are under way; both are 0 where that is no longer than is
    usual.
    """

    requests: int = 0
    lost: int = 0
    connections: int = 0
    hung: int = 0
    kept_back: int = 0
    users: int = 0
    stuck: int = 0
    latest: Sequence[bool] = ()
    answered: float = -1.0
    silent: float = 0.0
    unanswered: int = 0

    def __add__(self, other: Hanging) -> Hanging:
        """Return what two processes have seen of one gateway, as if they had sent in step."""
        if not self.requests or not other.requests:
            return other if other.requests else self
        silent = min(self.silent, other.silent)
        return Hanging(
            requests=self.requests + other.requests,
            lost=self.lost + other.lost,
            connections=self.connections + other.connections,
            hung=self.hung + other.hung,
            kept_back=self.kept_back + other.kept_back,
            users=self.users + other.users,
            stuck=self.stuck + other.stuck,
            latest=_in_step(self.latest, other.latest),
            answered=max(self.answered, other.answered),
            silent=silent,
            unanswered=self.unanswered + other.unanswered if silent else 0,
        )

    def as_plain(self) -> dict[str, Any]:
        """Return it as data that JSON can hold."""
        return {**asdict(self), "latest": list(self.latest)}

    @classmethod
    def from_plain(cls, data: Mapping[str, Any]) -> Hanging:
        """Return what `as_plain` wrote. Raises KeyError or TypeError."""
        return cls(**{**data, "latest": tuple(data["latest"])})


def _in_step(one: Sequence[bool], other: Sequence[bool]) -> tuple[bool, ...]:
    """Return two rows as one, of which the last elements are the last of both in turn."""
    merged: list[bool] = []
    shared = min(len(one), len(other))
    for first, second in zip(one[len(one) - shared :], other[len(other) - shared :], strict=True):
        merged += [first, second]
    older = [*one[: len(one) - shared], *other[: len(other) - shared]]
    return tuple([*older, *merged][-MOST_LATEST:])
