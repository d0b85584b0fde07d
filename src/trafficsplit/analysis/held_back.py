"""How long a mismatch is held back in the field, however clear the counts are.

The counterpart, before a run, of what `field_test` asks of one: that the answers change often
enough from one variant to another, or that the gateway had time to change its mind, and that
connections were used often enough to tell whether the gateway keeps them on one variant.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from trafficsplit.analysis.evidence import Floats
from trafficsplit.analysis.first_passage import Passage
from trafficsplit.analysis.independence import MOST_TELLING_PAIRS, SURE, TELLING_PAIRS
from trafficsplit.analysis.moment import FEWEST_SWITCHES, PACE, fewest_responses, seconds_alone
from trafficsplit.analysis.question import Question
from trafficsplit.analysis.special import bdtr

USERS = 16  # connections, as is usual
DENSE = 1200  # numbers of responses that are looked at one by one


def seconds_held_back(question: Question, shares: Mapping[str, float]) -> float:
    """Return the seconds that a mismatch takes at least, however many requests are sent.

    That is where one variant answers alone, which a cache could make it do.
    """
    for variant, share in shares.items():
        if share >= 1:
            return seconds_alone(question, variant)
    return 0.0


def held_back(passage: Passage, question: Question, shares: Mapping[str, float]) -> Passage:
    """Return when a mismatch is given that the counts show at a `passage`.

    The gateway has these true shares, and as many users as is usual ask it. While one variant
    answers alone, few requests are sent.
    """
    end = max(fewest_responses(question), seconds_held_back(question, shares) * PACE)
    n = _numbers(passage, end)
    differ = min(max(1 - math.fsum(share * share for share in shares.values()), 0.0), 1.0)
    few_switches = np.where(n < end, _chance_of_few_switches(n, differ), 0.0)
    known = (1 - few_switches) * (1 - _chance_of_few_pairs(n, differ))
    late = 1 - (1 - _late(passage, n)) * known
    return Passage(n, np.minimum.accumulate(late))


def not_before(passage: Passage, least: int) -> Passage:
    """Return a passage that is given after `least` draws at the earliest."""
    n = np.append([np.nextafter(least, 0), least], passage.n[passage.n > least])
    return Passage(n, np.where(n < least, 1.0, _late(passage, n)))


def _numbers(passage: Passage, end: float) -> Floats:
    """Return the numbers of responses at which it is worked out."""
    jumps = np.array([end - 1, end])
    few = np.arange(1.0, DENSE + 1)
    return np.unique(np.concatenate([passage.n, few, jumps]))


def _chance_of_few_switches(n: Floats, differ: float) -> Floats:
    """Return the probability that too few successive answers differ, of which this part does."""
    pairs = np.maximum(np.floor(n) - 1, FEWEST_SWITCHES)
    few = bdtr(FEWEST_SWITCHES - 1.0, pairs.astype(int), differ)
    return np.where(n <= FEWEST_SWITCHES, 1.0, few)


def _chance_of_few_pairs(n: Floats, differ: float) -> Floats:
    """Return the probability that too few pairs within connections are known to tell anything.

    As many are needed as agree by chance with a probability of `SURE`, and a quarter more
    (`independence.telling_pairs`). That depends on the shares that are seen: they are taken to be
    those of two variants.
    """
    pairs = np.maximum((n - USERS / 2) / 2, 1.0)  # a response is of one pair only
    needed = -np.expm1(1.25 * math.log(SURE) / pairs)  # the part of them that has to differ
    seldom = np.ceil(np.floor(n) * _rarer(needed))
    few = bdtr(np.maximum(seldom - 1, 0), np.floor(n).astype(int), float(_rarer(np.array(differ))))
    few = np.where(seldom >= 1, few, 0.0)
    few = np.where(pairs < TELLING_PAIRS, 1.0, few)
    alone = differ <= 0  # which agreement tells nothing of
    return np.where((pairs >= MOST_TELLING_PAIRS) | (alone & (pairs >= TELLING_PAIRS)), 0.0, few)


def _rarer(differ: Floats) -> Floats:
    """Return the share of the rarer of two variants of which a part of all pairs differs."""
    return (1 - np.sqrt(np.maximum(1 - 2 * differ, 0.0))) / 2


def _late(passage: Passage, n: Floats) -> Floats:
    """Return the probabilities of a passage at other numbers of responses."""
    # Where two numbers are the same, as with a sure passage, the later probability counts.
    after = np.searchsorted(passage.n, n, side="right")
    late = np.concatenate([[1.0], passage.late])
    if passage.whole or len(passage.n) <= 2:
        return late[after]
    return np.interp(n, passage.n, passage.late, left=1.0)
