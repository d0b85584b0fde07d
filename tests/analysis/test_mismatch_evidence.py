"""The evidence for a mismatch and for failing, piece by piece."""

import math

import numpy as np
import pytest

from tests.analysis.test_match_evidence import CANARY, THRESHOLD, counts_of
from trafficsplit.analysis.mismatch_evidence import FailingEvidence, MismatchEvidence
from trafficsplit.analysis.question import Question
from trafficsplit.analysis.running_counts import RunningCounts
from trafficsplit.analysis.split import Split

QUESTION = Question(CANARY, 0.02)


def test_evidence_starts_anew_and_finds_a_share_that_has_left_its_band() -> None:
    evidence = MismatchEvidence(QUESTION)
    counts = counts_of(blue=3750, green=1250)
    evidence.begin_when_due(counts)
    assert evidence.log_evidence(counts) < 0
    counts.add({"blue": 900, "green": 100})
    assert evidence.log_evidence(counts) >= THRESHOLD
    alone = MismatchEvidence(QUESTION)
    assert alone.log_evidence(counts) < THRESHOLD


def test_all_starts_together_have_a_mass_of_one() -> None:
    rng = np.random.default_rng(3)
    evidence = MismatchEvidence(QUESTION)
    counts = counts_of(blue=0, green=0)
    assert evidence.log_evidence(counts) == pytest.approx(0, abs=1e-9)
    for _ in range(400):
        evidence.begin_when_due(counts)
        green = int(rng.binomial(500, 0.25))
        counts.add({"blue": 500 - green, "green": green})
    assert evidence.log_evidence(counts) < THRESHOLD


def test_lost_requests_do_the_most_harm_to_a_mismatch_too() -> None:
    question = Question(Split({"blue": 99, "green": 1}), 0.005)
    counts = RunningCounts(question.split)
    counts.add({"blue": 99_000, "green": 200}, errors=800)
    evidence = MismatchEvidence(question)
    assert evidence.log_evidence(counts) <= 0
    assert evidence.log_evidence(counts, harmed=False) > THRESHOLD


def test_the_previous_weights_are_the_likeliest_mismatch() -> None:
    previous = Split({"blue": 90, "green": 10})
    told = MismatchEvidence(Question(CANARY, 0.02, previous=previous))
    counts = counts_of(blue=90, green=10)
    assert told.log_evidence(counts) > MismatchEvidence(QUESTION).log_evidence(counts) + 0.5


def test_a_gateway_that_is_off_shows_in_the_mean() -> None:
    counts = RunningCounts(CANARY, gateways=2)
    counts.add({"blue": 800, "green": 200}, gateway=0)
    counts.add({"blue": 700, "green": 300}, gateway=1)
    evidence = MismatchEvidence(Question(CANARY, 0.02, gateways=2))
    each = evidence.log_evidence_by_gateway(counts)
    pooled = MismatchEvidence(QUESTION).log_evidence(counts)
    # A tenth of the mass waits for later starts, whose evidence is 1 until then.
    of_sum = (math.exp(pooled) - 0.1) / 0.9
    mean = (of_sum + (math.exp(each[0]) + math.exp(each[1])) / 2) / 2
    assert evidence.log_evidence(counts) == pytest.approx(math.log(0.9 * mean + 0.1))
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
