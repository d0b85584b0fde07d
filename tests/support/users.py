"""Users of simulated gateways, and runs of users."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from trafficsplit.analysis.order import OrderRecorder
from trafficsplit.analysis.question import Question
from trafficsplit.analysis.run import Counted, Ending, Run, Stretch, Subject
from trafficsplit.analysis.split import Split
from trafficsplit.analysis.tally import Tally
from trafficsplit.analysis.user_simulation import EACH, UsersGateway, verdict_on
from trafficsplit.analysis.verdict import Verdict
from trafficsplit.analysis.visits import UserKind, UserRecorder


def users_question(green: float = 25, tolerance: float = 0.02, **more: float) -> Question:
    """Return the question whether a share of the users get green."""
    split = Split({"blue": 100 - green, "green": green})
    return Question(split, tolerance, requests=10**6, user_requests=EACH, **more)  # type: ignore[arg-type]


def verdicts_on(
    question: Question, gateway: UsersGateway, *, runs: int, most: int, seed: int = 0
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
