"""Do the names in the responses meet those that are expected?

Where they do not, a verdict would be about names, and not about traffic: a good release would be
rolled back, because its manifest calls blue "stable". Only a name beside known ones is a stranger.
"""

from __future__ import annotations

from collections.abc import Sequence

from trafficsplit.analysis.run import Run
from trafficsplit.analysis.split import Split
from trafficsplit.analysis.tally import Tally
from trafficsplit.errors import InputError

ENOUGH = 50  # responses without any expected name, after which none is waited for
MOST_SHOWN = 5  # names in a line


class Meeting:
    """Whether any expected name has been seen so far, and how many others."""

    def __init__(self, split: Split) -> None:
        self._expected = set(split)
        self._strangers = 0
        self._has_met = False

    def look(self, tallies: Sequence[Tally]) -> None:
        """Add what is new."""
        if self._has_met:
            return
        for tally in tallies:
            for name, count in tally.counts.items():
                if not count:
                    continue
                if name in self._expected:
                    self._has_met = True
                self._strangers += count

    @property
    def is_hopeless(self) -> bool:
        """Whether the names do not meet, after responses enough."""
        return not self._has_met and self._strangers >= ENOUGH


def check_names_meet(run: Run) -> None:
    """Raise InputError if responses named variants, and not one of those that are expected."""
    why = why_names_do_not_meet(run)
    if why:
        raise InputError(why.removesuffix("."))


def why_names_do_not_meet(run: Run) -> str:
    """Return that no response names an expected variant, with the way out; empty: one does."""
    split = run.question.split
    seen = [name for name, count in run.tally.counts.items() if count]
    if not seen or any(name in split for name in seen):
        return ""
    said = ", ".join(seen[:MOST_SHOWN]) + (", …" if len(seen) > MOST_SHOWN else "")
    pairs = zip(split, [*seen, *["…"] * len(split)], strict=False)
    line = ",".join(f"{expected}={name}" for expected, name in pairs)
    return (
        f"Responses say {said}, and {', '.join(split)} are expected: which is which? With weights "
        f"from a manifest or a cluster give --map {line} (or the other way round), else the names "
        "that responses say."
    )
