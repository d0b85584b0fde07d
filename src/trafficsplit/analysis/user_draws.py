"""A run whose draws are users, as one whose draws are requests: each user's first answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from trafficsplit.analysis.run import Counted, Gateway, Run, Stretch
from trafficsplit.analysis.tally import Tally
from trafficsplit.analysis.visits import Counts, UserKind, Users


def as_draws(run: Run) -> Run:
    """Return a run with one response a user where draws are users, and the run itself elsewhere.

    What is said of independent draws (intervals, chi-square, a change) is true of users' first
    answers, and not of all their responses. Times of stretches are those of as many users.
    """
    if not run.question.user_requests:
        return run
    counted = run.counted
    users = counted.users or Users()
    gateways = []
    for number, gateway in enumerate(counted.gateways):
        stretches = _stretches(users.at(number), run.subject.elapsed)
        gateways.append(Gateway(gateway.name, stretches, gateway.order))
    return replace(
        run,
        question=replace(run.question, user_requests=0),
        counted=Counted(
            stretches=_stretches(users, run.subject.elapsed),
            order=counted.order,
            gateways=gateways,
        ),
    )


def _stretches(users: Users, elapsed: float) -> list[Stretch]:
    stretches = []
    for index, row in enumerate(users.rows):
        start = elapsed * index / len(users.rows)
        end = elapsed * (index + 1) / len(users.rows)
        stretches.append(Stretch(start, end, _first_answers(users.kinds, row)))
    return stretches


def _first_answers(kinds: Sequence[UserKind], row: Counts) -> Tally:
    """Return the users of a block by the variant of their first answer, lost without any."""
    counts: dict[str, int] = {}
    lost = 0
    for index in np.flatnonzero(row).tolist():
        number = int(row[index])
        first = kinds[index].first
        if first:
            counts[first] = counts.get(first, 0) + number
        else:
            lost += number
    return Tally(counts, lost)


def interval_of(drawn: Run, variant: str) -> tuple[float, float]:
    """Return the interval of a variant's share of draws; one without any of them can have any."""
    if variant not in drawn.tally.counts:
        return 0.0, 1.0
    return drawn.interval(variant)
