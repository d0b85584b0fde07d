import csv
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from trafficsplit.analysis import fixed
from trafficsplit.analysis.fixed import chi_square, clopper_pearson, power, sample_size
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
    assert test.p_value == pytest.approx(float(row["chi_square_p"]), rel=1e-6)
    assert test.g_statistic == pytest.approx(float(row["g"]), rel=1e-8, abs=1e-8)
    assert test.g_p_value == pytest.approx(float(row["g_p"]), rel=1e-6)


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


@pytest.mark.parametrize(("truth", "expected"), [(0.30, 1903), (0.27, 11542)])
def test_the_sample_size_is_exact(truth: float, expected: int) -> None:
    # Values of DESIGN.md 4: alpha .01, power .99, weight .25.
    split = Split({"blue": 75, "green": 25})
    assert sample_size(split, truth - 0.25, 0.01, 0.99) == expected
    assert power(split, truth - 0.25, 0.01, expected) >= 0.99


def test_the_power_is_what_a_simulation_finds() -> None:
    split = Split({"a": 0.5, "b": 0.3, "c": 0.2})
    n = 3000
    rng = np.random.default_rng(3)
    # a is off by .03, the others in proportion
    truth = [0.53, 0.3 * 0.94, 0.2 * 0.94]
    found = [
        chi_square(dict(zip("abc", map(int, draw), strict=True)), split).p_value < 0.01
        for draw in rng.multinomial(n, truth, size=3000)
    ]
    promised = power(split, 0.03, 0.01, n)
    assert abs(np.mean(found) - promised) < 0.03


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
