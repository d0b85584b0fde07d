"""Which exact splits are supported: by hand, and by simulation."""

import math

import numpy as np
import pytest

from trafficsplit.analysis.causes.weighing import (
    RESOLUTION,
    Candidate,
    differ,
    fits,
    is_supported,
    log_likelihood,
    weigh,
)

EQUAL = {"blue": 0.5, "green": 0.5}
BLUE_ONLY = {"blue": 1.0, "green": 0.0}


def counts(n: int, green: float) -> dict[str, int]:
    return {"blue": n - round(n * green), "green": round(n * green)}


def candidate(name: str, green: float, prior: float = 0.1) -> Candidate:
    return Candidate(name, {"blue": 1 - green, "green": green}, f"do {name}", prior)


def test_what_the_counts_rule_out_does_not_fit() -> None:
    assert fits(counts(300, 0.5), EQUAL)
    assert not fits(counts(500, 0.4), EQUAL)
    assert fits(counts(300, 0), BLUE_ONLY)
    assert not fits({"blue": 300, "green": 1}, BLUE_ONLY)
    assert not fits({"blue": 300, "red": 1}, EQUAL)


def test_a_likelihood_is_that_of_a_sequence() -> None:
    assert log_likelihood({"blue": 3, "green": 1}, EQUAL) == pytest.approx(4 * math.log(0.5))
    assert log_likelihood({"blue": 3, "green": 1}, BLUE_ONLY) == -math.inf


def test_what_fits_is_not_supported_yet() -> None:
    assert fits(counts(300, 0.5), EQUAL)
    assert not is_supported(counts(300, 0.5), EQUAL)
    assert is_supported(counts(1000, 0.5), EQUAL)
    assert not is_supported(counts(1000, 0.45), EQUAL)


def test_a_share_of_nothing_is_told_apart_from_one_per_cent() -> None:
    assert not is_supported(counts(458, 0), BLUE_ONLY)
    assert is_supported(counts(459, 0), BLUE_ONLY)  # .99^459 = .0099


def test_splits_differ_by_the_resolution() -> None:
    assert differ(EQUAL, {"blue": 0.551, "green": 0.449})
    assert not differ(EQUAL, {"blue": 0.549, "green": 0.451})
    assert differ(BLUE_ONLY, {"blue": 0.99, "green": 0.01})


def test_the_one_that_stands_out_is_found() -> None:
    weighing = weigh(counts(1500, 0.5), [candidate("equal", 0.5), candidate("less", 0.3)])
    assert [one.candidate.name for one in weighing.fitting] == ["equal"]
    assert weighing.found is not None
    assert weighing.found.candidate.name == "equal"


def test_two_with_the_same_shares_are_rivals() -> None:
    weighing = weigh(
        counts(1500, 0.5), [candidate("one", 0.5), candidate("other", 0.5, prior=0.01)]
    )
    assert [one.candidate.name for one in weighing.rivals] == ["one", "other"]
    assert weighing.found is None


def test_a_rare_question_is_no_rival_of_a_usual_cause() -> None:
    rare = Candidate("rare", EQUAL, "is it?", prior=0.001, asks=True)
    weighing = weigh(counts(1500, 0.5), [candidate("equal", 0.5), rare])
    assert [one.candidate.name for one in weighing.rivals] == ["equal"]


def test_nothing_is_found_where_nothing_fits() -> None:
    weighing = weigh(counts(1500, 0.5), [candidate("less", 0.3)])
    assert not weighing.fitting
    assert not weighing.rivals
    assert weighing.found is None


@pytest.mark.slow
@pytest.mark.parametrize("share", [0.5, 0.25, 0.05])
def test_a_split_at_the_edge_is_supported_once_in_a_hundred_at_most(share: float) -> None:
    # Looked at every 50 requests up to 4,000, in 2,000 runs at each end of the band.
    rng = np.random.default_rng(14)
    shares = {"blue": 1 - share, "green": share}
    for sign in (-1, 1):
        edge = math.sin(math.asin(math.sqrt(share)) + sign * RESOLUTION / 2) ** 2
        wrong = 0
        for _ in range(2000):
            green = rng.binomial(50, edge, 80).cumsum()
            looks = zip(range(50, 4001, 50), green.tolist(), strict=True)
            wrong += any(is_supported({"blue": n - x, "green": x}, shares) for n, x in looks)
        assert wrong <= 2000 * 0.01 + 3 * math.sqrt(2000 * 0.01)


@pytest.mark.slow
@pytest.mark.parametrize("share", [0.5, 0.25, 0.05])
def test_the_right_split_is_supported_within_the_requests_of_an_inquiry(share: float) -> None:
    rng = np.random.default_rng(15)
    shares = {"blue": 1 - share, "green": share}
    right = 0
    for _ in range(1000):
        green = rng.binomial(50, share, 80).cumsum()
        looks = zip(range(50, 4001, 50), green.tolist(), strict=True)
        right += any(is_supported({"blue": n - x, "green": x}, shares) for n, x in looks)
    assert right >= 970
