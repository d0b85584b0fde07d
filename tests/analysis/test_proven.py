import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.runs import having, made
from trafficsplit.analysis.order import OrderRecorder
from trafficsplit.analysis.proven import proven_by, proven_within
from trafficsplit.analysis.sequential import SequentialTest
from trafficsplit.analysis.split import Split

CANARY = Split({"blue": 75, "green": 25})
THREE = Split({"blue": 50, "green": 30, "red": 20})


def proven(counts: dict[str, int], split: Split = CANARY, lost: int = 0) -> float:
    found = proven_within(counts, split, 0.01, lost=lost)
    assert found is not None
    return found


def test_nothing_proves_nothing() -> None:
    assert proven_within({}, CANARY, 0.01) is None
    assert proven_within({"blue": 0}, CANARY, 0.01) is None


def test_few_responses_prove_what_is_always_true() -> None:
    assert proven({"blue": 1, "green": 0}) > 0.7
    assert proven({"blue": 0, "green": 1}) > 0.7


def test_more_responses_prove_less_deviation() -> None:
    sizes = (100, 1000, 6000, 100_000, 10**9)
    found = [proven({"blue": 3 * n // 4, "green": n // 4}) for n in sizes]
    assert found == sorted(found, reverse=True)
    assert found[2] == pytest.approx(0.0175, abs=0.001)
    assert found[-1] < 1e-4


def test_a_share_that_is_off_is_proven_within_no_less() -> None:
    for green in (260_000, 300_000, 0, 10**6):
        counts = {"blue": 10**6 - green, "green": green}
        assert proven(counts) >= abs(green / 10**6 - 0.25)


def test_all_to_one_variant_is_the_bound_of_weight_zero() -> None:
    rollback = Split({"blue": 1, "green": 0})
    # (1 − δ)^n = α, but for the part of the evidence that bets on another share
    found = proven({"blue": 4603}, rollback)
    assert 0.001 < found < 0.00106
    assert proven({"blue": 4000, "green": 40}, rollback) > 0.01
    assert proven({"blue": 4000, "red": 40}, Split({"blue": 1})) > 0.01


def test_lost_responses_count_as_anyones() -> None:
    counts = {"blue": 7500, "green": 2500}
    assert proven(counts, lost=100) > proven(counts) + 0.005


def test_draws_that_depend_on_one_another_prove_less() -> None:
    counts = {"blue": 7500, "green": 2500}
    scaled = proven_within(counts, CANARY, 0.01, scale=4)
    assert scaled is not None
    assert scaled == pytest.approx(2 * proven(counts), rel=0.1)


@given(st.lists(st.integers(0, 10**12), min_size=3, max_size=3))
def test_any_counts_prove_something_between_the_share_and_everything(counts: list[int]) -> None:
    named = dict(zip(THREE, counts, strict=True))
    n = sum(counts)
    found = proven_within(named, THREE, 0.01)
    if not n:
        assert found is None
        return
    assert found is not None
    off = max(abs(count / n - THREE[name]) for name, count in named.items())
    assert off - 1e-12 <= found <= 0.8 + 1e-12


def test_it_is_smaller_than_what_the_confidence_sequence_says() -> None:
    rng = np.random.default_rng(1)
    ratios = []
    for green in rng.binomial(6000, 0.25, 100).tolist():
        counts = {"blue": 6000 - green, "green": green}
        test = SequentialTest(CANARY)
        test.update(counts)
        low, high = test.confidence("green")
        ratios.append(proven(counts) / max(high - 0.25, 0.25 - low))
    assert np.median(ratios) < 0.95


@pytest.mark.slow
@pytest.mark.parametrize(
    ("split", "shares"),
    [
        (CANARY, (0.75, 0.25)),
        (CANARY, (0.74, 0.26)),
        (CANARY, (0.80, 0.20)),
        (Split({"blue": 95, "green": 5}), (0.94, 0.06)),
        (THREE, (0.5, 0.28, 0.22)),
    ],
)
def test_it_is_hardly_ever_below_the_true_deviation_at_any_time(
    split: Split, shares: tuple[float, ...]
) -> None:
    """Looked at 25 times from 10 to 30,000 responses; wrong if it is ever too small."""
    rng = np.random.default_rng(2)
    names = list(split)
    truth = max(abs(q - split[name]) for q, name in zip(shares, names, strict=True))
    looks = np.unique(np.geomspace(10, 30_000, 25).astype(int))
    steps = np.diff(looks, prepend=0)
    runs = 120
    wrong = 0
    for _ in range(runs):
        totals = np.cumsum([rng.multinomial(step, shares) for step in steps], axis=0)
        wrong += any(
            (proven_within(dict(zip(names, row, strict=True)), split, 0.05) or 1.0) < truth
            for row in totals.tolist()
        )
    assert wrong <= 0.05 * runs + 3 * math.sqrt(0.05 * 0.95 * runs)


def test_a_run_whose_responses_depend_on_one_another_proves_less() -> None:
    run = made({"blue": 7500, "green": 2500})
    rng = np.random.default_rng(4)
    chosen = np.zeros(10_000, int)
    for place in range(1, 10_000):  # each response is as the one before it in 40 % of the cases
        again = rng.random() < 0.4
        chosen[place] = chosen[place - 1] if again else int(rng.random() < 0.25)
    recorder = OrderRecorder()
    recorder.extend(["blue", "green"], chosen, np.zeros(10_000, np.int64))
    dependent = having(run, order=recorder.order)
    independent = proven_by(run)
    assert independent == pytest.approx(proven({"blue": 7500, "green": 2500}))
    found = proven_by(dependent)
    assert found is not None
    assert found > 1.3 * proven({"blue": 7500, "green": 2500})
