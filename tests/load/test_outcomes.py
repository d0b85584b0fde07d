"""From an answer to what it counts as."""

from __future__ import annotations

import pytest

from tests.fakes.servers import page
from tests.support.runs import CANARY
from trafficsplit.analysis.kinds import MOST_UNKNOWN_NAMES, Kind, Outcome
from trafficsplit.identify.identifier import identifier_of
from trafficsplit.load.counting import Counter
from trafficsplit.load.http import Answer
from trafficsplit.load.outcomes import BODIES_COMPARED, UNIDENTIFIED, Outcomes, row_of


def outcomes_of(source: str = "header:x-variant", gateways: int = 1) -> tuple[Outcomes, Counter]:
    counter = Counter(CANARY, gateways=[f"gateway {n}" for n in range(gateways)])
    return Outcomes(identifier_of(source, CANARY), counter), counter


def answer(variant: str = "", status: int = 200, **more: str) -> Answer:
    headers = {name.replace("_", "-"): value for name, value in more.items()}
    if variant:
        headers["x-variant"] = variant
    return Answer(status, headers, b"body", True)


@pytest.mark.parametrize(
    ("given", "kind", "reason"),
    [
        (answer("green"), Kind(Outcome.IDENTIFIED, "green"), ""),
        (answer("green", 204), Kind(Outcome.IDENTIFIED, "green", answer=204), ""),
        (answer("red"), Kind(Outcome.IDENTIFIED, "red"), ""),  # a third one is a variant too
        (
            answer("green", 503),
            Kind(Outcome.ERROR, "green", "5xx", answer=503),
            "HTTP 503",
        ),
        (answer("", 503), Kind(Outcome.ERROR, "", "5xx", answer=503), "HTTP 503"),
        (
            answer("", 503, x_envoy_overloaded="true"),
            Kind(Outcome.ERROR, "", "5xx", answer=503),
            "HTTP 503: x-envoy-overloaded",
        ),
        (
            Answer(503, {}, b"no healthy upstream", True),
            Kind(Outcome.ERROR, "", "5xx", answer=503),
            "HTTP 503: no healthy upstream",
        ),
        (
            answer("", 302, location="/login"),
            Kind(Outcome.ERROR, "", "3xx", answer=302),
            "HTTP 302 to /login",
        ),
        (answer("", 301), Kind(Outcome.ERROR, "", "3xx", answer=301), "HTTP 301 to nowhere"),
        (answer("", 999), Kind(Outcome.ERROR, "", "none", answer=999), "HTTP 999"),
    ],
)
def test_an_answer_counts_as_what_its_status_and_name_say(
    given: Answer, kind: Kind, reason: str
) -> None:
    outcomes, counter = outcomes_of()
    code, why = outcomes.of_answer(given)
    assert counter.kinds[code] == kind
    assert why == reason


def test_a_good_answer_without_a_name_is_unidentified_and_says_why() -> None:
    outcomes, counter = outcomes_of()
    code, reason = outcomes.of_answer(answer())
    assert counter.kinds[code] == Kind(Outcome.UNIDENTIFIED)
    assert "x-variant" in reason


def test_beyond_a_number_of_names_one_more_is_unidentified() -> None:
    outcomes, counter = outcomes_of()
    for number in range(MOST_UNKNOWN_NAMES):
        code, _ = outcomes.of_answer(answer(f"v{number}"))
        assert counter.kinds[code].outcome is Outcome.IDENTIFIED
    code, reason = outcomes.of_answer(answer("one too many"))
    assert counter.kinds[code] == Kind(Outcome.UNIDENTIFIED)
    assert reason == "too many different names of variants"
    code, _ = outcomes.of_answer(answer("one too many", 503))
    assert counter.kinds[code] == Kind(Outcome.ERROR, "", "5xx", answer=503)


def test_a_request_without_an_answer_is_an_error_of_its_gateway() -> None:
    outcomes, counter = outcomes_of(gateways=2)
    code = outcomes.of_failure(1)
    assert counter.kinds[code] == Kind(Outcome.ERROR, "", "none", 1, 0)


def test_only_good_ordinary_answers_are_remembered_by_name() -> None:
    outcomes, counter = outcomes_of(gateways=2)
    outcomes.of_answer(answer("green", 503))
    outcomes.of_answer(answer("green", 204))
    assert outcomes.codes == [{}, {}]
    code, _ = outcomes.of_answer(answer("green"), 1)
    assert outcomes.codes == [{}, {"green": code}]
    assert counter.kinds[code].gateway == 1


def with_id(number: int) -> Answer:
    return Answer(200, {"x-variant": "green"}, b"X-Request-Id: %d" % number, True)


def test_an_answer_out_of_a_cache_is_noted() -> None:
    outcomes, counter = outcomes_of()
    outcomes.of_answer(answer("green", age="7"))
    assert counter.sums.cached == 1
    outcomes.of_answer(with_id(1))
    outcomes.of_answer(with_id(2))
    assert counter.sums.cached == 1
    outcomes.of_answer(with_id(1))  # the same id again: an older request's answer
    assert counter.sums.cached == 2
    outcomes.of_answer(answer("green"))
    outcomes.of_answer(answer("green"))  # the same page again is no cache
    assert counter.sums.cached == 2


def test_bodies_are_compared_only_at_the_beginning_unless_a_cache_shows() -> None:
    outcomes, counter = outcomes_of()
    for number in range(BODIES_COMPARED + 1):
        outcomes.of_answer(with_id(number))
    assert not outcomes.comparing
    outcomes.of_answer(with_id(0))
    assert counter.sums.cached == 0

    outcomes, counter = outcomes_of()
    outcomes.of_answer(with_id(1))
    for number in range(BODIES_COMPARED + 1):
        outcomes.of_answer(with_id(number))
    assert outcomes.comparing
    assert counter.sums.cached == 1


def test_a_page_is_read_as_it_is() -> None:
    outcomes, counter = outcomes_of("page")
    code, _ = outcomes.of_answer(Answer(200, {"content-type": "text/html"}, page("green"), True))
    assert counter.kinds[code] == Kind(Outcome.IDENTIFIED, "green")


@pytest.mark.parametrize(
    ("kind", "row"),
    [
        (Kind(Outcome.IDENTIFIED, "green"), "green"),
        (Kind(Outcome.ERROR, "green", "5xx"), "green"),
        (Kind(Outcome.ERROR), ""),
        (Kind(Outcome.UNIDENTIFIED), UNIDENTIFIED),
    ],
)
def test_locusts_statistics_have_a_row_for_each_variant(kind: Kind, row: str) -> None:
    assert row_of(kind) == row
