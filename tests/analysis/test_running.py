"""The tests of a run that goes on."""

from __future__ import annotations

import dataclasses

from tests.support.runs import CANARY
from trafficsplit.analysis.field_test import FieldTest
from trafficsplit.analysis.look import Look
from trafficsplit.analysis.planning import planned
from trafficsplit.analysis.question import Question
from trafficsplit.analysis.running import FixedRunningTest, running_test
from trafficsplit.analysis.sequential import MANY
from trafficsplit.analysis.tally import Tally
from trafficsplit.analysis.verdict import Verdict


def test_a_fixed_run_ends_early_only_where_nothing_can_change() -> None:
    question = planned(Question(CANARY, 0.02, test="fixed", requests=1000))
    watch = FixedRunningTest(question)
    # An odd share is no reason.
    assert watch.look(Look([Tally({"blue": 900})])) is Verdict.INCONCLUSIVE
    assert watch.look(Look([Tally(errors=10)])) is Verdict.INCONCLUSIVE
    assert watch.look(Look([Tally(errors=1)])) is Verdict.FAILING
    beside = Look([Tally({"blue": 1, "red": 1})])
    assert FixedRunningTest(question).look(beside) is Verdict.MISMATCH
    # By itself it may be another name of a variant.
    assert FixedRunningTest(question).look(Look([Tally({"red": 1})])) is Verdict.INCONCLUSIVE
    assert FixedRunningTest(question).least_more == MANY


def test_the_question_says_which_test_looks_at_a_run() -> None:
    sequential = planned(Question(CANARY, 0.02))
    assert isinstance(running_test(sequential), FieldTest)
    fixed = dataclasses.replace(sequential, test="fixed")
    assert isinstance(running_test(fixed), FixedRunningTest)


def test_a_match_waits_for_the_least_requests_and_nothing_else_does() -> None:
    question = planned(Question(CANARY, 0.02, least_requests=20_000))
    assert question.requests >= 20_000
    watch = FieldTest(question)
    tally = Tally({"blue": 7500, "green": 2500})
    assert watch.look(Look([tally])) is Verdict.INCONCLUSIVE
    assert watch.least_more == 10_000
    assert watch.look(Look([tally])) is Verdict.MATCH
    assert watch.least_more == 0
    assert FieldTest(question).look(Look([Tally({"blue": 1, "red": 1})])) is Verdict.MISMATCH
