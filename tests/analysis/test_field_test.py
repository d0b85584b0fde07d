"""The sequential test in the field: what holds a verdict back, and what does not.

Its error rates in many more situations are what `python -m benchmarks.field` prints.
"""

from collections.abc import Sequence

import numpy as np
import pytest

from trafficsplit.analysis.field_test import FieldTest
from trafficsplit.analysis.look import Look
from trafficsplit.analysis.moment import PACE
from trafficsplit.analysis.order import OrderRecorder
from trafficsplit.analysis.planning import planned
from trafficsplit.analysis.question import Question
from trafficsplit.analysis.split import Split
from trafficsplit.analysis.tally import Tally
from trafficsplit.analysis.verdict import Verdict

QUESTION = planned(Question(Split({"blue": 75, "green": 25}), 0.02))
RATE = 4000  # requests a second
CONNECTIONS = 16
RENEWED = 50  # requests of a connection


class Gateway:
    """Answers in turn with the codes of variants, and shows them to a test as often as it asks."""

    def __init__(self, test: FieldTest, *, rate: float = RATE) -> None:
        self.test = test
        self.sent = 0
        self.elapsed = 0.0
        self._rate = rate
        self._recorder = OrderRecorder()
        self._names = list(test.question.split)

    def answer(self, codes: Sequence[int], connections: Sequence[int] = ()) -> Verdict:
        """Return the verdict, after these answers or as soon as it is known."""
        verdict = Verdict.INCONCLUSIVE
        at = 0
        while at < len(codes) and verdict is Verdict.INCONCLUSIVE and not self.test.hopeless:
            end = at + max(min(self.test.least_more, len(codes) - at), 1)
            verdict = self._show(codes[at:end], connections[at:end])
            at = end
        return verdict

    def answer_by_time(self, kept: Sequence[int], period: float) -> Verdict:
        """Return the verdict where each code is given for `period` seconds, out of a cache."""
        verdict = Verdict.INCONCLUSIVE
        while verdict is Verdict.INCONCLUSIVE and self.sent < self.test.question.requests:
            code = kept[int(self.elapsed / period) % len(kept)]
            verdict = self._show([code] * min(max(self.test.least_more, 1), 40), ())
        return verdict

    def _show(self, codes: Sequence[int], connections: Sequence[int]) -> Verdict:
        numbers = list(connections)
        if not numbers:
            sent = range(self.sent, self.sent + len(codes))
            numbers = [
                n % CONNECTIONS + n // CONNECTIONS // RENEWED * CONNECTIONS + 1 for n in sent
            ]
        self.sent += len(codes)
        array = np.array(codes, np.int64)
        self._recorder.extend(self._names, array, np.array(numbers, np.int64))
        counts = np.bincount(array, minlength=len(self._names)).tolist()
        tally = Tally(dict(zip(self._names, counts, strict=True)))
        self.elapsed += len(codes) / min(self.test.pace or self._rate, self._rate)
        look = Look([tally], orders=lambda: [self._recorder.order], elapsed=self.elapsed)
        return self.test.look(look)


def _connection_of(number: int) -> int:
    """Return the connection of a request: some in turn, which are renewed together."""
    generation = number // (CONNECTIONS * RENEWED)
    return generation * CONNECTIONS + number % CONNECTIONS + 1


def draws(share: float, number: int, seed: int = 1) -> list[int]:
    rng = np.random.default_rng(seed)
    codes: list[int] = (rng.random(number) < share).astype(int).tolist()
    return codes


def verdict_on(codes: Sequence[int], connections: Sequence[int] = ()) -> tuple[Verdict, int]:
    gateway = Gateway(FieldTest(QUESTION))
    return gateway.answer(codes, connections), gateway.sent


def test_independent_draws_get_the_verdict_of_the_sequential_test() -> None:
    matches = [verdict_on(draws(0.25, 27_000, seed))[0] for seed in range(12)]
    assert matches.count(Verdict.MATCH) >= 11
    wrong = [verdict_on(draws(0.40, 27_000, seed)) for seed in range(20)]
    assert {verdict for verdict, _ in wrong} == {Verdict.MISMATCH}
    assert np.median([sent for _, sent in wrong]) <= 250


def test_one_variant_again_and_again_is_no_verdict_before_a_gateway_could_change_its_mind() -> None:
    gateway = Gateway(FieldTest(QUESTION))
    assert gateway.answer([0] * 1800) is Verdict.INCONCLUSIVE
    assert gateway.answer([0] * 200) is Verdict.MISMATCH  # it waits, and sends little meanwhile
    assert 18 <= gateway.elapsed <= 19  # a cache of a second asks 18 times meanwhile
    slow = Gateway(FieldTest(QUESTION), rate=20)
    assert slow.answer([0] * 500) is Verdict.MISMATCH
    assert 400 <= slow.sent <= 420


def test_the_wait_ends_with_the_first_response_of_another_variant() -> None:
    test = FieldTest(QUESTION)
    gateway = Gateway(test)
    assert gateway.answer([0] * 300) is Verdict.INCONCLUSIVE
    assert test.pace == PACE
    gateway.answer([1])
    gateway.answer([0] * 20)
    assert test.pace is None


@pytest.mark.slow
@pytest.mark.parametrize("period", [0.2, 0.5, 1.0])
def test_a_few_answers_of_a_cache_are_no_mismatch(period: float) -> None:
    for seed in range(4):
        gateway = Gateway(FieldTest(QUESTION))
        assert gateway.answer_by_time(draws(0.25, 200, seed), period) is Verdict.INCONCLUSIVE


def test_a_variant_that_comes_seldom_and_alone_is_no_cache() -> None:
    codes = draws(0.005, 3000)
    verdict, sent = verdict_on(codes)
    assert verdict is Verdict.MISMATCH
    assert sent <= 1500


def test_a_variant_that_was_to_get_nothing_needs_no_waiting() -> None:
    test = FieldTest(planned(Question(Split({"blue": 1, "green": 0}), 0.02)))
    assert Gateway(test).answer([0, 0, 1]) is Verdict.MISMATCH


@pytest.mark.parametrize(("blue", "green"), [(75, 25), (15, 5)])
def test_a_gateway_that_deals_in_blocks_is_a_match(blue: int, green: int) -> None:
    block = [0] * blue + [1] * green
    for begin in range(0, blue + green, 24):
        codes = (block * 400)[begin:27_000]
        assert verdict_on(codes)[0] is Verdict.MATCH


def test_a_gateway_that_deals_other_weights_in_blocks_is_a_mismatch() -> None:
    verdict, sent = verdict_on(([0] * 60 + [1] * 40) * 200)
    assert verdict is Verdict.MISMATCH
    assert sent <= 3000


@pytest.mark.slow
def test_bursts_are_neither_match_nor_mismatch_before_there_are_many() -> None:
    rng = np.random.default_rng(5)
    found = []
    for _ in range(8):
        codes = np.repeat(rng.random(120) < 0.25, 100).astype(int).tolist()
        found.append(verdict_on(codes)[0])
    assert found.count(Verdict.INCONCLUSIVE) == 8


def test_a_share_that_changes_has_to_match_since() -> None:
    verdict, sent = verdict_on(draws(0.20, 1000, 1) + draws(0.30, 20_000, 2))
    assert (verdict, sent > 1000) == (Verdict.MISMATCH, True)
    settled, sent = verdict_on(draws(0.22, 1000, 3) + draws(0.25, 21_000, 4))
    assert settled is not Verdict.MISMATCH


def test_a_connection_that_keeps_its_variant_is_no_draw() -> None:
    rng = np.random.default_rng(6)
    numbers = rng.integers(1, 65, 8000)
    kept = rng.random(65) < 0.25
    test = FieldTest(QUESTION)
    gateway = Gateway(test)
    verdict = gateway.answer(kept[numbers].astype(int).tolist(), numbers.tolist())
    assert verdict is Verdict.INCONCLUSIVE
    assert test.hopeless
    assert test.least_more == 0
    assert gateway.sent < 8000


def test_one_stale_replica_behind_a_balancer_is_never_a_match() -> None:
    for seed in range(10):
        rng = np.random.default_rng(seed)
        shares = np.array([0.0, *[0.25] * 7])[rng.integers(0, 8, 460)]
        codes = []
        numbers = []
        for first in range(0, 460 - CONNECTIONS, CONNECTIONS):
            for _ in range(RENEWED):
                connections = rng.permutation(CONNECTIONS) + first
                codes += (rng.random(CONNECTIONS) < shares[connections]).astype(int).tolist()
                numbers += (connections + 1).tolist()
        assert verdict_on(codes, numbers)[0] is not Verdict.MATCH


def test_a_test_that_knows_no_order_judges_counts_as_independent() -> None:
    test = FieldTest(QUESTION)
    assert test.look(Look([Tally({"blue": 30})])) is Verdict.MISMATCH
    assert test.look(Look([Tally({"blue": 6000, "green": 3000})])) is Verdict.MISMATCH  # it stands
    assert test.least_more == 0


def test_one_variant_out_of_a_cache_is_no_verdict() -> None:
    test = FieldTest(QUESTION)
    recorder = OrderRecorder()
    recorder.extend(["blue"], np.zeros(9000, np.int64), np.zeros(9000, np.int64))
    tallies = [Tally({"blue": 9000})]
    cached = Look(tallies, orders=lambda: [recorder.order], elapsed=19.0, cached=8990)
    assert test.look(cached) is Verdict.INCONCLUSIVE
    fresh = Look(tallies, orders=lambda: [recorder.order], elapsed=19.0)
    assert FieldTest(QUESTION).look(fresh) is Verdict.MISMATCH
