"""The sequential test looks at what is all there as often as it would have looked live."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from tests.support.batches import batch_of
from tests.support.recordings import QUESTION, draws
from trafficsplit.analysis.planning import planned
from trafficsplit.analysis.question import Question
from trafficsplit.analysis.sequential import SequentialTest
from trafficsplit.analysis.split import Split
from trafficsplit.analysis.verdict import Verdict
from trafficsplit.offline.replay import Replay

ROLLBACK = planned(Question(Split({"blue": 1, "green": 0}), 0.02))


def replayed(codes: Sequence[int], question: Question = QUESTION, size: int = 10**9) -> Verdict:
    """Return the verdict on requests (0 blue, 1 green, 2 red, −1 nobody) in batches of a size."""
    replay = Replay(question)
    for start in range(0, len(codes), size):
        replay.add(batch_of(codes[start : start + size]))
    return replay.verdict


def looked_at_each(codes: Sequence[int], question: Question = QUESTION) -> Verdict:
    test = SequentialTest.of(question)
    for code in codes:
        if code < 0:
            test.update({}, unidentified=1)
        else:
            test.update({("blue", "green", "red")[code]: 1})
    return test.verdict


@given(st.integers(0, 10**6), st.sampled_from([0.0, 0.2, 0.25, 0.3, 0.5]), st.integers(1, 3000))
def test_it_decides_as_a_look_after_every_response_does(seed: int, share: float, size: int) -> None:
    codes = draws(1500, share, seed)
    assert replayed(codes, size=size) is looked_at_each(codes)


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
    codes = draws(3000, 0.25)
    codes[::50] = [-1] * 60
    assert replayed(codes) is looked_at_each(codes)
    replay = Replay(QUESTION)
    replay.add(batch_of([0, 1] * 20, statuses=[503] * 40))
    test = SequentialTest.of(QUESTION)
    for _ in range(40):
        test.update({}, errors=1)
    assert replay.verdict is test.verdict


def test_it_is_undecided_until_it_is_decided() -> None:
    replay = Replay(QUESTION)
    assert replay.undecided
    replay.add(batch_of([0, 1]))
    assert replay.undecided
    replay.add(batch_of([1] * 200))
    assert not replay.undecided
