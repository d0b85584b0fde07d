"""A run that goes on after its verdict: how long."""

import numpy as np
import pytest

from trafficsplit.analysis.causes.candidates import Facts
from trafficsplit.analysis.causes.inquiry import MOST_REQUESTS, MOST_SECONDS, Inquiry
from trafficsplit.analysis.look import Look
from trafficsplit.analysis.planning import planned
from trafficsplit.analysis.question import Question
from trafficsplit.analysis.split import Split
from trafficsplit.analysis.tally import Tally
from trafficsplit.analysis.verdict import Verdict

QUESTION = planned(Question(Split({"blue": 75, "green": 25}), 0.02))


def look(green: int, blue: int, errors: int = 0, elapsed: float = 0.1) -> Look:
    return Look([Tally({"blue": blue, "green": green}, errors=errors)], elapsed=elapsed)


def begun(verdict: Verdict, first: Look) -> tuple[Inquiry, int]:
    """Return an inquiry after its verdict, and how many more requests it wants."""
    inquiry = Inquiry(Facts(QUESTION))
    inquiry.add(first)
    inquiry.begin(first)
    return inquiry, inquiry.more(verdict, first)


def sent(share: float, seed: int) -> int:
    """Return the requests after the verdict, for green's share."""
    rng = np.random.default_rng(seed)
    first = look(round(60 * share), 60 - round(60 * share))
    inquiry, more = begun(Verdict.MISMATCH, first)
    total = 0
    while more:
        green = int(rng.binomial(more, share))
        new = look(green, more - green)
        total += more
        inquiry.add(new)
        more = inquiry.more(Verdict.MISMATCH, new)
    return total


def test_it_ends_when_the_cause_is_known() -> None:
    inquiry, more = begun(Verdict.MISMATCH, look(0, 60))
    assert inquiry.after == 60
    assert 0 < more <= 50
    new = look(0, 600)
    inquiry.add(new)
    assert inquiry.more(Verdict.MISMATCH, new) == 0


def test_it_waits_a_while_before_it_gives_up() -> None:
    inquiry, more = begun(Verdict.MISMATCH, look(6750, 3250))  # nothing fits these
    assert more
    new = look(135, 65)
    inquiry.add(new)
    assert inquiry.more(Verdict.MISMATCH, new) == 0


def test_it_is_bounded_in_requests_and_in_time() -> None:
    assert sent(0.475, 1) <= MOST_REQUESTS
    inquiry, more = begun(Verdict.MISMATCH, look(30, 30))
    assert more
    new = look(1, 1, elapsed=0.1 + MOST_SECONDS)
    inquiry.add(new)
    assert inquiry.more(Verdict.MISMATCH, new) == 0


def test_it_looks_for_a_cause_now_and_then() -> None:
    inquiry, more = begun(Verdict.MISMATCH, look(30, 30))
    new = look(1, 0)
    inquiry.add(new)
    assert inquiry.more(Verdict.MISMATCH, new) == more - 1


def test_a_failing_gateway_is_asked_until_it_is_known_which_variant_fails() -> None:
    inquiry, more = begun(Verdict.FAILING, look(0, 15, 5))
    assert more
    new = look(0, 750, 250)
    inquiry.add(new)
    assert inquiry.more(Verdict.FAILING, new) == 0


@pytest.mark.slow
@pytest.mark.parametrize(("share", "most"), [(0.0, 600), (0.5, 2000), (0.36, 2500)])
def test_a_cause_takes_some_hundreds_of_requests(share: float, most: int) -> None:
    assert np.median([sent(share, seed) for seed in range(100)]) <= most
