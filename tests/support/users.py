"""Simulated users, and the judge of a run that is shown them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trafficsplit.analysis.look import Look
from trafficsplit.analysis.order import OrderRecorder
from trafficsplit.analysis.question import Question
from trafficsplit.analysis.run import Counted, Ending, Run, Stretch, Subject
from trafficsplit.analysis.split import Split
from trafficsplit.analysis.tally import Tally
from trafficsplit.analysis.users import UserTest
from trafficsplit.analysis.verdict import Verdict
from trafficsplit.analysis.visits import UserKind, UserRecorder

EACH = 3  # requests of a user
NAMES = ("blue", "green", "")
Share = Callable[[NDArray[np.float64]], NDArray[np.float64]]  # of green, by the user's number


def users_question(green: float = 25, tolerance: float = 0.02, **more: float) -> Question:
    """Return the question whether a share of the users get green."""
    split = Split({"blue": 100 - green, "green": green})
    return Question(split, tolerance, requests=10**6, user_requests=EACH, **more)  # type: ignore[arg-type]


@dataclass(frozen=True)
class SimulatedUsers:
    """A gateway that gives each user a version of its own.

    `share` is green's, of the users with these numbers; with a probability of `flip` a request gets
    the other version, for good, and with one of `loss` it gets no answer.
    """

    share: float | Share = 0.25
    flip: float = 0.0
    loss: float = 0.0
    each: int = EACH

    def draw(self, rng: np.random.Generator, first: int, number: int) -> NDArray[np.int64]:
        """Return the answers of users: a row each, an index of `NAMES` for each request."""
        numbers = np.arange(first, first + number, dtype=float)
        shares = self.share(numbers) if callable(self.share) else self.share
        versions = rng.random(number) < shares
        flips = rng.random((number, self.each)) < self.flip
        flips[:, 0] = False
        answers: NDArray[np.int64] = (versions[:, None] + flips.cumsum(axis=1)) % 2
        answers[rng.random(answers.shape) < self.loss] = 2
        return answers


class Audience:
    """Shows users to the test, as often as it wants to look."""

    def __init__(self, question: Question) -> None:
        self.test = UserTest(question)
        self._recorder = UserRecorder()
        self._kinds: dict[tuple[int, ...], UserKind] = {}

    def show(self, answers: NDArray[np.int64]) -> Verdict:
        """Show the answers of more users, and return the verdict."""
        self._recorder.add([self._kind(row) for row in map(tuple, answers.tolist())])
        counts = np.bincount(answers.ravel(), minlength=len(NAMES)).tolist()
        named: Mapping[str, int] = dict(zip(NAMES[:2], counts[:2], strict=True))
        return self.test.look(Look([Tally(named, counts[2])], users=self._recorder.users))

    def _kind(self, row: tuple[int, ...]) -> UserKind:
        if row not in self._kinds:
            self._kinds[row] = UserKind.of([NAMES[index] for index in row])
        return self._kinds[row]


def verdict_on(
    question: Question, gateway: SimulatedUsers, seed: Sequence[int], most: int
) -> tuple[Verdict, int]:
    """Return the verdict on a simulated gateway after `most` users or fewer, and their number."""
    rng = np.random.default_rng(seed)
    audience = Audience(question)
    number = 0
    verdict = Verdict.INCONCLUSIVE
    while verdict is Verdict.INCONCLUSIVE and number < most:
        more = max(audience.test.least_more // gateway.each, 1)
        verdict = audience.show(gateway.draw(rng, number, more))
        number += more
    return verdict, number


def verdicts_on(
    question: Question, gateway: SimulatedUsers, *, runs: int, most: int, seed: int = 0
) -> list[tuple[Verdict, int]]:
    """Return the verdicts of several runs, with the users of each."""
    return [verdict_on(question, gateway, (seed, run), most) for run in range(runs)]


LETTERS = {"b": "blue", "g": "green", "x": "", "r": "red"}


def shuffled(seed: int = 0, **numbers: int) -> list[str]:
    """Return users by their answers in an order of chance: `bbg=2`, where x is a lost request."""
    users: list[str] = []
    for letters, number in numbers.items():
        users += [letters] * number
    return [users[index] for index in np.random.default_rng(seed).permutation(len(users))]


def users_run(users: Sequence[str], question: Question | None = None, **ending: Any) -> Run:
    """Return a run with these users, by the first letters of their answers, in this order."""
    recorder = UserRecorder()
    order = OrderRecorder()
    kinds = {letters: UserKind.of([LETTERS[one] for one in letters]) for letters in set(users)}
    recorder.add([kinds[letters] for letters in users])
    for letters in users:
        if kinds[letters].first:
            order.add(kinds[letters].first)
    answers = "".join(users)
    counts = {name: answers.count(letter) for letter, name in LETTERS.items() if name}
    tally = Tally({name: n for name, n in counts.items() if n}, answers.count("x"))
    question = question or users_question()
    return Run(
        question=question,
        subject=Subject(
            "http://gateway", "/color", "user", 4, "2026-01-01T00:00:00.000Z", elapsed=2.0
        ),
        counted=Counted(
            stretches=[Stretch(0, 2, tally)],
            losses={"HTTP 503": tally.lost} if tally.lost else {},
            order=order.order,
            users=recorder.users,
        ),
        ending=Ending(**ending),
    )
