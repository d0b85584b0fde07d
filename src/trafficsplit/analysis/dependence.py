"""By how much do counts say less than as many independent draws would?

The variance of the counts over that of independent draws, the dispersion, is seen in the course of
a run at several lengths, in the agreement of successive responses, and in the differences between
connections. Evidence is divided by an upper limit of it, where anything speaks for more than 1
(DESIGN.md 4, "Independence"). A gateway that deals in blocks, as 75 then 25, looks clustered at
short lengths and keeps the split better than chance at its own: then nothing is divided.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from trafficsplit.analysis.evidence import Floats
from trafficsplit.analysis.independence import pearson
from trafficsplit.analysis.order import Agreement, Clusters, Course, Order
from trafficsplit.analysis.special import chdtr, chdtrc, chdtri

SUSPECT = 1e-3  # the probability of a dispersion by chance, below which it is taken for real
SURE = 1e-5  # the same, where a verdict hangs on it
LIMIT = 0.95  # how certain the upper limit of a dispersion is
Z_LIMIT = 1.645  # the same, in standard deviations
Z_SUSPECT = 3.0  # standard deviations of agreement beyond chance that are taken for real
FEWEST_BLOCKS = 20  # whose dispersion is known well enough to be used
FEWEST_DEALT = 8  # blocks, in which a gateway that deals has kept its split each time
FEWEST_PAIRS = 20
FEWEST_EXPECTED = 1.0  # responses of each variant in a block
LONGEST = 40  # steps of a course that a block may have
EVEN = 0.5  # dispersion of a gateway that deals in turn or in blocks: less


@dataclass(frozen=True)
class Dependence:
    """How far a gateway's responses are from independent draws.

    `scale` is by how many times more evidence is needed: 1 for independent draws. `block` are the
    responses after which the gateway has dealt its split, 0 where it does not deal.
    """

    scale: float = 1.0
    block: int = 0


def dependence(order: Order) -> Dependence:
    """Return how far the responses of a run are from independent draws."""
    scale = max([1.0, *_limits(order)])
    if scale <= 1:
        return Dependence()
    block = dealt_in_blocks_of(order)
    if block:
        return Dependence(1.0, block)
    return Dependence(scale)


def _limits(order: Order) -> Iterator[float]:
    """Yield upper limits of the dispersion, by whatever speaks for more than 1."""
    yield _limit_of_connections(order.connections)
    yield from _limits_in_order(order)


def _limits_in_order(order: Order) -> Iterator[float]:
    """Yield upper limits of the dispersion in order of sending."""
    yield _limit_of_agreement(order.successive, order.course)
    table = _table(order)
    many = 1
    while len(table) // many >= FEWEST_BLOCKS:
        yield _limit_of_blocks(_joined(table, many), order.course.step * many)
        many *= 2


def _table(order: Order) -> Floats:
    return order.course.table.astype(float)


def _joined(table: Floats, many: int) -> Floats:
    """Return the counts of blocks of as many steps; what does not fill one is left out."""
    number = len(table) // many
    joined: Floats = table[: number * many].reshape(number, many, -1).sum(axis=1)
    return joined


def _statistic(blocks: Floats, length: int) -> tuple[float, int] | None:
    """Return Pearson's statistic of blocks by variants, and its degrees of freedom.

    None if the blocks are too short for it.
    """
    expected = blocks.mean(axis=0)
    expected = expected * length / max(expected.sum(), 1e-9)
    if len(expected) < 2 or expected.min() < FEWEST_EXPECTED:
        return None
    statistic = float(((blocks - expected) ** 2 / expected).sum())
    return statistic, (len(blocks) - 1) * (len(expected) - 1)


def _limit_of_blocks(blocks: Floats, length: int) -> float:
    measured = _statistic(blocks, length)
    if measured is None:
        return 1.0
    return _upper_limit(*measured)


def _upper_limit(statistic: float, freedom: int) -> float:
    """Return an upper limit of the dispersion, 1 where chance explains what is seen."""
    if chdtrc(freedom, statistic) >= SUSPECT:
        return 1.0
    return float(statistic / chdtri(freedom, LIMIT))


def _limit_of_agreement(agreement: Agreement, course: Course) -> float:
    """Return an upper limit of the dispersion of a chain in which only neighbours depend.

    That is (1 + ρ)/(1 − ρ), with the lag-1 correlation ρ.
    """
    counts = list(map(sum, course.columns.values()))
    total = sum(counts)
    if agreement.pairs < FEWEST_PAIRS or not total:
        return 1.0
    chance = math.fsum((count / total) ** 2 for count in counts)
    if chance >= 1:
        return 1.0
    correlation = (agreement.agreed / agreement.pairs - chance) / (1 - chance)
    deviation = 1 / math.sqrt(agreement.pairs)
    if correlation < Z_SUSPECT * deviation:
        return 1.0
    highest = min(correlation + Z_LIMIT * deviation, 1 - 1 / (agreement.pairs + 1))
    return (1 + highest) / (1 - highest)


def _limit_of_connections(clusters: Clusters) -> float:
    measured = pearson(clusters, FEWEST_BLOCKS)
    if measured is None:
        return 1.0
    return _upper_limit(*measured)


def replicas_differ(order: Order, tolerance: float, gateways: int = 1) -> bool:
    """Return whether connections differ by more than replicas within the tolerance can.

    It is asked of each of several `gateways`, and is the surer of each.
    Replicas whose shares are all within τ of the weight have a variance of shares of τ² at most;
    the dispersion of connections with m responses each is then at most 1 + (m − 1)·τ²/(p(1 − p)),
    times that in order of sending, which a gateway that deals in blocks has as well.
    """
    clusters = order.connections
    measured = pearson(clusters, FEWEST_BLOCKS)
    if measured is None:
        return False
    statistic, freedom = measured
    total = sum(clusters.counts.values())
    mean = total / clusters.groups
    least = min(count / total for count in clusters.counts.values() if count)
    allowed = 1 + max(mean - 1, 0.0) * tolerance**2 / (least * (1 - least))
    sure = SURE / gateways
    if chdtrc(freedom, statistic / allowed) >= sure:
        return False
    allowed *= max([1.0, *_limits_in_order(order)])
    return bool(chdtrc(freedom, statistic / allowed) < sure)


def dealt_in_blocks_of(order: Order) -> int:
    """Return the responses of the blocks in which a gateway deals its split, 0 if it does not.

    They are the length at which counts disperse certainly less than those of independent draws,
    after Bonferroni's correction for looking at many lengths.
    """
    table = _table(order)
    lengths = range(1, min(len(table) // FEWEST_DEALT, LONGEST) + 1)
    least = (math.inf, 0)
    for many in lengths:
        length = order.course.step * many
        blocks = _joined(table, many)
        measured = _statistic(blocks, length)
        if measured is None:
            continue
        statistic, freedom = measured
        if statistic < EVEN * freedom:
            probability = float(chdtr(freedom, statistic)) * len(lengths)
            least = min(least, (probability, length))
    probability, length = least
    if probability >= SURE:
        return 0
    return length
