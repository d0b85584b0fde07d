import random

import pytest

from tests.support.runs import having, made
from trafficsplit.analysis.run import Run, Stretch
from trafficsplit.analysis.stationarity import change_in
from trafficsplit.analysis.tally import Tally


def run_of(shares: list[float], each: int = 100, seed: int = 1) -> Run:
    """Return a run in stretches of a tenth of a second, each with its own share of green."""
    rng = random.Random(seed)
    stretches = []
    for number, share in enumerate(shares):
        green = sum(rng.random() < share for _ in range(each))
        tally = Tally({"blue": each - green, "green": green})
        stretches.append(Stretch(number / 10, (number + 1) / 10, tally))
    return having(made({"blue": 1, "green": 1}), stretches=stretches)


@pytest.mark.parametrize(("old", "new"), [(0.0, 0.25), (0.25, 0.40), (1.0, 0.0), (0.25, 0.0)])
@pytest.mark.parametrize("at", [3, 20, 36])
def test_a_change_is_found_with_its_time_and_its_shares(old: float, new: float, at: int) -> None:
    covered = 0
    for seed in range(40):
        change = change_in(run_of([old] * at + [new] * (40 - at), seed=seed))
        assert change is not None or abs(old - new) < 0.2
        if change is None:
            covered += 1
            continue
        covered += change.earliest <= at / 10 <= change.latest
        assert change.before["green"] == pytest.approx(old, abs=0.15)
        assert change.after["green"] == pytest.approx(new, abs=0.15)
    assert covered >= 39


def test_a_split_that_is_wrong_throughout_has_not_changed() -> None:
    assert sum(change_in(run_of([0.4] * 60, seed=seed)) is not None for seed in range(300)) <= 2


def test_what_comes_and_goes_is_not_one_change() -> None:
    once = change_in(run_of([0.1] * 30 + [0.4] * 30))
    again = change_in(run_of([0.1, 0.4] * 30))
    assert once is not None
    assert once.steady
    assert again is None or not again.steady


def test_there_is_nothing_to_find_in_nothing() -> None:
    assert change_in(run_of([])) is None
    assert change_in(run_of([0.25])) is None
    assert change_in(run_of([0.0] * 50)) is None


def test_gateways_that_learn_late_mix_old_and_new_for_a_while() -> None:
    covered = 0
    for seed in range(40):  # three gateways, which learn at 2.0, 2.6 and 3.1 seconds
        shares = [0.0] * 20 + [1 / 3] * 6 + [2 / 3] * 5 + [1.0] * 20
        change = change_in(run_of(shares, seed=seed))
        assert change is not None
        covered += change.earliest <= 3.1 <= change.latest
        assert change.began == pytest.approx(2.0, abs=0.1)
        assert change.mixed == pytest.approx(1.1, abs=0.2)
        assert change.steady
        assert (change.before["green"], change.after["green"]) == (0.0, 1.0)
    assert covered >= 39


def test_a_change_at_once_is_hardly_ever_taken_for_a_mixture() -> None:
    found = [change_in(run_of([0.25] * 30 + [0.5] * 30, seed=seed)) for seed in range(200)]
    assert sum(change is None or change.mixed > 0 for change in found) <= 4
