"""The judge of a running load: no more requests than are needed, and no fewer."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from tests.support.counting import BLUE, ERROR, GREEN, count, taken
from tests.support.runs import CANARY
from trafficsplit.analysis.causes.candidates import Facts
from trafficsplit.analysis.causes.inquiry import MOST_REQUESTS, Inquiry
from trafficsplit.analysis.kinds import Kind, Outcome
from trafficsplit.analysis.look import Look
from trafficsplit.analysis.planning import planned
from trafficsplit.analysis.question import Question
from trafficsplit.analysis.sequential import MANY
from trafficsplit.analysis.split import Split
from trafficsplit.analysis.tally import Tally
from trafficsplit.analysis.verdict import Verdict
from trafficsplit.load.counting import Counter
from trafficsplit.locust.judging import Judging

QUESTION = planned(Question(CANARY, 0.02))
ROLLBACK = planned(Question(Split({"blue": 1, "green": 0}), 0.02))


def judging_of(
    question: Question = QUESTION, *, budget: int | None = 10**6
) -> tuple[Judging, Counter]:
    counter = Counter(question.split, budget=budget)
    return Judging(question, counter), counter


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
    sent = send_mixed(counter, 0.6, 1000)
    assert sent < 200
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


def test_what_connections_are_is_waited_for_where_they_are_kept() -> None:
    sent = {}
    for name, connections in (("kept", 48), ("closed", 10_000), ("sessions", 1)):
        judging, counter = judging_of()
        draws = np.random.default_rng(3).random(2000) < 0.6
        sent[name] = 0
        for number, green in enumerate(draws.tolist()):
            if counter.closed:
                break
            connection = 0 if name == "sessions" else 1 + number % connections
            count(counter, taken(counter, connection), GREEN if green else BLUE, number / 1000)
            sent[name] += 1
        assert judging.verdict is Verdict.MISMATCH
    assert sent["sessions"] <= sent["closed"] <= sent["kept"] < 200


@pytest.mark.parametrize("kind", [GREEN, Kind(Outcome.IDENTIFIED, "red")])
def test_a_variant_that_was_to_get_nothing_needs_no_connections(kind: Kind) -> None:
    judging, counter = judging_of(ROLLBACK)
    send(counter, BLUE, 5)
    assert send(counter, kind, 5) == 1
    assert judging.verdict is Verdict.MISMATCH


def test_a_gateway_that_fails_needs_no_connections() -> None:
    judging, counter = judging_of()
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


def inquiring(budget: int | None = 10**6, requests: int = 0) -> tuple[Judging, Counter]:
    question = QUESTION
    if requests:
        question = dataclasses.replace(QUESTION, requests=requests)
    counter = Counter(CANARY, budget=budget)
    inquiry = Inquiry(Facts(question))
    judging = Judging(question, counter, inquiry)
    return judging, counter


def send_mixed(counter: Counter, share: float, number: int, seed: int = 14) -> int:
    """Send requests a millisecond apart, of which a share is green's; return how many."""
    draws = np.random.default_rng(seed).random(number)
    for sent, draw in enumerate(draws):
        if counter.closed:
            return sent
        count(counter, taken(counter), GREEN if draw < share else BLUE, counter.sent / 1000)
    return number


def test_a_mismatch_goes_on_until_its_cause_is_known() -> None:
    judging, counter = inquiring()
    sent = send_mixed(counter, 0.5, 10_000)
    assert judging.inquiry is not None
    assert judging.inquiry.after < 500
    assert judging.inquiry.after + 200 < sent < judging.inquiry.after + MOST_REQUESTS
    assert counter.closed


def test_what_comes_after_the_verdict_does_not_change_it() -> None:
    judging, counter = inquiring()
    assert judging.inquiry is not None
    while not judging.inquiry.after:
        send_mixed(counter, 0.5, 50, seed=counter.sent)
    after = judging.inquiry.after
    assert judging.verdict is Verdict.MISMATCH
    send(counter, ERROR, 500)
    send_mixed(counter, 0.25, 10_000)
    assert judging.verdict is Verdict.MISMATCH
    assert counter.closed
    assert counter.sent <= after + MOST_REQUESTS


def test_a_match_goes_no_further() -> None:
    judging, counter = inquiring()
    send_mixed(counter, 0.25, 20_000)
    assert judging.verdict is Verdict.MATCH
    assert judging.inquiry is not None
    assert judging.inquiry.after == 0
    assert counter.closed


def test_a_masters_budget_bounds_an_inquiry_too() -> None:
    _, counter = inquiring(budget=None, requests=400)
    assert send_mixed(counter, 0.5, 10_000) == 400
