"""When the judge looks at new counts."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from trafficsplit.analysis.kinds import Codes, Kinds, Outcome
from trafficsplit.analysis.look import Look
from trafficsplit.analysis.sequential import MANY
from trafficsplit.analysis.tally import Tally

MOST_AT_ONCE = 1024  # ended requests that wait to be added up


class Looks:
    """The looks of the judge at new counts, which come in order of sending.

    The judge says after how many more responses it wants to look again. It looks at once when a
    request was lost, or when a variant has answered that was to get no traffic (`expected` are the
    others): such ends are urgent, and shown before their turn. `look_at` makes a look of the new
    tallies, with how the run stands.
    """

    def __init__(
        self,
        kinds: Kinds,
        expected: frozenset[str],
        look_at: Callable[[Sequence[Tally]], Look] = Look,
    ) -> None:
        self._kinds = kinds
        self._expected = expected
        self._look_at = look_at
        self._judge: Callable[[Look], int] | None = None
        self._after = MANY  # responses until the next look
        self._new = np.zeros(len(kinds), np.int64)  # requests by code, since the last look
        self._all = np.zeros(len(kinds), np.int64)  # requests by code, since the start
        self.at_once = MOST_AT_ONCE  # ended requests that may wait to be added up
        self.urgent: set[int] = set()  # codes of ends that the judge looks at at once

    def judge_by(self, judge: Callable[[Look], int]) -> None:
        """Let `judge` look at the counts of all gateways; it returns 0 to end the run."""
        self._judge = judge
        self._after = 1
        self.at_once = 1

    def learn(self, code: int) -> None:
        """Note whether a new kind of end is urgent."""
        kind = self._kinds[code]
        if kind.outcome is not Outcome.IDENTIFIED or kind.variant not in self._expected:
            self.urgent.add(code)

    def add(self, counts: Codes) -> None:
        """Add requests by code, in order of sending or urgent ones."""
        missing = len(counts) - len(self._new)
        if missing > 0:
            self._new = np.pad(self._new, (0, missing))
            self._all = np.pad(self._all, (0, missing))
        self._new[: len(counts)] += counts
        self._all[: len(counts)] += counts

    def urgent_among(self, codes: Codes) -> NDArray[np.bool_]:
        """Return which of some codes are urgent."""
        flags = np.zeros(len(self._kinds), np.bool_)
        flags[list(self.urgent)] = True
        among: NDArray[np.bool_] = flags[codes]
        return among

    def look(self) -> bool:
        """Let the judge look at the new counts, if it is time; return whether the run goes on."""
        new = int(self._new.sum())
        if self._judge is None or not (new >= self._after or self._is_urgent()):
            return True
        batch = self._kinds.tallies(self._new)
        self.forget()
        self._after = self._judge(self._look_at(batch))
        self.at_once = min(max(self._after, 1), MOST_AT_ONCE)
        return self._after > 0

    def _is_urgent(self) -> bool:
        return any(self._new[code] for code in self.urgent if code < len(self._new))

    @property
    def all(self) -> Codes:
        """The requests by code that may be judged, whether the judge has looked at them or not."""
        return self._all

    @property
    def new(self) -> Codes:
        """The requests by code that the judge has not looked at."""
        return self._new

    def forget(self) -> None:
        """Forget the new counts, which another judge looks at."""
        self._new[:] = 0

    def begin_anew(self) -> None:
        """Forget all counts."""
        self._new[:] = 0
        self._all[:] = 0
