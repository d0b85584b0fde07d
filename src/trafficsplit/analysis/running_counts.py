"""Counts that grow while a run goes on: by variant and by gateway, with what was lost."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from trafficsplit.analysis.evidence import Floats
from trafficsplit.analysis.split import Split
from trafficsplit.analysis.tally import Tally
from trafficsplit.errors import InputError


class RunningCounts:
    """What was counted so far.

    `by_variant` has an element for each variant of the split, in its order, and `by_gateway` a row
    of these for each gateway; `identified` is their sum. `unconfigured` counts the answers of other
    variants. `lost_by_gateway` are requests that have ended and say nothing about the split, `late`
    those of each gateway that are under way for longer than is usual just now. Gateways are
    numbered from 0. `waiting` are requests that were sent and are in no count yet: losses are
    counted before their turn, and are not to be compared with too few.
    """

    def __init__(self, split: Split, gateways: int = 1) -> None:
        self._index = {variant: index for index, variant in enumerate(split)}
        self._of_weight_zero = [self._index[name] for name in split if split[name] == 0]
        self.by_variant: Floats = np.zeros(len(split))
        self.by_gateway: Floats = np.zeros((gateways, len(split)))
        self.lost_by_gateway: Floats = np.zeros(gateways)
        self.late: Floats = np.zeros(gateways)
        self.waiting = 0
        self.identified = 0
        self.unconfigured: dict[str, int] = {}
        self.errors = 0
        self.unidentified = 0

    def add(
        self,
        counts: Mapping[str, int],
        errors: int = 0,
        unidentified: int = 0,
        gateway: int = 0,
    ) -> None:
        """Add counts of one gateway.

        Raises InputError, and adds nothing, for counts that are negative or not whole, and for a
        gateway that is not there.
        """
        self._check(counts, gateway)
        if errors or unidentified:
            Tally({}, errors=errors, unidentified=unidentified)  # checks them
        for name, count in counts.items():
            index = self._index.get(name)
            if index is not None:
                self.by_variant[index] += count
                self.by_gateway[gateway, index] += count
                self.identified += int(count)
            elif count:
                self.unconfigured[name] = self.unconfigured.get(name, 0) + int(count)
        self.errors += errors
        self.unidentified += unidentified
        self.lost_by_gateway[gateway] += errors + unidentified

    def _check(self, counts: Mapping[str, int], gateway: int) -> None:
        if not 0 <= gateway < len(self.by_gateway):
            raise InputError(f"there is no gateway {gateway}, but {len(self.by_gateway)} from 0")
        for name, count in counts.items():
            # numpy's integers are welcome, truth values and fractions are not
            if type(count) is not int and not isinstance(count, np.integer):
                raise InputError(f"the count of {name} is not a whole number: {count!r}")
            if count < 0:
                raise InputError(f"the count of {name} is negative: {count}")

    @property
    def lost(self) -> int:
        """Requests that say nothing about the split."""
        return self.errors + self.unidentified

    @property
    def unknown_by_gateway(self) -> Floats:
        """Requests of each gateway that may have been any variant's: lost, or late just now."""
        return self.lost_by_gateway + self.late

    @property
    def unknown(self) -> float:
        """Requests that may have been any variant's."""
        return float(self.unknown_by_gateway.sum())

    @property
    def unexpected(self) -> bool:
        """Whether a variant has answered that is to get nothing.

        One that is not configured counts once a configured one has answered, too (`meeting`).
        """
        if self.unconfigured and self.identified:
            return True
        return any(self.by_variant[index] for index in self._of_weight_zero)

    @property
    def variants(self) -> list[str]:
        """The names of the split's variants, then those of the others that have answered."""
        return [*self._index, *self.unconfigured]

    @property
    def tally(self) -> Tally:
        """All counts, of all gateways together."""
        named = zip(self._index, map(int, self.by_variant), strict=True)
        return Tally({**dict(named), **self.unconfigured}, self.errors, self.unidentified)
