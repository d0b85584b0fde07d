"""Simulated users of gateways that are sticky on purpose, well and badly, and the test of them.

The test is the one of a run, which looks as often as it wants to.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from trafficsplit.analysis.look import Look
from trafficsplit.analysis.question import Question
from trafficsplit.analysis.tally import Tally
from trafficsplit.analysis.users import UserTest
from trafficsplit.analysis.verdict import Verdict
from trafficsplit.analysis.visits import UserKind, UserRecorder

EACH = 3  # requests of a user
NAMES = ("blue", "green", "")  # what a request may be answered with
BLUE, GREEN, LOST = range(3)

Answers = NDArray[np.int64]  # users × requests, an index of NAMES each
Numbers = NDArray[np.float64]  # of users, from 0 on, in order of their first requests
Share = Callable[[Numbers], Numbers]  # green's, of the users with these numbers


class UsersGateway(Protocol):
    """What answers users."""

    def answer(self, rng: Generator, first: int, number: int) -> Answers:
        """Return the answers of so many users, of which the first has this number."""
        ...


@dataclass(frozen=True)
class Sticky:
    """A gateway that gives each user a version, and keeps it there.

    `share` is green's. With a probability of `flip` a request, but a user's first, gets the other
    version from then on; with one of `loss` a request gets no answer.
    """

    share: float | Share = 0.25
    flip: float = 0.0
    loss: float = 0.0

    def answer(self, rng: Generator, first: int, number: int) -> Answers:
        """Return the answers of so many users, of which the first has this number."""
        numbers = np.arange(first, first + number, dtype=float)
        shares = self.share(numbers) if callable(self.share) else self.share
        versions = rng.random(number) < shares
        flips = rng.random((number, EACH)) < self.flip
        flips[:, 0] = False
        answers: Answers = (versions[:, None] + flips.cumsum(axis=1)) % 2
        answers[rng.random(answers.shape) < self.loss] = LOST
        return answers


@dataclass(frozen=True)
class OneWay:
    """A gateway that keeps the canary's users, and draws all others anew with each request."""

    share: float = 0.10

    def answer(self, rng: Generator, first: int, number: int) -> Answers:
        """Return the answers of so many users."""
        drawn = rng.random((number, EACH)) < self.share
        answers: Answers = np.maximum.accumulate(drawn, axis=1).astype(np.int64)
        return answers


@dataclass(frozen=True)
class Dealt:
    """A gateway that deals versions to new users: `blue` of them, then `green`, and again."""

    blue: int = 3
    green: int = 1

    def answer(self, rng: Generator, first: int, number: int) -> Answers:
        """Return the answers of so many users, of which the first has this number."""
        places = np.arange(first, first + number) % (self.blue + self.green)
        versions = (places >= self.blue).astype(np.int64)
        return np.repeat(versions, EACH).reshape(number, EACH)


class Audience:
    """Shows users to the test; each of several gateways answers every other user."""

    def __init__(self, question: Question) -> None:
        self.test = UserTest(question)
        self._gateways = question.gateways
        self._recorder = UserRecorder()
        self._kinds: dict[tuple[int, ...], UserKind] = {}

    def show(self, answers: Answers, first: int = 0) -> Verdict:
        """Show the answers of more users, the first with this number; return the verdict."""
        places = (first + np.arange(len(answers))) % self._gateways
        rows = np.column_stack([places, answers])
        self._recorder.add([self._kind_of(row) for row in map(tuple, rows.tolist())])
        tallies = [_tally_of(answers[places == gateway]) for gateway in range(self._gateways)]
        return self.test.look(Look(tallies, users=self._recorder.users))

    def _kind_of(self, row: tuple[int, ...]) -> UserKind:
        if row not in self._kinds:
            gateway, *answers = row
            self._kinds[row] = UserKind.of([NAMES[answer] for answer in answers], gateway)
        return self._kinds[row]


def _tally_of(answers: Answers) -> Tally:
    counts = np.bincount(answers.ravel(), minlength=len(NAMES)).tolist()
    return Tally({"blue": counts[BLUE], "green": counts[GREEN]}, counts[LOST])


@dataclass(frozen=True)
class Several:
    """Several gateways, of which each answers every other user."""

    each: Sequence[UsersGateway]

    def answer(self, rng: Generator, first: int, number: int) -> Answers:
        """Return the answers of so many users, of which the first has this number."""
        answers = np.zeros((number, EACH), np.int64)
        places = (first + np.arange(number)) % len(self.each)
        for index, gateway in enumerate(self.each):
            chosen = places == index
            answers[chosen] = gateway.answer(rng, first, int(chosen.sum()))
        return answers


def verdict_on(
    question: Question, gateway: UsersGateway, seed: Sequence[int], most: int
) -> tuple[Verdict, int]:
    """Return the verdict on a gateway after `most` users or fewer, and the number of them."""
    rng = np.random.default_rng(seed)
    audience = Audience(question)
    number = 0
    verdict = Verdict.INCONCLUSIVE
    while verdict is Verdict.INCONCLUSIVE and number < most:
        more = min(max(audience.test.least_more // EACH, 1), most - number)
        verdict = audience.show(gateway.answer(rng, number, more), number)
        number += more
    return verdict, number
