"""A gateway that stops answering is failing, however little is lost in all."""

from __future__ import annotations

import random
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.runs import CANARY
from trafficsplit.analysis.hanging import Suffix, why_hanging, worst_suffix
from trafficsplit.analysis.losses import MOST_LATEST, Hanging
from trafficsplit.analysis.question import Question

QUESTION = Question(CANARY, 0.02)
FINE = Hanging(
    requests=10_000,
    lost=8,
    connections=200,
    latest=[False] * MOST_LATEST,
    users=16,
    answered=3.0,
)


def why(*gateways: Hanging, ended: bool = True) -> str:
    names = [f"http://{number}" for number in range(len(gateways))]
    return why_hanging(gateways, names, QUESTION, ended=ended)


def test_what_answers_to_the_end_does_not_hang() -> None:
    assert why(FINE) == why(FINE, FINE) == why(Hanging()) == why() == ""
    assert why(FINE, ended=False) == ""


def test_a_gateway_that_did_not_answer_to_the_end_is_named() -> None:
    hung = replace(FINE, answered=1.52, silent=9.98, unanswered=8)
    assert why(FINE, hung) == (
        "http://1 has not answered since 1.5 s after the start: for 10.0 s 8 requests waited in "
        "vain."
    )
    assert why(FINE, hung, ended=False) == ""  # it may answer yet
    never = Hanging(requests=1, lost=1, silent=10.0, unanswered=1)
    assert why(FINE, never) == "http://1 has never answered: one request waited in vain."


def test_users_that_are_stuck_at_the_end_are_failing_at_any_total() -> None:
    half = replace(FINE, requests=10**7, hung=8, lost=8, stuck=8)
    assert why(half) == (
        "At the end half of the connections to http://0 lost their answer: a part of what is "
        "behind it does not answer."
    )
    assert why(half, ended=False) == ""
    assert why(replace(half, stuck=14)).startswith("At the end 14 of 16 of the connections")
    assert why(replace(half, stuck=6)) == ""
    assert why(replace(half, stuck=1, users=2)) == ""


def test_the_last_requests_that_were_all_lost_are_failing_at_any_total() -> None:
    dead = replace(FINE, requests=10**6, latest=[False] * 100 + [True] * 28)
    assert why(dead).startswith("All of the last 28 requests to http://0 got no good answer")
    assert why(dead, ended=False)
    # Three may be chance while there are so many looks.
    three = replace(FINE, latest=[False] * 100 + [True] * 3)
    assert why(three)
    assert why(three, ended=False) == ""


def test_what_is_over_is_over() -> None:
    recovered = replace(FINE, latest=[True] * 16 + [False] * 112)
    assert why(recovered) == ""


def test_what_hung_connections_kept_back_counts_as_lost() -> None:
    kept = replace(FINE, hung=8, lost=8, kept_back=200)
    assert why(kept) == (
        "8 of 200 connections to http://0 lost their answer, and did not send 200 requests while "
        "they waited: with these, 208 of 10,200 got none, more than 1 %."
    )
    one = replace(FINE, requests=1000, hung=1, lost=1, kept_back=49)
    assert why(one) == ""  # one request that was never answered is no share of the connections


def test_one_of_several_gateways_that_loses_too_many_is_named() -> None:
    faulty = replace(FINE, requests=1000, lost=40)
    assert why(FINE, faulty) == (
        "Of 1,000 requests to http://1 40 got no good answer, more than 1 %."
    )
    assert why(FINE, replace(faulty, lost=12)) == ""  # may be chance


def test_losses_by_chance_are_hardly_ever_called_a_gateway_that_hangs() -> None:
    draws = np.random.default_rng(1).random((4000, MOST_LATEST)) < 0.01
    wrong = sum(bool(why(replace(FINE, lost=1, latest=row.tolist()))) for row in draws)
    assert wrong <= 4  # one in 10,000 by the bound


@pytest.mark.parametrize("share", [0.5, 1.0])
def test_a_gateway_that_begins_to_lose_half_is_seen_within_few_requests(share: float) -> None:
    rng = random.Random(2)
    seen = 0
    for _ in range(200):
        latest = [False] * 108 + [rng.random() < share for _ in range(20)]
        seen += bool(why(replace(FINE, lost=1, latest=latest)))
    assert seen >= 199


@given(st.lists(st.booleans(), max_size=MOST_LATEST))
def test_the_worst_suffix_is_the_worst(lost: list[bool]) -> None:
    found = worst_suffix(lost, 0.01)
    evidence = 0.0
    best = Suffix()
    for number in range(1, len(lost) + 1):
        evidence += np.log(0.5 / 0.01) if lost[-number] else np.log(0.5 / 0.99)
        if evidence > best.log_evidence + 1e-9:
            best = Suffix(number, sum(lost[-number:]), evidence)
    assert (found.number, found.lost) == (best.number, best.lost)
    assert found.log_evidence == pytest.approx(best.log_evidence)


def test_where_any_number_may_be_lost_none_is_too_many() -> None:
    assert worst_suffix([True] * 10, 0.5) == Suffix()
    assert worst_suffix([True] * 3, 0.0).lost == 3
