"""The verdict, and the exit code that it is for a pipeline."""

from __future__ import annotations

import enum
from dataclasses import dataclass

from trafficsplit.errors import ExitCode


class Verdict(enum.StrEnum):
    """What is known about the split (DESIGN.md 2)."""

    MATCH = "match"
    MISMATCH = "mismatch"
    INCONCLUSIVE = "inconclusive"
    FAILING = "failing"

    @property
    def exit_code(self) -> ExitCode:
        """The process's exit code."""
        return ExitCode[self.name]


@dataclass(frozen=True)
class Judgement:
    """A verdict, with one sentence that a person can act on."""

    verdict: Verdict
    reason: str
