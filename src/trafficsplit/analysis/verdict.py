"""The verdict, and what a pipeline makes of it."""

from __future__ import annotations

import enum
from dataclasses import dataclass


class Verdict(enum.StrEnum):
    """What is known about the split (DESIGN.md 2)."""

    MATCH = "match"
    MISMATCH = "mismatch"
    INCONCLUSIVE = "inconclusive"
    FAILING = "failing"

    @property
    def exit_code(self) -> int:
        """The process's exit code; 2 is kept for wrong usage."""
        return {"match": 0, "mismatch": 1, "inconclusive": 3, "failing": 4}[self.value]


@dataclass(frozen=True)
class Judgement:
    """A verdict, with one sentence that a person can act on."""

    verdict: Verdict
    reason: str
