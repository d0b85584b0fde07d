import csv
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import scipy.stats
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy.special import xlogy

from trafficsplit.analysis import fixed
from trafficsplit.analysis.fixed import chi_square, clopper_pearson
from trafficsplit.analysis.split import Split

REFERENCE = Path(__file__).with_name("reference")


def reference(name: str) -> list[dict[str, str]]:
    with (REFERENCE / name).open() as file:
        return list(csv.DictReader(file))


def numbers(text: str) -> list[float]:
    return [float(part) for part in text.split(";")]


def split_and_counts(row: dict[str, str]) -> tuple[Split, dict[str, int]]:
    split = Split({f"v{i}": w for i, w in enumerate(numbers(row["weights"]))})
    return split, {f"v{i}": int(x) for i, x in enumerate(numbers(row["counts"]))}


@pytest.mark.parametrize("row", reference("fixed_sample_tests.csv"))
def test_the_statistics_are_scipys(row: dict[str, str]) -> None:
    split, counts = split_and_counts(row)
    test = chi_square(counts, split)
    assert test.statistic == pytest.approx(float(row["chi_square"]), rel=1e-8, abs=1e-8)
    assert test.dof == int(row["dof"])
    assert test.g_statistic == pytest.approx(float(row["g"]), rel=1e-8, abs=1e-8)
    if test.dof == 1:  # exact, and not by the distribution of chi-square
        assert test.method == "exact"
    else:
        assert test.p_value == pytest.approx(float(row["chi_square_p"]), rel=1e-6)
        assert test.g_p_value == pytest.approx(float(row["g_p"]), rel=1e-6)


def two_tails(x: int, n: int, w: float, statistic: Callable[[float], float]) -> float:
    """Return the probability of all outcomes that are at least as odd, by enumeration."""
    k = np.arange(n + 1)
    odd = [statistic(float(one)) >= statistic(float(x)) * (1 - 1e-9) for one in k]
    return float(scipy.stats.binom.pmf(k, n, w)[odd].sum())


@pytest.mark.parametrize("weight", [0.25, 0.5, 0.03, 0.9])
@pytest.mark.parametrize("n", [1, 7, 60, 500])
def test_two_variants_have_exact_p_values_at_any_expected_count(weight: float, n: int) -> None:
    split = Split({"a": weight, "b": 1 - weight})
    expected = n * weight

    def g(k: float) -> float:
        return 2 * float(xlogy(k, k / expected) + xlogy(n - k, (n - k) / (n - expected)))

    for x in {0, n // 4, n // 2, n - 1, n}:
        test = chi_square({"a": x, "b": n - x}, split)
        theirs = two_tails(x, n, weight, lambda k: (k - expected) ** 2)
        assert test.p_value == pytest.approx(theirs, rel=1e-8, abs=0)
        assert test.g_p_value == pytest.approx(two_tails(x, n, weight, g), rel=1e-8, abs=0)
        assert test.method == "exact"


def test_a_far_tail_is_not_chi_squares() -> None:
    # 25 % of 2,000, and 680 seen
    test = chi_square({"blue": 1320, "green": 680}, Split({"blue": 75, "green": 25}))
    theirs = scipy.stats.binom.cdf(320, 2000, 0.25) + scipy.stats.binom.sf(679, 2000, 0.25)
    assert test.p_value == pytest.approx(theirs, rel=1e-8, abs=0)
    assert scipy.stats.chi2.sf(test.statistic, 1) < test.p_value / 5


@pytest.mark.parametrize("n", [10**7, 10**12])
def test_exact_p_values_of_huge_counts_are_about_chi_squares(n: int) -> None:
    x = round(n * 0.25 + 2.5 * math.sqrt(n * 0.25 * 0.75))
    test = chi_square({"blue": n - x, "green": x}, Split({"blue": 75, "green": 25}))
    assert test.p_value == pytest.approx(scipy.stats.chi2.sf(test.statistic, 1), rel=0.01)
    assert test.g_p_value == pytest.approx(test.p_value, rel=0.01)


def test_one_response_of_weight_zero_is_no_chance() -> None:
    test = chi_square({"blue": 10**6, "green": 1}, Split({"blue": 1, "green": 0}))
    assert (test.statistic, test.p_value) == (math.inf, 0)
    assert chi_square({"red": 1, "blue": 9}, Split({"blue": 1})).p_value == 0


def test_small_samples_are_judged_exactly() -> None:
    # Pearson's test at a nominal .001 has size .0138 here: the exact one must keep its level.
    split = Split({"a": 99, "b": 1})
    n = 50
    size = 0.0
    for x in range(n + 1):
        if chi_square({"a": n - x, "b": x}, split).p_value <= 0.001:
            size += math.comb(n, x) * 0.01**x * 0.99 ** (n - x)
    assert 0 < size <= 0.001


@pytest.fixture
def few_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fixed, "DRAWS", 2000)


@pytest.mark.usefixtures("few_draws")
def test_monte_carlo_keeps_its_level_too() -> None:
    split = Split({"a": 0.9, "b": 0.09, "c": 0.005, "d": 0.005})
    rng = np.random.default_rng(7)
    p = [
        chi_square(dict(zip("abcd", map(int, draw), strict=True)), split).p_value
        for draw in rng.multinomial(200, list(split.weights.values()), size=600)
    ]
    assert np.mean(np.array(p) <= 0.05) <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / 600)


@given(st.integers(0, 400), st.integers(0, 400))
def test_clopper_pearson_holds_the_share(x: int, others: int) -> None:
    low, high = clopper_pearson(x, x + others, 0.01)
    share = x / (x + others) if x + others else 0.5
    assert 0 <= low <= share <= high <= 1


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@pytest.mark.usefixtures("few_draws")
@given(
    st.lists(st.integers(0, 10**12), min_size=2, max_size=5),
    st.lists(st.integers(1, 1000), min_size=5, max_size=5),
)
def test_any_counts_have_a_p_value(counts: list[int], weights: list[int]) -> None:
    split = Split({f"v{i}": weights[i] for i in range(len(counts))})
    test = chi_square({f"v{i}": x for i, x in enumerate(counts)}, split)
    assert 0 <= test.p_value <= 1
    assert 0 <= test.g_p_value <= 1
    assert test.statistic >= 0
