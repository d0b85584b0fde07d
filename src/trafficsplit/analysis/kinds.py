"""How a request can end: each way has a code, and there is a bounded number of them.

So neither time nor a gateway that makes up names fills our memory: beyond a number of unknown
names, a response with yet another name counts as unidentified.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trafficsplit.analysis.tally import Tally

Codes = NDArray[np.int64]
MOST_UNKNOWN_NAMES = 20  # of variants that are not configured
STATUSES = ("none", "1xx", "2xx", "3xx", "4xx", "5xx")


class Outcome(enum.Enum):
    """What a request counts as."""

    IDENTIFIED = "identified"
    ERROR = "error"
    UNIDENTIFIED = "unidentified"
    LEFT_OUT = "left out"


@dataclass(frozen=True)
class Kind:
    """A way in which a request can end: what it counts as, which variant answered, how, and where.

    `variant` is empty if the answer names none. `status` is one of `STATUSES`, and `answer` HTTP's
    status; without an answer they are `none` and 0. `gateway` is the number of the one that the
    request was sent to.
    """

    outcome: Outcome
    variant: str = ""
    status: str = "2xx"
    gateway: int = 0
    answer: int = 200


def status_class(status: int) -> str:
    """Return the class of an HTTP status: `2xx` for 204, `none` for a number that is no status."""
    if not 100 <= status < 600:
        return STATUSES[0]
    return STATUSES[status // 100]


class Kinds:
    """The kinds of end that a run has seen; the code of each is its index.

    `variants` are those of the split. The first two codes mean no kind of end: a request that is
    still under way, and one that is left out.
    """

    UNDER_WAY = 0
    LEFT_OUT = 1

    def __init__(self, variants: Iterable[str] = (), gateways: int = 1) -> None:
        self.variants = tuple(variants)
        self.gateways = gateways
        self._names = set(self.variants)
        self._kinds = [Kind(Outcome.LEFT_OUT, status="none"), Kind(Outcome.LEFT_OUT)]
        for gateway in range(gateways):
            for variant in self.variants:
                self._kinds.append(Kind(Outcome.IDENTIFIED, variant, gateway=gateway))
        self._codes = {kind: code for code, kind in enumerate(self._kinds)}
        self._most = len(self._kinds) + 6 * MOST_UNKNOWN_NAMES * gateways

    def __len__(self) -> int:
        return len(self._kinds)

    def __getitem__(self, code: int) -> Kind:
        return self._kinds[code]

    def __iter__(self) -> Iterator[Kind]:
        return iter(self._kinds)

    def admits(self, variant: str) -> bool:
        """Return whether a variant counts under its own name, and remember that it does."""
        if variant in self._names:
            return True
        if len(self._names) >= len(self.variants) + MOST_UNKNOWN_NAMES:
            return False
        self._names.add(variant)
        return True

    def code_of(self, kind: Kind) -> int:
        """Return the code that a kind is counted by, a wider kind's if there are too many."""
        code = self._codes.get(kind)
        if code is None and len(self._kinds) >= self._most:
            kind = _wider(kind)
            code = self._codes.get(kind)
        if code is None:
            code = len(self._kinds)
            self._codes[kind] = code
            self._kinds.append(kind)
        return code

    def tallies(self, counts: Codes) -> list[Tally]:
        """Return a tally for each gateway, of requests by code."""
        named: list[dict[str, int]] = [{} for _ in range(self.gateways)]
        errors = [0] * self.gateways
        unidentified = [0] * self.gateways
        for code in np.flatnonzero(counts):
            kind = self._kinds[code]
            count = int(counts[code])
            if kind.outcome is Outcome.IDENTIFIED:
                of_gateway = named[kind.gateway]
                of_gateway[kind.variant] = of_gateway.get(kind.variant, 0) + count
            elif kind.outcome is Outcome.ERROR:
                errors[kind.gateway] += count
            elif kind.outcome is Outcome.UNIDENTIFIED:
                unidentified[kind.gateway] += count
        return [Tally(*parts) for parts in zip(named, errors, unidentified, strict=True)]

    def tally(self, counts: Codes) -> Tally:
        """Return the tally of all gateways together; every variant of the split is in it."""
        return sum(self.tallies(counts), Tally(dict.fromkeys(self.variants, 0)))


def _wider(kind: Kind) -> Kind:
    """Return the kind without what tells it apart from others of its outcome and gateway."""
    outcome = kind.outcome
    if outcome is Outcome.IDENTIFIED:
        outcome = Outcome.UNIDENTIFIED
    return Kind(outcome, gateway=kind.gateway)
