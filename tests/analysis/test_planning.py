"""How many requests are planned, held against simulations and the design's figures."""

import dataclasses
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.runs import CANARY
from tests.support.simulation import verdicts
from trafficsplit.analysis.planning import (
    SPARE_LOSSES,
    budget,
    fixed_size,
    least_seconds_to_mismatch,
    mean_requests_to_match,
    mean_requests_to_mismatch,
    planned,
    requests_to_match,
    requests_to_mismatch,
)
from trafficsplit.analysis.question import MOST_REQUESTS, Question
from trafficsplit.analysis.sequential import SequentialTest
from trafficsplit.analysis.split import Split
from trafficsplit.analysis.user_evidence import fewest_dealt
from trafficsplit.analysis.user_simulation import EACH, Sticky, verdict_on
from trafficsplit.analysis.verdict import Verdict
from trafficsplit.errors import InputError

RUNS = 200


@pytest.mark.slow
@pytest.mark.parametrize(("weight", "tolerance"), [(0.25, 0.05), (0.05, 0.02)])
def test_the_plan_is_what_the_whole_test_takes(weight: float, tolerance: float) -> None:
    split = Split({"blue": 1 - weight, "green": weight})
    question = Question(split, tolerance)
    most = budget(question)
    found = verdicts(split, tolerance, [1 - weight, weight], most=most, runs=RUNS, seed=6)
    needed = [n for _, n in found]
    assert np.median(needed) == pytest.approx(requests_to_match(question, 0.5), rel=0.1)
    assert np.mean(needed) == pytest.approx(mean_requests_to_match(question), rel=0.1)
    assert sum(v is Verdict.MATCH for v, _ in found) >= RUNS - 4


@pytest.mark.slow
def test_so_is_that_of_a_mismatch() -> None:
    question = Question(CANARY, 0.02)
    shares = {"blue": 0.65, "green": 0.35}
    needed = [n for _, n in verdicts(CANARY, 0.02, [0.65, 0.35], most=5000, runs=RUNS, seed=6)]
    assert np.median(needed) == pytest.approx(requests_to_mismatch(question, shares), rel=0.1)
    assert np.mean(needed) == pytest.approx(mean_requests_to_mismatch(question, shares), rel=0.1)


def test_a_budget_of_weight_0_has_room_for_some_lost_requests() -> None:
    rollback = Question(Split({"blue": 1, "green": 0}), 0.02)
    for lost in range(SPARE_LOSSES + 1):
        test = SequentialTest.of(rollback)
        test.update({"blue": budget(rollback) - lost}, errors=lost)
        assert test.verdict is Verdict.MATCH
    several = dataclasses.replace(rollback, gateways=3)
    assert budget(several) == 3 * budget(rollback)
    assert requests_to_match(several, 0.5) == mean_requests_to_match(several) == 3 * 4603


def test_budgets_and_sizes_of_the_design() -> None:
    assert fixed_size(Question(CANARY, 0.02)) == 11_591
    rollback = Question(Split({"blue": 1, "green": 0}), 0.02)
    assert (requests_to_match(rollback, 0.5), fixed_size(rollback)) == (4603, 4603)
    assert Question(CANARY, 0.02, zero_tolerance=0.01).requests_for_zero == 459


def test_what_is_planned_already_stays() -> None:
    asked = Question(CANARY, 0.02, requests=123)
    assert planned(asked) is asked


@pytest.mark.parametrize("test", ["sequential", "fixed"])
def test_a_plan_is_the_budget_of_the_test(test: str) -> None:
    question = planned(Question(CANARY, 0.02, test=test))
    open_question = dataclasses.replace(question, requests=0)
    expected = fixed_size(open_question) if test == "fixed" else budget(open_question)
    assert question.requests == expected


@pytest.mark.parametrize("test", ["sequential", "fixed"])
def test_a_tolerance_that_no_run_can_show_is_refused(test: str) -> None:
    with pytest.raises(InputError, match="give a larger --tolerance"):
        planned(Question(CANARY, 0.000001, test=test))


ordinary = st.integers(2, 98).flatmap(
    lambda per_cent: st.tuples(
        st.just(per_cent / 100),
        st.floats(0.001, 0.9 * min(per_cent, 100 - per_cent) / 100).filter(lambda t: t < 0.45),
    )
)


@given(ordinary, st.sampled_from([0.001, 0.01, 0.05]))
def test_a_higher_quantile_and_a_smaller_tolerance_take_more(
    asked: tuple[float, float], alpha: float
) -> None:
    weight, tolerance = asked
    split = Split({"blue": 1 - weight, "green": weight})
    question = Question(split, tolerance, alpha=alpha)
    median = requests_to_match(question, 0.5)
    assert 1 <= median <= requests_to_match(question, 0.9) <= budget(question)
    surer = dataclasses.replace(question, alpha=alpha / 10)
    assert requests_to_match(surer, 0.5) >= median
    narrower = dataclasses.replace(question, tolerance=tolerance / 2)
    assert requests_to_match(narrower, 0.5) >= median


@given(ordinary, st.floats(0, 1))
def test_a_mismatch_is_planned_only_beyond_the_tolerance(
    asked: tuple[float, float], share: float
) -> None:
    weight, tolerance = asked
    question = Question(Split({"blue": 1 - weight, "green": weight}), tolerance)
    needed = requests_to_mismatch(question, {"blue": 1 - share, "green": share})
    if abs(share - weight) <= tolerance - 1e-6:
        assert needed is None
    if needed is not None:
        assert needed >= 1
        later = requests_to_mismatch(question, {"blue": 1 - share, "green": share}, 0.99)
        # So near the edge that one run of a hundred may never show it.
        assert needed <= (later or math.inf)


def test_a_response_of_a_variant_that_is_not_configured_is_a_surprise() -> None:
    question = Question(CANARY, 0.02)
    needed = requests_to_mismatch(question, {"blue": 0.74, "green": 0.25, "red": 0.01})
    assert needed == math.ceil(math.log(0.5) / math.log(0.99))


def test_a_plan_never_asks_for_more_than_can_be_sent() -> None:
    assert budget(Question(CANARY, 0.00011)) < MOST_REQUESTS


def test_a_step_of_a_release_has_the_budget_to_be_late_as_seldom_as_it_may_be_stopped() -> None:
    question = Question(CANARY, 0.02)
    step = dataclasses.replace(question, mismatch_alpha=0.001)
    assert budget(step) == requests_to_match(question, 0.99999) > budget(question)
    loose = dataclasses.replace(question, mismatch_alpha=0.4)
    assert budget(loose) == budget(question)


@pytest.mark.slow
@pytest.mark.parametrize(("share", "runs"), [(0.30, 120), (1 / 6, 120), (0.25, 80)])
def test_a_plan_for_users_is_what_simulated_users_take(share: float, runs: int) -> None:
    question = Question(CANARY, 0.02, user_requests=EACH)
    found = [verdict_on(question, Sticky(share), [6, run], 60_000) for run in range(runs)]
    users = np.array([n for _, n in found])
    shares = {"blue": 1 - share, "green": share}
    median = requests_to_mismatch(question, shares)
    mean = mean_requests_to_mismatch(question, shares)
    if share == 0.25:
        median = requests_to_match(question, 0.5)
        mean = mean_requests_to_match(question)
    assert np.median(users) * EACH == pytest.approx(median, rel=0.15)
    assert users.mean() * EACH == pytest.approx(mean, rel=0.15)


def test_a_mismatch_of_users_is_of_no_fewer_than_a_dealer_could_deal() -> None:
    question = Question(CANARY, 0.02, user_requests=EACH)
    shares = {"blue": 1.0, "green": 0.0}
    assert requests_to_mismatch(question, shares) == fewest_dealt(question) * EACH
    assert least_seconds_to_mismatch(question, shares) == 0
