"""The sequential test looks at what is all there as often as it would have looked live."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.batches import batch_of
from tests.support.recordings import QUESTION, draws
from trafficsplit.analysis.field_test import FieldTest
from trafficsplit.analysis.look import Look
from trafficsplit.analysis.order import OrderRecorder
from trafficsplit.analysis.planning import planned
from trafficsplit.analysis.question import Question
from trafficsplit.analysis.split import Split
from trafficsplit.analysis.tally import Tally
from trafficsplit.analysis.verdict import Verdict
from trafficsplit.offline.replay import Replay

ROLLBACK = planned(Question(Split({"blue": 1, "green": 0}), 0.02))


def replayed(codes: Sequence[int], question: Question = QUESTION, size: int = 10**9) -> Verdict:
    """Return the verdict on requests (0 blue, 1 green, 2 red, −1 nobody) in batches of a size."""
    replay = Replay(question)
    for start in range(0, len(codes), size):
        replay.add(batch_of(codes[start : start + size]))
    replay.end()
    return replay.verdict


@pytest.mark.slow
@settings(max_examples=25)
@given(st.integers(0, 10**6), st.sampled_from([0.0, 0.2, 0.25, 0.3, 0.5]), st.integers(1, 3000))
def test_where_batches_end_bears_on_nothing(seed: int, share: float, size: int) -> None:
    codes = draws(1500, share, seed)
    codes[700] = -1
    assert replayed(codes, size=size) is replayed(codes)


def judged_live(codes: Sequence[int]) -> Verdict:
    live = FieldTest(QUESTION)
    recorder = OrderRecorder()
    at = 0
    while at < len(codes):
        new = np.array(codes[at : at + live.least_more], np.int64)
        at += len(new)
        recorder.extend(["blue", "green"], new, np.zeros(len(new), np.int64))
        green = int(new.sum())
        tally = Tally({"blue": len(new) - green, "green": green})
        verdict = live.look(Look([tally], orders=lambda: [recorder.order], elapsed=at / 1e4))
        if verdict is not Verdict.INCONCLUSIVE:
            return verdict
    return Verdict.INCONCLUSIVE


def test_it_decides_as_a_live_test_does() -> None:
    for seed in range(6):
        codes = draws(20_000, 0.29, seed)
        assert replayed(codes) is judged_live(codes) is Verdict.MISMATCH


def renewed(number: int) -> list[int]:
    """Return the connections of requests, of which a new one is used for each fifty."""
    return [index // 50 + 1 for index in range(number)]


@pytest.mark.parametrize("seed", range(4))
def test_what_ended_with_a_match_is_one_again(seed: int) -> None:
    codes = draws(20_000, 0.25, seed)
    connections = renewed(len(codes))
    test = FieldTest(QUESTION)
    recorder = OrderRecorder()
    at = 0
    verdict = Verdict.INCONCLUSIVE
    rng = np.random.default_rng(seed)
    while verdict is Verdict.INCONCLUSIVE and at < len(codes):
        # A live run looks when answers come, and not always as soon as it wants.
        end = at + test.least_more + int(rng.integers(40))
        new = np.array(codes[at:end], np.int64)
        recorder.extend(["blue", "green"], new, np.array(connections[at:end], np.int64))
        green = int(new.sum())
        tally = Tally({"blue": len(new) - green, "green": green})
        verdict = test.look(Look([tally], orders=lambda: [recorder.order], elapsed=end / 1e4))
        at = end
    assert verdict is Verdict.MATCH
    replay = Replay(QUESTION)
    replay.add(batch_of(codes[:at], connections=connections[:at]))
    replay.end()
    assert replay.verdict is Verdict.MATCH


def test_a_verdict_stands_whatever_comes_behind_it() -> None:
    mismatch = [1] * 200
    assert replayed(mismatch + draws(20_000, 0.25)) is Verdict.MISMATCH
    match = draws(12_000, 0.25)
    assert replayed([*match, *[1] * 5000]) is replayed(match) is Verdict.MATCH


def test_one_response_of_weight_zero_is_enough_wherever_it_is() -> None:
    for at in (0, 1, 777, 999):
        codes = [0] * 1000
        codes[at] = 1
        assert replayed(codes, ROLLBACK) is Verdict.MISMATCH
    assert replayed([0] * ROLLBACK.requests_for_zero, ROLLBACK) is Verdict.MATCH
    assert replayed([*[0] * ROLLBACK.requests_for_zero, 1], ROLLBACK) is Verdict.MATCH


def test_a_variant_that_nobody_configured_is_of_weight_zero() -> None:
    assert replayed([0, 1, 2]) is Verdict.MISMATCH


def test_lost_requests_are_looked_at_one_by_one() -> None:
    replay = Replay(QUESTION)
    replay.add(batch_of([0, 1] * 20, statuses=[503] * 40))
    assert replay.verdict is Verdict.FAILING
    codes = draws(3000, 0.25)
    codes[::50] = [-1] * 60
    assert replayed(codes) is Verdict.FAILING
    codes = draws(3000, 0.25)
    codes[1000] = -1
    assert replayed(codes) is not Verdict.FAILING


def test_a_connection_that_keeps_its_variant_has_no_verdict() -> None:
    connections = np.random.default_rng(3).integers(1, 65, 8000).tolist()
    replay = Replay(QUESTION)
    replay.add(batch_of([int(number <= 8) for number in connections], connections=connections))
    assert (replay.verdict, replay.undecided) == (Verdict.INCONCLUSIVE, False)
