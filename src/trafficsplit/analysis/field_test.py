"""The sequential test in the field, where responses are no independent draws of a constant share.

It asks of every verdict of the sequential test whether what was seen bears it (DESIGN.md 4): the
order of the responses, the connections, and the course of the run.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from trafficsplit.analysis.course import Suspicion, suspicion_of
from trafficsplit.analysis.dependence import Dependence, dependence, replicas_differ
from trafficsplit.analysis.hanging import why_hanging
from trafficsplit.analysis.independence import independence, telling_pairs
from trafficsplit.analysis.look import Look
from trafficsplit.analysis.moment import (
    CACHE_PERIOD,
    FEWEST_RESPONSES,
    FEWEST_SWITCHES,
    PACE,
    Moment,
    moment,
    only_time_is_missing,
    switches_in,
)
from trafficsplit.analysis.order import Order
from trafficsplit.analysis.question import Question
from trafficsplit.analysis.sequential import SequentialTest
from trafficsplit.analysis.tally import Tally
from trafficsplit.analysis.verdict import Verdict

CACHED = 0.02  # of the responses out of a cache: more are no accident
# A match needs connections enough to have met one gateway in so many behind a balancer, as far as
# connections are renewed.
ONE_IN = 8
MOST_OF_A_CONNECTION = 100  # responses, on average, where connections are renewed
REUSED = 0.1  # of the responses that are not the first of their connection
AGAIN = 1.05  # times as many responses, until their dependence is asked again
WAIT = 0.02  # of all responses, until a verdict that was held back is looked at again


class FieldTest:
    """Looks at the sequential test, and holds a verdict back that is not borne by what was seen.

    `hopeless` says that more requests will not help: the draws are clustered by connection, or come
    out of a cache. `pace` are the requests a second that are enough while it waits for time to pass
    and not for counts, None while it does not.
    """

    def __init__(self, question: Question) -> None:
        self.question = question
        self.test = SequentialTest.of(question)
        self.hopeless = False
        self.pace: float | None = None
        self._verdict = Verdict.INCONCLUSIVE
        self._held = False
        self._asked_at = 0.0  # responses at the last look at connections
        self._known_at = 0.0  # responses at the last look at their dependence
        self._dependence: Sequence[Dependence] = ()

    def look(self, look: Look) -> Verdict:
        """Add what is new, and return the verdict so far."""
        self.test.add(look.tallies, look.late, look.waiting)
        if self._verdict is Verdict.INCONCLUSIVE:
            self.pace = None
            verdict = self._judge(look)
            if verdict is Verdict.MATCH and self._missing > 0:
                verdict = self._hold()
            self._verdict = verdict
        return self._verdict

    @property
    def _missing(self) -> int:
        """Requests without which there is no match."""
        return self.question.least_requests - self.test.tally.requests

    @property
    def least_more(self) -> int:
        """A number of further responses before which the verdict hardly changes; 0: never."""
        if self.hopeless or self._verdict is not Verdict.INCONCLUSIVE:
            return 0
        if self._held:
            return max(math.ceil(self.test.tally.identified * WAIT), self._missing, 10)
        return self.test.least_more

    def _judge(self, look: Look) -> Verdict:
        test = self.test
        test.scale = 1.0
        test.block = 0
        verdict = test.judge_now()
        self._held = False
        if not test.is_surprised and self._hangs(look):
            verdict = Verdict.FAILING
        if verdict is Verdict.FAILING or test.is_surprised:
            return verdict
        if verdict is Verdict.INCONCLUSIVE and not self._is_time_to_ask():
            return verdict
        orders = [order for order in look.orders() if order.blocks.groups or order.successive.pairs]
        if not orders:  # nothing is known of the order
            return verdict
        if self._replicas_differ(look, orders):
            return Verdict.MISMATCH
        if verdict is Verdict.INCONCLUSIVE:
            return verdict
        return self._unless_held(verdict, look, orders)

    def _hangs(self, look: Look) -> bool:
        """Return whether a gateway has certainly stopped answering."""
        names = [""] * len(look.hanging)
        return bool(why_hanging(look.hanging, names, self.question, ended=False))

    def _is_time_to_ask(self) -> bool:
        """Return whether connections are looked at again: after each tenth more responses."""
        identified = self.test.tally.identified
        if identified < max(self._asked_at * 1.1, FEWEST_RESPONSES):
            return False
        self._asked_at = identified
        return True

    def _unless_held(self, verdict: Verdict, look: Look, orders: Sequence[Order]) -> Verdict:
        """Return a verdict if what was seen bears it, else inconclusive for now."""
        test = self.test
        if verdict is Verdict.MISMATCH and only_time_is_missing(
            self.question, test.tally, look.elapsed
        ):
            self.pace = PACE
        if not all(map(_knows_connections, orders)):
            return self._hold()
        if self._is_clustered_by_connection(orders):
            self.hopeless = True
            return self._hold()
        self._ask_for_dependence(orders)
        test.scale = max(one.scale for one in self._dependence)
        test.block = max(one.block for one in self._dependence)
        if test.scale > 1 or test.block:
            verdict = test.judge_now()
        borne = True
        if verdict is Verdict.MISMATCH:
            borne = self._took_long_enough(look, orders)
        elif verdict is Verdict.MATCH:
            borne = self._has_met_all(orders) and self._lasts(orders)
        if not borne or verdict is Verdict.INCONCLUSIVE:
            return self._hold()
        return verdict

    def _ask_for_dependence(self, orders: Sequence[Order]) -> None:
        identified = self.test.tally.identified
        if identified >= self._known_at * AGAIN or len(self._dependence) != len(orders):
            self._known_at = identified
            self._dependence = list(map(dependence, orders))

    def _hold(self) -> Verdict:
        self._held = True
        return Verdict.INCONCLUSIVE

    def _replicas_differ(self, look: Look, orders: Sequence[Order]) -> bool:
        """Return whether replicas behind one address differ, each of which has all variants."""
        if moment(self.question, orders, self.test.tally, look.elapsed) is not Moment.LONG_ENOUGH:
            return False  # connections differ where each was used in one turn
        tolerance = self.question.tolerance
        if not any(replicas_differ(order, tolerance, len(orders)) for order in orders):
            return False
        return not self._is_clustered_by_connection(orders)

    def _is_clustered_by_connection(self, orders: Sequence[Order]) -> bool:
        return any(independence(order).keeps_connections for order in orders)

    def _took_long_enough(self, look: Look, orders: Sequence[Order]) -> bool:
        """Return whether the gateway had time and requests enough to change its mind."""
        tally = self.test.tally
        found = moment(self.question, orders, tally, look.elapsed)
        is_cached = look.cached > CACHED * tally.identified  # it may be one answer for all
        if is_cached and switches_in(orders) < FEWEST_SWITCHES:
            self.hopeless = look.elapsed >= 2 * CACHE_PERIOD
            return False
        return found is Moment.LONG_ENOUGH

    def _has_met_all(self, orders: Sequence[Order]) -> bool:
        """Return whether connections enough were made to meet one gateway in `ONE_IN`."""
        needed = math.ceil(math.log(self.question.alpha) / math.log1p(-1 / ONE_IN))
        for order in orders:
            connections = order.connections
            responses = sum(connections.counts.values())
            is_renewed = responses <= MOST_OF_A_CONNECTION * connections.groups
            if responses and is_renewed and connections.groups < needed:
                return False
        return True

    def _lasts(self, orders: Sequence[Order]) -> bool:
        """Return whether the split is as it was, as far as it can be seen, or has matched since."""
        for order, known in zip(orders, self._dependence, strict=True):
            course = order.course
            if known.block:  # its end is no sign: a block has one variant after the other
                course = course.in_steps_of(known.block)
            suspicion, since = suspicion_of(course, self.question, known.scale)
            if suspicion is Suspicion.CHANGED and not self._matches_since(since):
                return False
            if suspicion is Suspicion.LEAVING:
                return False
        return True

    def _matches_since(self, counts: dict[str, int]) -> bool:
        """Return whether the responses since a change are a match by themselves."""
        test = SequentialTest.of(replace(self.question, gateways=1))
        test.scale = self.test.scale
        test.add([Tally(counts)])
        return test.judge_now() is Verdict.MATCH


def _knows_connections(order: Order) -> bool:
    """Return whether it is known if the gateway keeps a connection on one variant.

    A quick verdict comes before connections were used twice; a gateway that closes each of them
    never lets them be.
    """
    pairs = order.within_connections.pairs
    responses = sum(order.connections.counts.values())
    needed = telling_pairs(order.connections.counts)
    if not responses or pairs >= needed:
        return True
    return responses >= needed and pairs < REUSED * responses
