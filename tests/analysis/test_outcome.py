"""The verdict on a run's counts, and why there is none."""

import dataclasses

import numpy as np
import pytest

from tests.support.runs import CANARY, having, made
from trafficsplit.analysis.order import Order, OrderRecorder
from trafficsplit.analysis.outcome import (
    dealt_block,
    differing_replicas,
    outcome,
    why_held_back,
)
from trafficsplit.analysis.run import Run, Stretch
from trafficsplit.analysis.tally import Tally
from trafficsplit.analysis.verdict import Verdict

MATCHING = made({"blue": 6000, "green": 2000})


def order_of(codes: list[int]) -> Order:
    recorder = OrderRecorder()
    recorder.extend(["blue", "green"], np.array(codes, np.int64), np.zeros(len(codes), np.int64))
    return recorder.order


def run_of(codes: list[int]) -> Run:
    green = sum(codes)
    return having(made({"blue": len(codes) - green, "green": green}), order=order_of(codes))


def test_counts_of_which_no_order_is_known_are_judged_as_independent() -> None:
    assert outcome(MATCHING) is Verdict.MATCH
    assert outcome(made({"blue": 6400, "green": 1600})) is Verdict.MISMATCH
    assert outcome(made({"blue": 75, "green": 25})) is Verdict.INCONCLUSIVE
    assert why_held_back(MATCHING) == ""


def test_only_what_may_be_judged_is_judged() -> None:
    run = having(made({"blue": 6000, "green": 3000}), judged=[Tally({"blue": 6000, "green": 2000})])
    assert outcome(run) is Verdict.MATCH


def test_bursts_bear_no_verdict_and_the_reason_is_said() -> None:
    rng = np.random.default_rng(1)
    run = run_of(np.repeat(rng.random(80) < 0.25, 100).astype(int).tolist())
    assert outcome(run) is Verdict.INCONCLUSIVE
    assert "more often than by chance" in why_held_back(run)
    assert dealt_block(run) == 0


def test_blocks_are_seen() -> None:
    run = run_of(([0] * 75 + [1] * 25) * 80)
    assert outcome(run) is Verdict.MATCH
    assert dealt_block(run) == 100


def test_one_turn_is_too_short() -> None:
    run = having(run_of([0] * 90 + [1] * 10), elapsed=0.1)
    assert outcome(run) is Verdict.INCONCLUSIVE
    assert "changed only 1 times" in why_held_back(run)


def test_a_change_is_said_with_its_time_and_both_shares() -> None:
    stretches = [Stretch(t, t + 1.0, Tally({"blue": 800, "green": 200})) for t in range(3)]
    stretches += [Stretch(t, t + 1.0, Tally({"blue": 700, "green": 300})) for t in range(3, 6)]
    run = having(made({}), stretches=stretches, elapsed=6.0)
    said = why_held_back(run)
    assert "after 3.0 s" in said
    assert "20.0 % before and 30.0 % since" in said


@pytest.mark.parametrize(("stale", "differ"), [(0.0, True), (0.25, False)])
def test_replicas_of_other_weights_are_a_mismatch(stale: float, differ: bool) -> None:
    rng = np.random.default_rng(2)
    shares = np.array([stale, *[0.25] * 3])[rng.integers(0, 4, 160)]
    codes = (rng.random((160, 50)) < shares[:, None]).astype(np.int64)
    connections = np.repeat(np.arange(1, 161)[:, None], 50, axis=1)
    mixed = rng.permutation(8000)
    recorder = OrderRecorder()
    recorder.extend(["blue", "green"], codes.ravel()[mixed], connections.ravel()[mixed])
    green = int(codes.sum())
    run = having(made({"blue": 8000 - green, "green": green}), order=recorder.order)
    assert differing_replicas(run) is differ
    assert outcome(run) is (Verdict.MISMATCH if differ else Verdict.MATCH)


def test_the_questions_own_alpha_decides() -> None:
    strict = dataclasses.replace(MATCHING.question, alpha=1e-6)
    assert strict.split == CANARY
    assert outcome(having(MATCHING, question=strict)) is Verdict.INCONCLUSIVE
