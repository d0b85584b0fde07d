"""Had the gateway time and requests enough to change its mind, before its counts are a mismatch?

They may be one turn of a gateway that deals in blocks, or a few answers of a cache in front
(DESIGN.md 4, "Independence").
"""

from __future__ import annotations

import enum
import math
from collections.abc import Sequence

from trafficsplit.analysis.order import Order
from trafficsplit.analysis.question import Question
from trafficsplit.analysis.tally import Tally

# Changes from one variant to another, below which counts may be one turn of a gateway that deals in
# blocks, and the responses after which they are not.
FEWEST_SWITCHES = 10
FEWEST_RESPONSES = 400
FEWEST_OF_A_VARIANT = 10
LONG_TURN = 3.0  # responses in a row, on average, that a rare variant does not give by chance
CACHE_PERIOD = 1.0  # seconds for which a cache in front gives one answer, at most
LONGEST_MOMENT = 20.0  # seconds that are waited for another variant
PACE = 100.0  # requests a second meanwhile, so that a turn of a thousand ends, too


class Moment(enum.Enum):
    """Whether the time was long enough for the gateway to change its mind."""

    LONG_ENOUGH = "it was"
    FEW_RESPONSES = "more responses are needed"
    FEW_TURNS = "more changes of variant are needed"
    SHORT = "more time is needed"


def fewest_responses(question: Question) -> float:
    """Return the responses that a mismatch takes at least where the variant hardly changes."""
    rarest = min(question.split.positive.values())
    return max(FEWEST_RESPONSES, FEWEST_OF_A_VARIANT / rarest)


def seconds_alone(question: Question, variant: str) -> float:
    """Return the seconds that a variant has to answer alone, until that is a mismatch.

    A cache that asks the gateway anew every `CACHE_PERIOD` gets the same variant k times in a row
    with a probability of w^k: as often as that takes to fall below α/2, within bounds. That is α
    for both variants of two.
    """
    weight = question.split[variant]
    if not 0 < weight < 1:
        return 0.0
    periods = math.log(question.alpha_of_mismatch / 2) / math.log(weight)
    return min(periods * CACHE_PERIOD, LONGEST_MOMENT)


def switches_in(orders: Sequence[Order]) -> int:
    """Return how often the variant changed from one response to the next."""
    return sum(order.successive.pairs - order.successive.agreed for order in orders)


def moment(question: Question, orders: Sequence[Order], tally: Tally, elapsed: float) -> Moment:
    """Return whether counts, `elapsed` seconds after the start, are more than a moment's."""
    switches = switches_in(orders)
    if switches >= FEWEST_SWITCHES:
        return Moment.LONG_ENOUGH
    if tally.identified < fewest_responses(question):
        return Moment.FEW_RESPONSES
    seen = {variant: count for variant, count in tally.counts.items() if count}
    if len(seen) > 1 and min(seen.values()) > LONG_TURN * (switches + 1) / 2:
        return Moment.FEW_TURNS
    # After one change, the turn of another variant may just have begun.
    if switches <= 1 and elapsed < seconds_alone(question, max(seen, key=lambda name: seen[name])):
        return Moment.SHORT
    return Moment.LONG_ENOUGH


def only_time_is_missing(question: Question, tally: Tally, elapsed: float) -> bool:
    """Return whether one variant answers alone, and has not done so for long enough."""
    seen = [variant for variant, count in tally.counts.items() if count]
    return len(seen) == 1 and elapsed < seconds_alone(question, seen[0])
