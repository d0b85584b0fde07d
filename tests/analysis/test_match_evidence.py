"""The evidence for a match, piece by piece; test_sequential.py has its error rates."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trafficsplit.analysis.evidence import Edge
from trafficsplit.analysis.match_evidence import EdgeEvidence, MatchEvidence, ZeroBound
from trafficsplit.analysis.question import Question
from trafficsplit.analysis.running_counts import RunningCounts
from trafficsplit.analysis.split import Split

CANARY = Split({"blue": 75, "green": 25})
THRESHOLD = math.log(100)


def counts_of(split: Split = CANARY, *, lost: int = 0, **by_variant: int) -> RunningCounts:
    counts = RunningCounts(split)
    counts.add(by_variant, errors=lost)
    return counts


def log_evidence(edge: Edge, blue: int, green: int, lost: int = 0) -> float:
    evidence = EdgeEvidence([edge], [0.75, 0.25], 0.02)
    counts = np.array([[blue, green]], dtype=float)
    return float(evidence.log_evidence(counts, np.array([float(lost)]))[0, 0])


@pytest.mark.parametrize(("share", "above"), [(0.23, False), (0.27, True)])
def test_an_edge_is_a_mixture_of_likelihood_ratios_of_points_inside_the_band(
    share: float, above: bool
) -> None:
    mixed = 0.0
    for part, mass in (
        (0.0, 0.8),
        *((part, 0.2 / 6) for part in (-0.85, -0.6, -0.3, 0.3, 0.6, 0.85)),
    ):
        point = 0.25 + part * 0.02
        ratio = 250 * math.log(point / share) + 750 * math.log((1 - point) / (1 - share))
        mixed += mass * math.exp(ratio)
    assert log_evidence(Edge(1, share, above), 750, 250) == pytest.approx(math.log(mixed))


@pytest.mark.parametrize(("share", "above"), [(0.23, False), (0.27, True)])
def test_unknown_requests_do_the_most_harm(share: float, above: bool) -> None:
    edge = Edge(1, share, above)
    harmed = log_evidence(edge, 750, 250, lost=10)
    each = [log_evidence(edge, 760, 250), log_evidence(edge, 750, 260)]
    assert harmed == pytest.approx(min(each))


def test_a_share_past_the_middle_of_its_half_band_is_a_match() -> None:
    counts = counts_of(blue=738 * 10**9, green=262 * 10**9)
    assert MatchEvidence(Question(CANARY, 0.02)).look(counts)
    outside = counts_of(blue=729 * 10**9, green=271 * 10**9)
    assert not MatchEvidence(Question(CANARY, 0.02)).look(outside)


def test_the_zero_bound_is_that_of_clopper_and_pearson() -> None:
    bound = ZeroBound(0.001)
    needed = Question(Split({"blue": 1, "green": 0}), 0.02).requests_for_zero
    assert needed == 4603
    assert bound.log_evidence(needed, 0) >= THRESHOLD
    assert bound.log_evidence(needed - 1, 0) < THRESHOLD
    assert math.ceil(bound.least_more(400, 0, THRESHOLD)) == needed - 400
    # The upper end of Clopper and Pearson's interval for 1 of 6,636 is 0.1 % (scipy.stats).
    assert bound.log_evidence(6640, 1) >= THRESHOLD
    assert bound.log_evidence(6600, 1) < THRESHOLD
    assert bound.log_evidence(10**12, 1) >= THRESHOLD


def test_a_match_is_about_each_gateway() -> None:
    question = Question(CANARY, 0.02, gateways=2)
    evidence = MatchEvidence(question)
    counts = RunningCounts(CANARY, gateways=2)
    counts.add({"blue": 75_000, "green": 25_000}, gateway=0)
    counts.add({"blue": 750, "green": 250}, gateway=1)
    assert not evidence.look(counts)
    counts.add({"blue": 74_000, "green": 25_000}, gateway=1)
    assert evidence.look(counts)


def test_an_edge_that_has_passed_counts_as_passed() -> None:
    evidence = MatchEvidence(Question(CANARY, 0.05))
    high = counts_of(blue=7100, green=2900)  # far from the low edge, near the high one
    assert not evidence.look(high)
    assert evidence.log_evidence(high) < THRESHOLD
    low = counts_of(blue=7900, green=2100)
    assert evidence.look(low)
    assert evidence.log_evidence(low) >= THRESHOLD


@given(st.integers(0, 3000), st.integers(0, 1500))
def test_no_fewer_responses_than_least_more_bring_a_match(blue: int, green: int) -> None:
    question = Question(CANARY, 0.05)
    evidence = MatchEvidence(question)
    counts = counts_of(blue=blue, green=green)
    if evidence.look(counts):
        return
    fewer = math.ceil(evidence.least_more(counts) - 1e-6) - 1
    for more_green in (0, fewer // 4, fewer):
        further = counts_of(blue=blue + fewer - more_green, green=green + more_green)
        assert not evidence.look(further)


def test_weights_0_and_1_have_no_edges() -> None:
    split = Split({"blue": 1, "green": 0})
    evidence = MatchEvidence(Question(split, 0.02))
    counts = counts_of(split, blue=100)
    assert evidence.log_evidence_by_edge(counts, 0) == {}
    assert evidence.log_evidence_by_edge(counts, 1) == {}
