"""First passages: against what is known exactly, and by another way."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.special import ndtr
from scipy.stats import binom

from trafficsplit.analysis.evidence import Floats
from trafficsplit.analysis.first_passage import (
    EXCESS,
    Passage,
    by_tangents,
    chance_beyond,
    crossings,
    exactly,
    surely,
)


def test_quantiles_and_mean_of_a_geometric_passage() -> None:
    n = np.arange(1.0, 2000)
    passage = Passage(n, 0.99**n, whole=True)
    assert passage.quantile(0.5) == math.ceil(math.log(0.5) / math.log(0.99))
    assert passage.mean == pytest.approx(100)
    assert passage.mean_from(300) == pytest.approx(300 + 100 * 0.99**300)


def test_between_numbers_of_responses_a_curve_is_drawn() -> None:
    n = np.geomspace(1, 4000, 100)
    passage = Passage(n, np.exp(-n / 100))
    assert passage.quantile(0.5) == pytest.approx(100 * math.log(2), rel=1e-6)
    assert passage.quantile(0.999) == pytest.approx(100 * math.log(1000), rel=1e-6)
    assert passage.mean == pytest.approx(100, rel=0.01)
    assert passage.mean_from(200) == pytest.approx(200 + 100 * math.exp(-2), rel=0.01)


def test_what_may_never_pass_has_no_end() -> None:
    passage = Passage(np.array([1.0, 10.0]), np.array([1.0, 0.4]))
    assert passage.quantile(0.5) < 10
    assert passage.quantile(0.7) == math.inf
    assert passage.mean == math.inf


def test_what_passes_surely_does_so_at_once() -> None:
    assert {surely(26.0).quantile(q) for q in (0.01, 0.5, 0.999)} == {26.0}
    assert surely(26.0).mean == pytest.approx(26)


def test_the_crossing_of_evidence_is_found_where_there_is_one() -> None:
    def evidence(own: Floats, n: Floats) -> Floats:
        return own - n / 2

    n = np.array([2.0, 10.0, 100.0])
    found = crossings(evidence, n, n / 2, n, 3.0)
    assert math.isnan(found[0])  # all are not enough
    assert found[1:] == pytest.approx([8, 53], abs=1e-6)


@pytest.mark.parametrize("above", [True, False])
def test_chances_beyond_a_boundary_are_binomial(above: bool) -> None:
    n = np.full(101, 100.0)
    counts = np.arange(101.0)
    chances = chance_beyond(n, 0.3, counts, above=above)
    # In the middle between those of the whole numbers on either side.
    if above:
        low = binom.sf(counts, 100, 0.3)
        high = binom.sf(counts - 1, 100, 0.3)
    else:
        low = binom.cdf(counts - 1, 100, 0.3)
        high = binom.cdf(counts, 100, 0.3)
    assert (chances >= low - 1e-12).all()
    assert (chances <= high + 1e-12).all()
    assert chance_beyond(n[:1], 0.3, np.array([math.nan]), above=above) == [0.0]


def test_the_tangent_of_a_straight_line_is_the_line_itself() -> None:
    n = np.geomspace(1, 10_000, 400)
    start = 20.0
    drift = 0.1
    root = np.sqrt(n)
    near = (drift * n - start) / root
    passage = by_tangents(n, ndtr(near))
    # Inverse Gaussian (Wald 1947), with the excess.
    start += EXCESS
    near = (drift * n - start) / root
    exact = 1 - ndtr(near) - np.exp(2 * drift * start) * ndtr(-(drift * n + start) / root)
    assert passage.late == pytest.approx(exact, abs=2e-3)
    assert passage.mean == pytest.approx(start / drift, rel=0.01)


def test_draw_by_draw_is_what_a_simulation_finds_and_tangents_are_near() -> None:
    share = 0.4
    n = np.arange(1.0, 601)
    boundary = 0.3 * n + 6
    exact = exactly(share, boundary, above=True)
    rng = np.random.default_rng(5)
    counts = (rng.random((4000, 600)) < share).cumsum(axis=1)
    passed = counts >= boundary
    assert passed.any(axis=1).all()
    took = passed.argmax(axis=1) + 1
    assert exact.mean == pytest.approx(took.mean(), rel=0.03)
    for q in (0.1, 0.5, 0.9):
        assert exact.quantile(q) == pytest.approx(np.quantile(took, q), rel=0.05)
    tangents = by_tangents(n, chance_beyond(n, share, boundary, above=True))
    assert tangents.mean == pytest.approx(exact.mean, rel=0.03)
    assert tangents.quantile(0.9) == pytest.approx(exact.quantile(0.9), rel=0.05)


def test_below_is_above_seen_from_the_other_variant() -> None:
    n = np.arange(1.0, 200)
    boundary = 0.3 * n + 6
    boundary[:20] = math.nan
    above = exactly(0.4, boundary, above=True)
    below = exactly(0.6, n - boundary, above=False)
    assert above.late == pytest.approx(below.late)
    assert above.late[:20] == pytest.approx(1)
