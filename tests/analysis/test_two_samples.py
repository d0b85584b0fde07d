import math
from collections import Counter

import numpy as np
import pytest
import scipy.stats
from numpy.typing import NDArray

from trafficsplit.analysis.bursts import Errors, independent_errors
from trafficsplit.analysis.latency import buckets_of
from trafficsplit.analysis.two_samples import most_errors, p_of_errors, p_of_quantile, p_of_ranks

Sample = NDArray[np.float64]
Z99 = 2.3263478740408408  # standard deviations above the mean that 1 % of a normal sample exceed


def buckets(milliseconds: Sample) -> Counter[int]:
    return Counter(buckets_of((milliseconds * 1000).astype(np.int64)).tolist())


def lognormal(
    rng: np.random.Generator, n: int, p99: float = 10.0, width: float = 0.5
) -> Counter[int]:
    """Return latencies with this p99, in milliseconds."""
    return buckets(p99 * np.exp(width * (rng.normal(size=n) - Z99)))


def test_the_rank_test_is_scipys() -> None:
    rng = np.random.default_rng(3)
    for factor in (1.0, 1.05, 2.0):
        one = lognormal(rng, 500, 10 * factor)
        other = lognormal(rng, 900)
        theirs = scipy.stats.mannwhitneyu(
            list(one.elements()), list(other.elements()), method="asymptotic"
        ).pvalue
        assert p_of_ranks(one, other) == pytest.approx(theirs, rel=1e-6)


def test_independent_errors_are_tested_as_scipys_binomial_does() -> None:
    theirs = scipy.stats.binomtest(9, 13, 2 * 500 / (2 * 500 + 1500), alternative="greater").pvalue
    ours = p_of_errors(independent_errors(9, 500), independent_errors(4, 1500), 2.0)
    assert ours == pytest.approx(theirs, rel=1e-9)
    assert p_of_errors(independent_errors(0, 500), independent_errors(4, 1500)) == 1
    assert p_of_errors(independent_errors(9, 500), independent_errors(0, 0)) == 1


def test_bursts_of_one_size_are_tested_as_so_many_single_errors() -> None:
    bursts = p_of_errors(Errors(180, 500, 20 * 180, 20), Errors(80, 1500, 20 * 80, 20), 2.0)
    single = p_of_errors(independent_errors(9, 500), independent_errors(4, 1500), 2.0)
    assert bursts == pytest.approx(single, rel=1e-9)


def test_no_errors_are_bounded_by_the_rule_of_three() -> None:
    assert most_errors(independent_errors(0, 1500), 0.01) == pytest.approx(-math.log(0.01) / 1500)
    assert most_errors(independent_errors(7, 7), 0.01) == 1
    assert most_errors(independent_errors(0, 0), 0.01) == 1
    # 19 single errors are surely fewer than 20 in one burst and 18 to come
    assert most_errors(independent_errors(19, 1500), 0.01) < 0.022
    assert most_errors(Errors(19, 1500, 19 * 19, 19), 0.01) > 0.06


def test_no_latencies_say_nothing() -> None:
    some = Counter({500: 3})
    assert p_of_quantile(some, {}, 0.99) == p_of_quantile({}, some, 0.99) == 1
    assert p_of_quantile(some, some, 0.99) > 0.9


@pytest.mark.slow
@pytest.mark.parametrize("sizes", [(1500, 4500), (4500, 1500), (600, 600)])
@pytest.mark.parametrize("widths", [(0.5, 0.5), (1.0, 0.1), (0.1, 1.0)])
@pytest.mark.parametrize("ratio", [1.0, 1.7])
def test_a_canary_at_the_allowed_ratio_is_seldom_called_slower(
    sizes: tuple[int, int], widths: tuple[float, float], ratio: float
) -> None:
    rng = np.random.default_rng(4)
    wrong = 0
    for _ in range(400):
        ours = lognormal(rng, sizes[0], 10 * ratio, widths[0])
        theirs = lognormal(rng, sizes[1], 10, widths[1])
        wrong += p_of_quantile(ours, theirs, 0.99, ratio) < 0.05
    assert wrong <= 32  # 5 % of 400, and three deviations of that


def test_a_canary_with_another_body_but_the_same_tail_is_not_called_slower() -> None:
    rng = np.random.default_rng(5)
    wrong = 0
    for _ in range(200):
        # Its median is double; of both, 1 % exceed 20 ms.
        ours = np.where(rng.random(1400) < 0.01, 20 + rng.random(1400), 8 + 8 * rng.random(1400))
        theirs = np.where(rng.random(4200) < 0.01, 20 + rng.random(4200), 4 + 4 * rng.random(4200))
        wrong += p_of_quantile(buckets(ours), buckets(theirs), 0.99) < 0.05
    assert wrong <= 20


def test_a_slow_tail_is_found_and_a_fast_one_is_shown() -> None:
    rng = np.random.default_rng(6)
    for _ in range(50):
        slow = lognormal(rng, 1400, 30)
        usual = lognormal(rng, 4200, 10)
        assert p_of_quantile(slow, usual, 0.99, 2.0) < 0.005
        assert p_of_quantile(usual, slow, 0.99, 1.0) > 0.5


def test_answers_that_come_in_groups_say_less() -> None:
    rng = np.random.default_rng(7)
    slow = lognormal(rng, 1400, 14)
    usual = lognormal(rng, 4200, 10)
    alone = p_of_quantile(slow, usual, 0.99)
    grouped = p_of_quantile(slow, usual, 0.99, dispersion=5)
    assert alone < grouped / 10
    # in ever larger groups, they say nothing in the end
    assert p_of_quantile(slow, usual, 0.99, dispersion=1000) > 0.5
