"""The evidence about the share of users, and about whether they stay with their version.

A user is a draw: its value is the fraction of its responses that a variant gave. Lost responses
count as whichever variant's does the most harm. `changed` is a value of its own: 1 for a user that
several variants have answered.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial

import numpy as np

from trafficsplit.analysis.betting import Bet, Bets, bet_below, bet_beyond, bet_inside
from trafficsplit.analysis.evidence import Edge, Floats, edges, log_sum
from trafficsplit.analysis.question import Question
from trafficsplit.analysis.visits import FIRST_WIDTH, Counts, UserKind, Users

# How much each kind of evidence for a mismatch counts. That some users change version shows by
# itself within a few of them.
FROM_START = 0.6
RESTARTED = 0.2
CHANGED = 0.2
# No mismatch rests on the share of fewer users than this, over the smallest weight: gateways that
# deal 75 users and then 25 keep the split exactly.
DEALT = 100
MOST_DEALT = 1000
STARTS_A_LEVEL = 32  # of the evidence that starts anew, between a number of blocks and its double


def _share_of(variants: Sequence[str], *, lost: bool) -> Callable[[UserKind], float]:
    return partial(UserKind.share, variants=tuple(variants), lost=lost)


def _has_changed(kind: UserKind) -> float:
    return float(kind.changed)


def _may_have_changed(kind: UserKind) -> float:
    return float(kind.may_have_changed)


class UserEvidence:
    """The evidence for match and for mismatch, in natural logarithms (DESIGN.md 4).

    All of it becomes a verdict at log(1/α).
    """

    def __init__(self, question: Question) -> None:
        self._gateways = question.gateways
        split = question.split
        names = list(split)
        weights = list(split.weights.values())
        zero = question.zero_tolerance
        inside: list[Bet] = []
        beyond: list[Bet] = []
        for edge in edges(weights, question.tolerance):
            harm = _share_of([names[edge.variant]], lost=edge.above)
            weight = weights[edge.variant]
            inside.append(bet_inside(edge, weight, question.tolerance, harm))
            harm = _share_of([names[edge.variant]], lost=not edge.above)
            beyond.append(bet_beyond(edge, harm))
        unwanted = [name for name in names if split[name] == 0]
        if unwanted or len(names) == 1:
            inside.append(bet_below(zero, _share_of(unwanted, lost=True)))
        self._fewest = fewest_dealt(question)
        self._inside = Bets(inside)
        self._beyond = Bets(beyond)
        self._staying = Bets([bet_below(zero, _may_have_changed)])
        self._leaving = Bets([bet_beyond(Edge(0, zero, above=True), _has_changed)])

    def for_match(self, users: Users, since: int = 0) -> Floats:
        """Return the evidence that shares are within tolerance, and that users stay.

        That is an element for each edge at each gateway, and a last one for the staying, of the
        users since a block.
        """
        totals = users.rows[since:].sum(axis=0)
        shares = self._inside.log_evidence(users.kinds, self._by_gateway(users, totals))
        staying = self._staying.log_evidence(users.kinds, totals[:, None].astype(float))
        return np.append(shares.ravel(), staying.ravel())

    def _by_gateway(self, users: Users, totals: Counts) -> Floats:
        """Return users by kind and gateway."""
        gateways = np.array([kind.gateway for kind in users.kinds], dtype=int)
        is_there: Floats = gateways[:, None] == np.arange(self._gateways)
        return totals[:, None] * is_there

    def for_change(self, users: Users) -> float:
        """Return the evidence that more users change version than may."""
        counts = users.totals[:, None].astype(float)
        return float(self._leaving.log_evidence(users.kinds, counts)[0, 0])

    def for_deviation(self, users: Users) -> float:
        """Return the evidence that a share of users is outside its tolerance, or has been.

        It is a mean of e-processes: of all users, and of those since a number of times, which find
        a change.
        """
        if not len(self._beyond):
            return 0.0
        total = FROM_START + RESTARTED
        logs = [math.log(FROM_START / total) + self._from_start(users)]
        logs.append(math.log(RESTARTED / total) + self._restarted(users))
        return float(log_sum(np.array(logs)))

    def _from_start(self, users: Users) -> float:
        totals = users.totals
        pooled = float(self._mean(users, totals[:, None].astype(float))[0])
        if self._gateways == 1:
            return pooled
        each = self._mean(users, self._by_gateway(users, totals))
        mean = float(log_sum(each)) - math.log(self._gateways)
        return float(np.logaddexp(pooled, mean)) - math.log(2)

    def _restarted(self, users: Users) -> float:
        """Return the evidence that starts anew at later blocks, mixed over their starts."""
        number = len(users.rows)
        since = users.rows[::-1].cumsum(axis=0)[::-1].astype(float)
        starts = np.arange(1.0, number) * (users.width / FIRST_WIDTH)
        masses = start_masses(starts)
        kept = (masses > 0) & (since[1:].sum(axis=1) >= self._fewest)
        if not kept.any():
            return -math.inf
        logs = self._mean(users, since[1:][kept].T) + np.log(masses[kept])
        return float(log_sum(logs))

    def _mean(self, users: Users, counts: Floats) -> Floats:
        evidence = self._beyond.log_evidence(users.kinds, counts)
        result: Floats = log_sum(evidence.T) - math.log(len(self._beyond))
        return result

    def for_mismatch(self, users: Users) -> float:
        """Return the evidence that shares are not as configured, or that users do not stay."""
        share = FROM_START + RESTARTED
        return float(
            np.logaddexp(
                math.log(share) + self.for_deviation(users),
                math.log(CHANGED) + self.for_change(users),
            )
        )


def start_masses(starts: Floats) -> Floats:
    """Return how much evidence counts that starts anew after a number of blocks of first width.

    The masses of all starts there can be sum up to 1 at most: a level is a number of blocks and its
    double, it has 1/((level + 1)·(level + 2)), and `STARTS_A_LEVEL` starts at most. A start that is
    left out, as its block has become part of another, takes its mass with it.
    """
    levels = np.floor(np.log2(starts))
    steps = np.maximum(2**levels / STARTS_A_LEVEL, 1)
    each = 1 / ((levels + 1) * (levels + 2)) / np.minimum(2**levels, STARTS_A_LEVEL)
    masses: Floats = np.where(starts % steps == 0, each, 0.0)
    return masses


def fewest_dealt(question: Question) -> int:
    """Return the users below which their share is no mismatch."""
    smallest = min(question.split.positive.values())
    return min(math.ceil(DEALT / min(smallest, 1.0)), MOST_DEALT)
