"""How the requests of each variant go over time: answers, errors, slow answers. Constant memory.

Errors and slow answers come in bursts, and twenty errors of one restart say no more about a variant
than one of them. How much they say shows in their counts by stretch of time.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from trafficsplit.analysis.histograms import MOST_BUCKETS, TimeHistogram
from trafficsplit.analysis.kinds import Codes, Kind, Kinds, Outcome
from trafficsplit.analysis.latency import buckets_of
from trafficsplit.analysis.run import VariantCourse

LEVELS = 64  # of latency, four for each octave: enough for 4 s; beyond, all are one level
ERROR = LEVELS  # the column of errors; those below it are of answers, by level
COLUMNS = LEVELS + 1  # of each variant
SLOW = (0.01, 0.03, 0.1)  # the parts of a variant's answers that are called slow


def _level_of_each_bucket() -> Codes:
    buckets = np.arange(MOST_BUCKETS)
    quarters = (buckets >> 4) - 4 * (buckets >> 7) - 4  # four to each doubling, from 64 µs on
    levels: Codes = np.clip(quarters, 0, LEVELS - 1)
    return levels


# The level of each bucket of `analysis.latency`: it grows with the latency.
LEVEL_OF = _level_of_each_bucket()


class Courses:
    """Counts the answers and errors of each variant by stretch of time, and answers by level.

    Times are microseconds, from `origin` on as in `TimeHistogram`. The variants are those of the
    split; the last place is for requests that name none of them.
    """

    def __init__(self, kinds: Kinds, origin: int | None = None) -> None:
        self._kinds = kinds
        self._times = TimeHistogram(origin)
        self._width = (len(kinds.variants) + 1) * COLUMNS
        self._starts: Codes = np.empty(0, np.int64)  # the first column of each code
        self._are_answers: Codes = np.empty(0, np.int64)  # 1 for the code of an answer, else 0

    def add(self, codes: Codes, sent: Codes, latencies: Codes) -> None:
        """Add requests: codes of kinds, when each was sent, and how long it took."""
        self._learn()
        columns = self._starts[codes] + LEVEL_OF[buckets_of(latencies)] * self._are_answers[codes]
        self._times.add(columns, sent, self._width)

    def add_counts(self, code: int, buckets: Mapping[int, int], sent: int) -> None:
        """Add requests of one kind by bucket of latency, all sent at one time."""
        if not buckets:
            return
        self._learn()
        counts = np.zeros(self._width, np.int64)
        levels = LEVEL_OF[list(buckets)] * self._are_answers[code]
        np.add.at(counts, self._starts[code] + levels, list(buckets.values()))
        self._times.add_counts(counts, sent)

    def _learn(self) -> None:
        """Note the columns of new kinds."""
        known = len(self._starts)
        if known == len(self._kinds):
            return
        new = [self._kinds[code] for code in range(known, len(self._kinds))]
        self._starts = np.append(self._starts, list(map(self._start_of, new)))
        self._are_answers = np.append(self._are_answers, [not _is_error(kind) for kind in new])

    def _start_of(self, kind: Kind) -> int:
        variants = self._kinds.variants
        place = len(variants)
        if kind.variant in variants:
            place = variants.index(kind.variant)
        return place * COLUMNS + ERROR * _is_error(kind)

    @property
    def courses(self) -> dict[str, VariantCourse]:
        """The course of each variant that answered or failed; "" is for errors that name none."""
        rows = self._times.rows
        courses = {}
        if not len(rows):
            return {}
        for place, name in enumerate([*self._kinds.variants, ""]):
            table = rows[:, place * COLUMNS : (place + 1) * COLUMNS]
            if not name:
                table = table * (np.arange(COLUMNS) == ERROR)
            if table.any():
                courses[name] = _course(table)
        return courses


def _is_error(kind: Kind) -> bool:
    return kind.outcome is Outcome.ERROR


def _course(table: NDArray[np.int64]) -> VariantCourse:
    """Return a variant's course of its counts by stretch, a column for each level and errors."""
    answers = table[:, :ERROR]
    by_level = answers.sum(axis=0)
    slow = [answers[:, _slow_level(by_level, part) :].sum(axis=1).tolist() for part in SLOW]
    return VariantCourse(answers.sum(axis=1).tolist(), table[:, ERROR].tolist(), slow)


def _slow_level(by_level: Codes, part: float) -> int:
    """Return the level from which on answers are about the slowest `part` of all."""
    from_here = np.cumsum(by_level[::-1])[::-1]
    if not from_here[0]:
        return 0
    parts = from_here[from_here > 0] / from_here[0]
    return int(np.abs(np.log(parts / part)).argmin())
