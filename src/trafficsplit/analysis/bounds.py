"""How much is kept: neither time nor a gateway that makes up names fills our memory."""

from __future__ import annotations

from collections import Counter as Multiset

MOST_STRETCHES = 512  # of time; beyond, they get twice as wide
MOST_STRANGERS = 20  # variants that nobody expects; beyond, they are nobody's
MOST_REASONS = 50  # why requests were lost


def lose(losses: Multiset[str], reason: str, count: int = 1) -> None:
    """Count why requests were lost; beyond a number of reasons there is only one more."""
    known = reason in losses or len(losses) < MOST_REASONS
    losses[reason if known else "other reasons"] += count
