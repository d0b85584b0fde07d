"""The evidence for each verdict, piece by piece; test_sequential.py has its error rates."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trafficsplit.analysis.evidence import Edge
from trafficsplit.analysis.question import Question
from trafficsplit.analysis.running_counts import RunningCounts
from trafficsplit.analysis.split import Split
from trafficsplit.analysis.verdict_evidence import (
    EdgeEvidence,
    FailingEvidence,
    MatchEvidence,
    MismatchEvidence,
    ZeroBound,
)

CANARY = Split({"blue": 75, "green": 25})
THRESHOLD = math.log(100)


def counts_of(split: Split = CANARY, *, lost: int = 0, **by_variant: int) -> RunningCounts:
    counts = RunningCounts(split)
    counts.add(by_variant, errors=lost)
    return counts


@pytest.mark.parametrize(("share", "above"), [(0.23, False), (0.27, True)])
def test_an_edge_is_a_likelihood_ratio_and_lost_requests_do_it_the_most_harm(
    share: float, above: bool
) -> None:
    edge = EdgeEvidence(Edge(1, share, above), 0.25)
    fair = edge.log_evidence(counts_of(blue=750, green=250))
    ratio = 250 * math.log(0.25 / share) + 750 * math.log(0.75 / (1 - share))
    assert fair == pytest.approx(ratio)
    harmed = edge.log_evidence(counts_of(blue=750, green=250, lost=10))
    assert harmed == pytest.approx(
        min(
            edge.log_evidence(counts_of(blue=760, green=250)),
            edge.log_evidence(counts_of(blue=750, green=260)),
        )
    )


def test_the_zero_bound_needs_so_many_responses_and_none_lost() -> None:
    split = Split({"blue": 1, "green": 0})
    bound = ZeroBound(0.001)
    needed = Question(split, 0.02).requests_for_zero
    assert bound.log_evidence(counts_of(split, blue=needed)) >= THRESHOLD
    assert bound.log_evidence(counts_of(split, blue=needed - 1)) < THRESHOLD
    assert bound.log_evidence(counts_of(split, blue=needed, lost=1)) == -math.inf
    assert math.ceil(bound.least_more(counts_of(split, blue=400), THRESHOLD)) == needed - 400


def test_an_edge_that_has_passed_counts_as_passed() -> None:
    evidence = MatchEvidence(Question(CANARY, 0.05))
    high = counts_of(blue=7250, green=2750)  # far from the low edge, near the high one
    assert not evidence.look(high)
    assert evidence.log_evidence(high) < THRESHOLD
    low = counts_of(blue=7750, green=2250)
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


def test_a_gateway_that_is_off_shows_in_the_mean() -> None:
    counts = RunningCounts(CANARY, gateways=2)
    counts.add({"blue": 800, "green": 200}, gateway=0)
    counts.add({"blue": 700, "green": 300}, gateway=1)
    evidence = MismatchEvidence(Question(CANARY, 0.02, gateways=2))
    each = evidence.log_evidence_by_gateway(counts)
    pooled = MismatchEvidence(Question(CANARY, 0.02)).log_evidence(counts)
    mean = math.log((math.exp(pooled) + (math.exp(each[0]) + math.exp(each[1])) / 2) / 2)
    assert evidence.log_evidence(counts) == pytest.approx(mean)
    assert evidence.log_evidence(counts) > pooled


def test_failing_is_shown_by_more_than_chance() -> None:
    evidence = FailingEvidence(Question(CANARY, 0.02, max_failing=0.01))
    assert not evidence.is_shown(counts_of(blue=75, green=25))
    assert not evidence.is_shown(counts_of(blue=75, green=25, lost=2))
    assert evidence.is_exceeded(counts_of(blue=75, green=25, lost=2))
    assert evidence.is_shown(counts_of(blue=750, green=250, lost=100))
    strict = FailingEvidence(Question(CANARY, 0.02, max_failing=0))
    assert strict.is_shown(counts_of(blue=750, green=250, lost=1))
    assert not strict.is_shown(counts_of(blue=750, green=250))
