import numpy as np
import pytest

from trafficsplit.analysis.fixed import chi_square
from trafficsplit.analysis.fixed_power import power, sample_size
from trafficsplit.analysis.split import Split
from trafficsplit.errors import InputError

CANARY = Split({"blue": 75, "green": 25})
UNEQUAL = Split({"a": 90, "b": 9, "c": 1})


def simulated(split: Split, shares: list[float], alpha: float, n: int, runs: int) -> float:
    """Return how often the test of samples with these shares has a p-value below alpha."""
    rng = np.random.default_rng(3)
    found = 0
    for draw in rng.multinomial(n, shares, size=runs).tolist():
        found += chi_square(dict(zip(split, draw, strict=True)), split).p_value < alpha
    return found / runs


def test_one_variant_has_no_power() -> None:
    with pytest.raises(InputError, match="needs two variants"):
        power(Split({"blue": 1, "green": 0}), 0.02, 0.01, 100)


@pytest.mark.parametrize("share", [0.22, 0.28])
def test_the_power_for_two_variants_is_that_of_the_exact_test(share: float) -> None:
    promised = power(CANARY, 0.03, 0.01, 1500)
    found = simulated(CANARY, [1 - share, share], 0.01, 1500, 3000)
    # the least over both directions
    assert promised < found + 0.03
    if share > 0.25:
        assert abs(found - promised) < 0.03


@pytest.mark.parametrize("n", [1903, 11542, 40, 3])
def test_small_and_large_samples_have_some_power(n: int) -> None:
    assert 0 <= power(CANARY, 0.05, 0.01, n) <= 1


@pytest.mark.parametrize("deviation", [0.02, 0.05, 0.2])
def test_the_sample_size_is_where_the_power_was_too_low_for_the_last_time(
    deviation: float,
) -> None:
    size = sample_size(CANARY, deviation, 0.01, 0.99)
    assert power(CANARY, deviation, 0.01, size - 1) < 0.99
    for n in range(size, size + 60):
        assert power(CANARY, deviation, 0.01, n) >= 0.99


def test_the_sample_size_is_near_chi_squares() -> None:
    # DESIGN.md 4, with the critical value of chi-square: 1,903 and 11,542
    assert sample_size(CANARY, 0.05, 0.01, 0.99) == pytest.approx(1903, rel=0.02)
    assert sample_size(CANARY, 0.02, 0.01, 0.99) == pytest.approx(11542, rel=0.01)


def test_a_size_too_large_to_be_exact_is_approximate() -> None:
    assert sample_size(CANARY, 0.001, 0.01, 0.99) == pytest.approx(4_506_000, rel=0.01)


def test_the_power_for_three_unequal_variants_is_what_a_simulation_finds() -> None:
    # The largest one off by 2 points is the hardest to see; the approximation says .34.
    n = 700
    promised = power(UNEQUAL, 0.02, 0.01, n)
    found = [
        simulated(UNEQUAL, [share, (1 - share) * 0.9, (1 - share) * 0.1], 0.01, n, 3000)
        for share in (0.88, 0.92)
    ]
    assert abs(min(found) - promised) < 0.03


@pytest.mark.slow
def test_the_power_for_three_variants_is_exact_at_small_expected_counts_too() -> None:
    n = 120  # of the third variant 1.2 are expected
    promised = power(UNEQUAL, 0.05, 0.01, n)
    found = [
        simulated(UNEQUAL, [share, (1 - share) * 0.9, (1 - share) * 0.1], 0.01, n, 600)
        for share in (0.85, 0.95)
    ]
    assert abs(min(found) - promised) < 0.04


def test_the_sample_size_for_three_variants_has_the_power() -> None:
    split = Split({"a": 5, "b": 3, "c": 2})
    size = sample_size(split, 0.03, 0.01, 0.9)
    assert power(split, 0.03, 0.01, size) >= 0.9
    assert power(split, 0.03, 0.01, int(size * 0.95)) < 0.9
    assert sample_size(split, 0.03, 0.01, 0.9) == size
