"""Why requests were lost: counts by reason, for a bounded number of reasons."""

from __future__ import annotations

from collections import Counter as Multiset

MOST_REASONS = 50
OTHERS = "other reasons"


class Losses(Multiset[str]):
    """Requests that were lost, by reason; beyond `MOST_REASONS` all others are one reason."""

    def lose(self, reason: str, count: int = 1) -> None:
        """Count lost requests under a reason."""
        if reason not in self and len(self) >= MOST_REASONS:
            reason = OTHERS
        self[reason] += count
