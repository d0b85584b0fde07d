"""The verdict on a run's counts where none was reached while it went on, and why there is none."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import zip_longest

from trafficsplit.analysis import sentences
from trafficsplit.analysis.dependence import dependence, replicas_differ
from trafficsplit.analysis.field_test import FieldTest
from trafficsplit.analysis.look import Look
from trafficsplit.analysis.moment import FEWEST_SWITCHES, switches_in
from trafficsplit.analysis.order import Order
from trafficsplit.analysis.run import Run
from trafficsplit.analysis.stationarity import change_in
from trafficsplit.analysis.tally import Tally
from trafficsplit.analysis.verdict import Verdict

WORTH_SAYING = 1.2  # times as much evidence as for independent draws


def outcome(run: Run) -> Verdict:
    """Return the verdict of the sequential test on a run's counts, in order of sending."""
    # The run is over, so that what there is decides: a canary may be compared or not.
    test = FieldTest(replace(run.question, least_requests=0))
    verdict = Verdict.INCONCLUSIVE
    for look in _looks(run):
        verdict = test.look(look)
        if verdict is not Verdict.INCONCLUSIVE:
            return verdict
    return verdict


def _looks(run: Run) -> Iterator[Look]:
    """Yield the looks at a run's stretches, each with what is known of its order at the end."""
    orders = _orders(run)
    if run.counted.judged is not None:
        elapsed = run.subject.elapsed
        cached = run.counted.cached
        yield Look(run.counted.judged, orders=lambda: orders, elapsed=elapsed, cached=cached)
        return
    for batch in zip_longest(*(gateway.stretches for gateway in run.gateways)):
        tallies = [stretch.tally if stretch else Tally() for stretch in batch]
        end = max(stretch.end for stretch in batch if stretch)
        yield Look(tallies, orders=lambda: orders, elapsed=end, cached=run.counted.cached)


def _orders(run: Run) -> Sequence[Order]:
    return [gateway.order for gateway in run.gateways]


def differing_replicas(run: Run) -> bool:
    """Return whether connections to one address differ by more than the tolerance allows."""
    tolerance = run.question.tolerance
    orders = _orders(run)
    return any(replicas_differ(order, tolerance, len(orders)) for order in orders)


def dealt_block(run: Run) -> int:
    """Return the responses of the blocks in which a gateway deals its split, 0 if none does."""
    return max(dependence(order).block for order in _orders(run))


def why_held_back(run: Run) -> str:
    """Return why the counts bear no verdict, by their course and order; empty if they do."""
    change = change_in(run)
    if change is not None:
        return sentences.changed(run, change)
    orders = _orders(run)
    if run.tally.identified and sum(order.successive.pairs for order in orders):
        switches = switches_in(orders)
        if switches < FEWEST_SWITCHES and len(run.question.split.positive) > 1:
            return sentences.too_short(run, switches)
    scale = max(dependence(order).scale for order in orders)
    if scale > WORTH_SAYING:
        return sentences.dependent(run, scale)
    return ""
