"""Which variant lost requests were for: by hand, and by simulation."""

from collections import Counter

import numpy as np
import pytest

from trafficsplit.analysis.causes.lost_to import EVERY_VARIANT, Lost, lost_to
from trafficsplit.analysis.split import Split
from trafficsplit.analysis.tally import Tally

SPLIT = Split({"blue": 75, "green": 25})
THREE = Split({"v1": 50, "v2": 30, "v3": 20})


def tally(blue: int, green: int, errors: int = 0) -> Tally:
    return Tally({"blue": blue, "green": green}, errors=errors)


def test_nothing_lost_is_nobodys() -> None:
    assert lost_to(SPLIT, Lost(tally(750, 250))) is None


def test_one_variant_alone_cannot_be_told_apart() -> None:
    assert lost_to(Split({"blue": 1}), Lost(Tally({"blue": 750}, errors=250))) is None


def test_what_is_missing_in_a_share_is_that_variants() -> None:
    assert lost_to(SPLIT, Lost(tally(750, 0, 250))) == "green"
    assert lost_to(SPLIT, Lost(tally(750, 120, 130))) == "green"
    assert lost_to(SPLIT, Lost(tally(100, 250, 650))) == "blue"
    assert lost_to(THREE, Lost(Tally({"v1": 500, "v2": 300}, errors=200))) == "v3"


def test_counts_that_keep_their_ratio_lose_alike() -> None:
    assert lost_to(SPLIT, Lost(tally(750, 250, 500))) == EVERY_VARIANT
    assert lost_to(SPLIT, Lost(tally(0, 0, 500))) == EVERY_VARIANT


def test_a_few_say_nothing() -> None:
    assert lost_to(SPLIT, Lost(tally(15, 0, 5))) is None
    assert lost_to(SPLIT, Lost(tally(0, 0, 19))) is None


def test_another_split_is_something_else() -> None:
    assert lost_to(SPLIT, Lost(tally(600, 400, 50))) is None


def test_errors_that_name_their_variant_are_its_own() -> None:
    named = Lost(tally(750, 230, 20), {"green": 20})
    assert lost_to(SPLIT, named) == "green"
    assert lost_to(SPLIT, Lost(tally(700, 235, 65), {"blue": 50, "green": 15})) == EVERY_VARIANT


FAILING = {  # the share of requests that blue and green lose, and of whom it is
    "green is down": ((0.0, 1.0), "green"),
    "green fails half": ((0.0, 0.5), "green"),
    "blue fails half": ((0.5, 0.0), "blue"),
    "half of all fail": ((0.5, 0.5), EVERY_VARIANT),
}


@pytest.mark.slow
@pytest.mark.parametrize("case", FAILING)
def test_the_right_variant_is_named_and_no_other(case: str) -> None:
    rates, expected = FAILING[case]
    rng = np.random.default_rng(14)
    found: Counter[str | None] = Counter()
    for _ in range(1000):
        asked = rng.multinomial(2000, [0.75, 0.25])
        lost = rng.binomial(asked, rates)
        blue, green = (asked - lost).tolist()
        found[lost_to(SPLIT, Lost(tally(blue, green, int(lost.sum()))))] += 1
    assert found[expected] >= 950
    assert found[expected] + found[None] >= 990
