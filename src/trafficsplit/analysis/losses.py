"""Why requests were lost: counts by reason, of a bounded number of reasons."""

from __future__ import annotations

from collections import Counter as Multiset

MOST_REASONS = 50
OTHERS = "other reasons"


class Losses(Multiset[str]):
    """Requests that were lost, by reason; beyond a number of reasons there is only one more."""

    def lose(self, reason: str, count: int = 1) -> None:
        """Count lost requests under a reason."""
        known = reason in self or len(self) < MOST_REASONS
        self[reason if known else OTHERS] += count
