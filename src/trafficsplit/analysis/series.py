"""A run as series of numbers: what the pictures show, for whatever draws them.

Shares are fractions, latencies milliseconds, times seconds; a series has None where there is
nothing to say.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import accumulate, pairwise
from typing import Any

from trafficsplit.analysis.judge import looks_at
from trafficsplit.analysis.latency import middle_of
from trafficsplit.analysis.run import LatencyKey, Run, Stretch
from trafficsplit.analysis.sequential import SequentialTest
from trafficsplit.analysis.tally import Tally

Series = dict[str, Any]
POINTS = 120  # of a line
INTERVALS = 40  # of a confidence sequence, each of which costs some root finding


def shares(run: Run) -> Series:
    """The share of each variant as responses came in, with its confidence sequence.

    `x` are responses; `y`, `low` and `high` are lists by variant.
    """
    variants = list(run.tally.counts)
    sums = [
        total for total in accumulate(s.tally for s in run.counted.stretches) if total.identified
    ]
    totals = _thinned(sums, POINTS, [total.identified for total in sums])
    every = max(-(-len(totals) // INTERVALS), 1)
    last = len(totals) - 1
    low: dict[str, list[float | None]] = {variant: [] for variant in variants}
    high: dict[str, list[float | None]] = {variant: [] for variant in variants}
    for index, total in enumerate(totals):
        test = None
        if index % every == 0 or index == last:
            test = SequentialTest.of(run.question)
            test.update(total.counts)
        for variant in variants:
            known = variant in run.question.split or total.counts.get(variant)
            ends = test.confidence(variant) if test and known else (None, None)
            low[variant].append(ends[0])
            high[variant].append(ends[1])
    return {
        "x": [total.identified for total in totals],
        "y": {variant: [total.share(variant) for total in totals] for variant in variants},
        "low": low,
        "high": high,
    }


def evidence(run: Run) -> Series:
    """The evidence for each verdict on its way to the threshold, as parts of it; `x` responses."""
    points = [(test.tally.identified, test.log_match, test.log_mismatch) for test in looks_at(run)]
    points = _thinned(points, POINTS, [float(point[0]) for point in points])
    threshold = SequentialTest.of(run.question).threshold

    def part(value: float) -> float | None:
        return None if math.isinf(value) and value < 0 else min(value / threshold, 10.0)

    return {
        "x": [point[0] for point in points],
        "match": [part(point[1]) for point in points],
        "mismatch": [part(point[2]) for point in points],
    }


def rates(run: Run, most: int = 60) -> Series:
    """What was answered a second, by variant, and `lost`; `x` are the middles of the seconds.

    `borders` are the ends of what was counted together, one more than `x`.
    """
    borders, tallies = merge_stretches(run.counted.stretches, most)
    widths = [after - before for before, after in pairwise(borders)]
    pairs = list(zip(tallies, widths, strict=True))
    variants = list(run.tally.counts)
    return {
        "x": [(a + b) / 2 for a, b in pairwise(borders)],
        "borders": borders,
        "y": {v: [tally.counts.get(v, 0) / width for tally, width in pairs] for v in variants},
        "lost": [tally.lost / width for tally, width in pairs],
        "share": {v: [tally.share(v) for tally in tallies] for v in variants},
    }


def latencies(run: Run) -> Series:
    """The fraction of requests that were answered within a time, by who answered and how.

    `x` are milliseconds; a series is a list of the dict `y`, by `variant` and `status`.
    """
    groups = {key: buckets for key, buckets in run.counted.latency.items() if sum(buckets.values())}
    every = sorted({bucket for buckets in groups.values() for bucket in buckets})
    lines = []
    for key, buckets in groups.items():
        total, seen = sum(buckets.values()), 0
        line: list[float | None] = []
        for bucket in every:
            count = buckets.get(bucket, 0)
            seen += count
            line.append(seen / total if seen else None)
        lines.append({"variant": key.variant, "status": key.status, "y": line})
    return {"x": [middle_of(bucket) / 1000 for bucket in every], "lines": lines}


def answerer(key: LatencyKey) -> str:
    """Return whose latencies these are, in words."""
    if key.status == "2xx":
        return key.variant or "no variant"
    how = "no answer" if key.status == "none" else key.status
    return f"{key.variant or 'errors'} ({how})"


def merge_stretches(
    stretches: Sequence[Stretch], most: int = 60
) -> tuple[list[float], list[Tally]]:
    """Return at most `most` stretches, merged: their borders in seconds, and their tallies."""
    size = max(-(-len(stretches) // most), 1)
    groups = [list(stretches[i : i + size]) for i in range(0, len(stretches), size)]
    # A last one that is hardly begun would show a rate of its own making.
    if len(groups) > 1 and groups[-1][-1].end - groups[-1][0].start < 0.5 * (
        groups[0][-1].end - groups[0][0].start
    ):
        groups[-2:] = [groups[-2] + groups[-1]]
    groups = [group for group in groups if group[-1].end > group[0].start]
    borders = [group[0].start for group in groups] + [group[-1].end for group in groups[-1:]]
    return borders, [sum((s.tally for s in group), Tally()) for group in groups]


def _thinned(points: Sequence[Any], most: int, places: Sequence[float]) -> list[Any]:
    """At most about `most` of the points, the last among them: half evenly, half by logarithm.

    A line begins wildly and settles, so that its beginning needs more of them.
    """
    if len(points) <= most:
        return list(points)
    kept = {round(i * (len(points) - 1) / (most // 2)) for i in range(most // 2 + 1)}
    first, last = max(places[0], 1.0), max(places[-1], 2.0)
    target = iter(first * (last / first) ** (i / (most // 2)) for i in range(most // 2 + 1))
    wanted = next(target)
    for index, place in enumerate(places):
        if place >= wanted:
            kept.add(index)
            while wanted <= place:
                wanted = next(target, math.inf)
    return [points[index] for index in sorted(kept)]
