"""What controllers are answered."""

from __future__ import annotations

import pytest

from tests.support.gates import verification
from trafficsplit.gate.service import argo_measurement, flagger_answer
from trafficsplit.gate.verifications import Result


def result(verdict: str, **more: object) -> Result:
    found = {"verdict": verdict, **more} if verdict != "error" else {}
    return Result(verification(), found, "because\nof it", 0.0, report="20261125-x")


@pytest.mark.parametrize(
    ("verdict", "status", "rolling_back"),
    [
        ("match", 200, 409),
        ("mismatch", 409, 200),
        ("failing", 409, 200),
        ("inconclusive", 503, 503),
        ("error", 503, 503),
    ],
)
def test_what_passes_is_up_to_202_and_the_rest_is_4xx_or_worth_a_retry(
    verdict: str, status: int, rolling_back: int
) -> None:
    line = f"{verdict}: because of it"
    assert flagger_answer(result(verdict)) == (status, line)
    assert flagger_answer(result(verdict), rollback=True) == (rolling_back, line)


def test_what_was_wrongly_asked_is_not_asked_again() -> None:
    wrong = Result(verification(), {}, "no such path", 0.0, wrong=True)
    assert flagger_answer(wrong)[0] == flagger_answer(wrong, rollback=True)[0] == 400


def test_what_is_not_known_yet_is_asked_again() -> None:
    assert flagger_answer(None)[0] == flagger_answer(None, rollback=True)[0] == 503


def test_argos_measurement_has_the_figures() -> None:
    data = argo_measurement(result("match", requests=7000, shares={"green": 0.25}, chi_square={}))
    assert data == {
        "verdict": "match",
        "reason": "because\nof it",
        "requests": 7000,
        "shares": {"green": 0.25},
        "report": "20261125-x",
    }
    assert argo_measurement(None)["verdict"] == "running"
    assert argo_measurement(result("error"))["verdict"] == "error"
