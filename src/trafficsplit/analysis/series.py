"""A run as series of numbers: what the pictures show, for whatever draws them.

Shares are fractions, latencies milliseconds, times seconds. A series has None where there is no
value. Each result is a dict that JSON can hold; its lists have an element for each of `x`.
"""

from __future__ import annotations

import bisect
import math
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import NotRequired, TypedDict, TypeVar

from trafficsplit.analysis.judge import looks_at
from trafficsplit.analysis.latency import middle_of
from trafficsplit.analysis.run import LatencyKey, Run, Stretch
from trafficsplit.analysis.sequential import SequentialTest
from trafficsplit.analysis.tally import Tally
from trafficsplit.analysis.user_draws import as_draws

POINTS = 120  # of a line
INTERVALS = 40  # of a confidence sequence, each of which costs some root finding
STRETCHES = 60  # of time
FARTHEST = 10.0  # of the way to the threshold: evidence beyond is drawn there
Line = list[float | None]
Point = TypeVar("Point")


class ShareSeries(TypedDict):
    """Shares as responses came in: `x` are responses; `low` and `high` the interval's ends."""

    x: list[int]
    y: dict[str, Line]
    low: dict[str, Line]
    high: dict[str, Line]


class EvidenceSeries(TypedDict):
    """Evidence as responses came in, as parts of its threshold: `x` are responses."""

    x: list[int]
    match: Line
    mismatch: Line


class RateSeries(TypedDict):
    """What was answered a second, by variant, and `lost`; and the `share` of each variant.

    `x` are the middles of stretches of time, and `borders` their ends, one more.
    """

    x: list[float]
    borders: list[float]
    y: dict[str, list[float]]
    lost: list[float]
    share: dict[str, Line]


class LatencyLine(TypedDict):
    """One line of `LatencySeries`; a `label` can be added before it is drawn."""

    variant: str
    status: str
    y: Line
    label: NotRequired[str]


class LatencySeries(TypedDict):
    """The fraction of requests that were answered within a time: `x` are milliseconds."""

    x: list[float]
    lines: list[LatencyLine]


def shares(run: Run) -> ShareSeries:
    """Return the share of each variant as draws came in, with its confidence sequence.

    A draw is a response, or a user's first one where draws are users.
    """
    run = as_draws(run)
    variants = list(run.tally.counts)
    series = ShareSeries(x=[], y=_empty(variants), low=_empty(variants), high=_empty(variants))
    totals = _totals(run)
    every = max(-(-len(totals) // INTERVALS), 1)
    for index, total in enumerate(totals):
        test = None
        if index % every == 0 or index == len(totals) - 1:
            test = SequentialTest.of(run.question)
            test.update(total.counts)
        series["x"].append(total.identified)
        for variant in variants:
            low, high = _interval(test, variant)
            series["y"][variant].append(total.share(variant))
            series["low"][variant].append(low)
            series["high"][variant].append(high)
    return series


def _empty(variants: Iterable[str]) -> dict[str, Line]:
    return {variant: [] for variant in variants}


def _totals(run: Run) -> list[Tally]:
    """Return the tallies after stretches of a run, from the first response on, thinned out."""
    totals: list[Tally] = []
    responses: list[int] = []
    total = Tally()
    for stretch in run.counted.stretches:
        total += stretch.tally
        if total.identified:
            totals.append(total)
            responses.append(total.identified)
    return _thin_out(totals, responses)


def _interval(test: SequentialTest | None, variant: str) -> tuple[float | None, float | None]:
    """Return a variant's interval; none without a test, or before an unexpected one answered."""
    if test is None:
        return None, None
    if variant not in test.question.split and not test.tally.counts.get(variant):
        return None, None
    return test.confidence(variant)


def evidence(run: Run) -> EvidenceSeries:
    """Return the evidence for each verdict on its way to the threshold."""
    looks: list[tuple[float, float]] = []
    responses: list[int] = []
    for test in looks_at(as_draws(run)):
        looks.append((test.log_match, test.log_mismatch))
        responses.append(test.tally.identified)
    test = SequentialTest.of(run.question)
    series = EvidenceSeries(x=_thin_out(responses, responses), match=[], mismatch=[])
    for log_match, log_mismatch in _thin_out(looks, responses):
        series["match"].append(_part(log_match, test.threshold))
        series["mismatch"].append(_part(log_mismatch, test.mismatch_threshold))
    return series


def _part(log_evidence: float, threshold: float) -> float | None:
    if log_evidence == -math.inf:
        return None
    return min(log_evidence / threshold, FARTHEST)


def rates(run: Run, most: int = STRETCHES) -> RateSeries:
    """Return what was answered a second, in at most `most` stretches of time."""
    borders, tallies = merge_stretches(run.counted.stretches, most)
    variants = list(run.tally.counts)
    answered: dict[str, list[float]] = {variant: [] for variant in variants}
    series = RateSeries(x=[], borders=borders, y=answered, lost=[], share=_empty(variants))
    for (start, end), tally in zip(pairwise(borders), tallies, strict=True):
        series["x"].append((start + end) / 2)
        series["lost"].append(tally.lost / (end - start))
        for variant in variants:
            answered[variant].append(tally.counts.get(variant, 0) / (end - start))
            series["share"][variant].append(tally.share(variant))
    return series


def latencies(run: Run) -> LatencySeries:
    """Return the fraction of requests answered within a time, by variant and class of status."""
    groups = {key: buckets for key, buckets in run.counted.latency.items() if any(buckets.values())}
    every = sorted(set().union(*groups.values()))
    series = LatencySeries(x=[middle_of(bucket) / 1000 for bucket in every], lines=[])
    for key, buckets in groups.items():
        line = _answered_within(every, buckets)
        series["lines"].append(LatencyLine(variant=key.variant, status=key.status, y=line))
    return series


def _answered_within(every: Iterable[int], buckets: Mapping[int, int]) -> Line:
    """Return the fraction of requests in each bucket or below; None before the first of them."""
    total = sum(buckets.values())
    answered = 0
    line: Line = []
    for bucket in every:
        answered += buckets.get(bucket, 0)
        line.append(answered / total if answered else None)
    return line


def answerer(key: LatencyKey) -> str:
    """Return whose latencies these are, in words."""
    if key.status == "2xx":
        return key.variant or "no variant"
    how = "no answer" if key.status == "none" else key.status
    return f"{key.variant or 'errors'} ({how})"


def merge_stretches(
    stretches: Sequence[Stretch], most: int = STRETCHES
) -> tuple[list[float], list[Tally]]:
    """Return at most `most` stretches, merged: their borders in seconds, and their tallies."""
    size = max(-(-len(stretches) // most), 1)
    groups = [stretches[start : start + size] for start in range(0, len(stretches), size)]
    # A last one that is hardly begun would show a rate of its own making.
    if len(groups) > 1 and _width(groups[-1]) < 0.5 * _width(groups[0]):
        groups[-2:] = [[*groups[-2], *groups[-1]]]
    groups = [group for group in groups if _width(group) > 0]
    if not groups:
        return [], []
    borders = []
    tallies = []
    for group in groups:
        borders.append(group[0].start)
        tallies.append(sum((stretch.tally for stretch in group), Tally()))
    return [*borders, groups[-1][-1].end], tallies


def _width(group: Sequence[Stretch]) -> float:
    return group[-1].end - group[0].start


def _thin_out(points: Sequence[Point], responses: Sequence[int]) -> list[Point]:
    """Return about `POINTS` of the points at most, the last among them.

    Half of them are spaced evenly, and half by the logarithm of `responses`, of which each point
    has some: a line begins wildly and settles, so that its beginning needs more of them.
    """
    if len(points) <= POINTS:
        return list(points)
    half = POINTS // 2
    kept = {round(number * (len(points) - 1) / half) for number in range(half + 1)}
    kept |= _spaced_by_logarithm(responses, half)
    return [points[index] for index in sorted(kept)]


def _spaced_by_logarithm(responses: Sequence[int], number: int) -> set[int]:
    """Return the indices at which responses first reach `number` spaced numbers, from the first."""
    first = max(responses[0], 1.0)
    last = max(responses[-1], 2.0)
    indices = set()
    for step in range(number + 1):
        wanted = first * (last / first) ** (step / number)
        index = bisect.bisect_left(responses, wanted)
        if index < len(responses):
            indices.add(index)
    return indices
