"""A situation: a simulated gateway, what is asked of it, and what must hold of the answers."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks.field.clocked import Clock
from benchmarks.field.simulation import Result, Setting
from trafficsplit.analysis.fixed import clopper_pearson
from trafficsplit.analysis.verdict import Verdict

SIGMAS = 2.0  # by which a frequency may be off its limit by chance
RUNS = 120

MATCH = Verdict.MATCH
MISMATCH = Verdict.MISMATCH
INCONCLUSIVE = Verdict.INCONCLUSIVE
FAILING = Verdict.FAILING


@dataclass(frozen=True)
class Measured:
    """All runs of a situation, and the runs beside which they are held (none: empty)."""

    results: Sequence[Result]
    beside: Sequence[Result] = ()

    def number(self, *verdicts: Verdict) -> int:
        """Return the runs that ended with one of some verdicts."""
        return sum(result.verdict in verdicts for result in self.results)

    def quantile(self, part: float) -> float:
        """Return a quantile of the requests of a run."""
        return float(np.quantile([result.requests for result in self.results], part))

    @property
    def ratio(self) -> float:
        """The mean requests over those of the runs beside, where both have the same verdict."""
        own = 0
        beside = 0
        for one, other in zip(self.results, self.beside, strict=True):
            if one.verdict is other.verdict and one.verdict is not INCONCLUSIVE:
                own += one.requests
                beside += other.requests
        return own / beside if beside else math.nan


@dataclass(frozen=True)
class Must:
    """What must hold: `check` returns whether it does, with what was measured in words.

    For a bound on the part of the runs that end in some way, `count` returns how many these are:
    several situations with the same bound can be counted together.
    """

    text: str
    check: Callable[[Measured], tuple[bool, str]]
    count: Callable[[Measured], int] | None = None


@dataclass(frozen=True)
class Situation:
    """A gateway, and what must hold of the verdicts on it.

    `beside` is what the runs are held against: the test of version 0.1 (`baseline`) on the same
    requests, or another setting. A `clock` is for gateways whose latency matters.
    """

    name: str
    setting: Setting
    musts: Sequence[Must]
    runs: int = RUNS
    baseline: bool = False
    beside: Setting | None = None
    clock: Clock | None = None


@dataclass(frozen=True)
class Row:
    """A row of the table: situations of one kind."""

    title: str
    situations: Sequence[Situation]


# --- what may have to hold ---


def frequency(count: int, runs: int) -> str:
    """Return a frequency in per cent, with its exact 95 % interval."""
    low, high = clopper_pearson(count, runs, 0.05)
    return f"{100 * count / runs:.2f} % [{100 * low:.1f}, {100 * high:.1f}]"


def _slack(limit: float, runs: int) -> float:
    return SIGMAS * math.sqrt(limit * (1 - limit) / runs)


def _bound(text: str, limit: float, count: Callable[[Measured], int]) -> Must:
    """Return that a part of the runs at most ends in some way, but for chance."""

    def check(measured: Measured) -> tuple[bool, str]:
        runs = len(measured.results)
        number = count(measured)
        return number / runs <= limit + _slack(limit, runs), frequency(number, runs)

    return Must(f"{text} ≤ {100 * limit:g} %", check, count)


def at_most(limit: float, *verdicts: Verdict) -> Must:
    """Some verdicts are given in a part of the runs at most."""
    return _bound(" or ".join(verdicts), limit, lambda measured: measured.number(*verdicts))


def at_least(limit: float, *verdicts: Verdict) -> Must:
    """Some verdicts are given in a part of the runs at least, but for chance."""

    def check(measured: Measured) -> tuple[bool, str]:
        runs = len(measured.results)
        count = measured.number(*verdicts)
        return count / runs >= limit - _slack(limit, runs), frequency(count, runs)

    return Must(f"{' or '.join(verdicts)} ≥ {100 * limit:g} %", check)


def wrong_after(change: float, limit: float = 0.01) -> Must:
    """A match is given after a request in a part of the runs at most: earlier it was right."""

    def count(measured: Measured) -> int:
        return sum(one.verdict is MATCH and one.requests > change for one in measured.results)

    return _bound("match after the change", limit, count)


def median_at_most(requests: float) -> Must:
    """Half of the runs take no more requests."""

    def check(measured: Measured) -> tuple[bool, str]:
        median = measured.quantile(0.5)
        return median <= requests, f"{median:,.0f}"

    return Must(f"median ≤ {requests:,.0f}", check)


def dearer_by(factor: float, than: str) -> Must:
    """The mean requests are no more than a multiple of those of the runs beside."""

    def check(measured: Measured) -> tuple[bool, str]:
        return measured.ratio <= factor, f"{measured.ratio:.3f} ×"

    return Must(f"requests ≤ {factor:g} × {than}", check)


def tells_what_it_lost(limit: float = 0.99) -> Must:
    """A failing run says what has not answered, or losses that are more than 1 % of what it says.

    Version 0.1 said "Of 22,812 requests 8 got no 2xx answer, more than 1 %".
    """

    def is_true(reason: str) -> bool:
        if "has not answered" in reason:
            return True
        found = re.search(r"Of ([\d,]+) requests ([\d,]+) got no 2xx answer", reason)
        if found is None:
            return False
        sent, lost = (int(number.replace(",", "")) for number in found.groups())
        return lost > 0.01 * sent

    def check(measured: Measured) -> tuple[bool, str]:
        given = [one for one in measured.results if one.verdict is Verdict.FAILING]
        count = sum(is_true(one.reason) for one in given)
        return count >= limit * len(given), f"{count} of {len(given)}"

    return Must("failing says losses that are true", check)


def says(text: str, *verdicts: Verdict, limit: float = 0.99) -> Must:
    """The reason of a verdict, where it is given, contains a text in a part of the runs."""

    def check(measured: Measured) -> tuple[bool, str]:
        given = [one for one in measured.results if one.verdict in verdicts]
        count = sum(text in one.reason for one in given)
        if not given:
            return True, "none"
        return count / len(given) >= limit - _slack(limit, len(given)), f"{count} of {len(given)}"

    return Must(f"{' or '.join(verdicts)} says {text!r}", check)
