"""The judge of a running load: no more requests than are needed, and no fewer."""

from __future__ import annotations

import pytest

from tests.support.counting import BLUE, ERROR, GREEN, count, taken
from tests.support.runs import CANARY
from trafficsplit.analysis.kinds import Kind, Outcome
from trafficsplit.analysis.look import Look
from trafficsplit.analysis.planning import planned
from trafficsplit.analysis.question import Question
from trafficsplit.analysis.sequential import MANY
from trafficsplit.analysis.split import Split
from trafficsplit.analysis.tally import Tally
from trafficsplit.analysis.verdict import Verdict
from trafficsplit.load.counting import Counter
from trafficsplit.locust.judging import TELLING, Judging

QUESTION = planned(Question(CANARY, 0.02))
ROLLBACK = planned(Question(Split({"blue": 1, "green": 0}), 0.02))


def judging_of(
    question: Question = QUESTION, *, new_connections: bool = True, budget: int | None = 10**6
) -> tuple[Judging, Counter]:
    counter = Counter(question.split, budget=budget)
    return Judging(question, counter, new_connections=new_connections), counter


def send(counter: Counter, kind: Kind, number: int, connection: int = 0) -> int:
    """Send requests until no more are wanted; return how many that were."""
    for sent in range(number):
        if counter.closed:
            return sent
        count(counter, taken(counter, connection), kind)
    return number


def test_the_run_ends_when_the_verdict_is_known() -> None:
    judging, counter = judging_of()
    assert judging.verdict == "inconclusive"
    sent = send(counter, GREEN, 1000)
    assert sent < 100
    assert judging.verdict is Verdict.MISMATCH
    assert counter.closed


def test_it_goes_on_while_the_answer_is_not_known() -> None:
    judging, counter = judging_of()
    for _ in range(50):
        send(counter, BLUE, 3)
        send(counter, GREEN, 1)
    assert judging.verdict == "inconclusive"
    assert not counter.closed
    assert 1 < judging.look(Look([Tally()])) <= MANY


def test_a_quick_verdict_waits_until_connections_were_used_twice() -> None:
    judging, counter = judging_of(new_connections=False)
    for connection in range(1, 33):
        send(counter, GREEN, 1, connection)
    for connection in range(1, 8):  # a few of them are used again
        send(counter, GREEN, 1, connection)
    assert judging.verdict is Verdict.MISMATCH
    assert not counter.closed
    assert send(counter, GREEN, 10_000, connection=7) < 60
    assert counter.closed


def test_where_each_connection_is_closed_there_is_nothing_to_wait_for() -> None:
    judging, counter = judging_of(new_connections=False)
    sent = sum(send(counter, GREEN, 1, connection) for connection in range(1, 1000))
    kept, other = judging_of()
    assert sent <= max(1.1 * send(other, GREEN, 1000), TELLING)
    assert judging.verdict is kept.verdict is Verdict.MISMATCH


@pytest.mark.parametrize("kind", [GREEN, Kind(Outcome.IDENTIFIED, "red")])
def test_a_variant_that_was_to_get_nothing_needs_no_connections(kind: Kind) -> None:
    judging, counter = judging_of(ROLLBACK, new_connections=False)
    send(counter, BLUE, 5)
    assert send(counter, kind, 5) == 1
    assert judging.verdict is Verdict.MISMATCH


def test_a_gateway_that_fails_needs_no_connections() -> None:
    judging, counter = judging_of(new_connections=False)
    send(counter, ERROR, 10_000)
    assert judging.verdict is Verdict.FAILING
    assert counter.closed


def test_a_master_ends_the_run_when_its_workers_have_used_up_the_budget() -> None:
    question = planned(Question(CANARY, 0.02, requests=30))
    judging, counter = judging_of(question, budget=None)
    for _ in range(7):
        send(counter, BLUE, 3)
        send(counter, GREEN, 1)
    assert not counter.closed
    send(counter, BLUE, 2)
    assert counter.closed
    assert judging.verdict == "inconclusive"


def test_a_fixed_sample_is_looked_at_for_its_losses_only() -> None:
    question = planned(Question(CANARY, 0.02, test="fixed", requests=1000))
    judging, counter = judging_of(question, budget=1000)
    assert send(counter, GREEN, 900) == 900
    assert judging.verdict == "inconclusive"
    send(counter, ERROR, 11)
    assert judging.verdict is Verdict.FAILING
    assert counter.closed
