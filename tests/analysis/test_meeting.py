"""Names that never meet are a question, and no verdict."""

from __future__ import annotations

import pytest

from tests.support.runs import CANARY, made
from trafficsplit.analysis.judge import judge
from trafficsplit.analysis.meeting import ENOUGH, Meeting, check_names_meet, why_names_do_not_meet
from trafficsplit.analysis.sequential import SequentialTest
from trafficsplit.analysis.tally import Tally
from trafficsplit.analysis.verdict import Verdict
from trafficsplit.errors import InputError


def test_names_that_never_meet_are_no_verdict_but_a_line_with_the_way_out() -> None:
    run = made({"v1": 600, "v2": 200})
    judged = judge(run)
    assert judged.verdict is Verdict.INCONCLUSIVE
    assert "Responses say v1, v2, and blue, green are expected" in judged.reason
    assert "--map blue=v1,green=v2" in judged.reason
    with pytest.raises(InputError, match="which is which"):
        check_names_meet(run)


@pytest.mark.parametrize(
    "counts", [{}, {"blue": 1}, {"green": 3, "red": 500}, {"blue": 75, "green": 25}]
)
def test_one_name_that_is_expected_is_enough(counts: dict[str, int]) -> None:
    assert why_names_do_not_meet(made(counts)) == ""


def test_fewer_names_than_expected_leave_a_gap() -> None:
    assert "--map blue=v1,green=…" in why_names_do_not_meet(made({"v1": 9}))


def test_a_name_beside_known_ones_is_a_stranger_whichever_comes_first() -> None:
    test = SequentialTest(CANARY)
    assert test.update({"red": 3}) is Verdict.INCONCLUSIVE
    assert test.update({"blue": 1}) is Verdict.MISMATCH


def test_a_run_is_hopeless_after_some_responses_and_never_once_a_name_was_known() -> None:
    meeting = Meeting(CANARY)
    meeting.look([Tally({"v1": ENOUGH - 1, "blue": 0})])
    assert not meeting.is_hopeless
    meeting.look([Tally({"v2": 1})])
    assert meeting.is_hopeless
    met = Meeting(CANARY)
    met.look([Tally({"blue": 1})])
    met.look([Tally({"v1": 10 * ENOUGH})])
    assert not met.is_hopeless
