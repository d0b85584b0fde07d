"""When the judge looks at new counts."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.support.counting import BLUE, ERROR, GREEN, UNIDENTIFIED, Judge, count, taken
from tests.support.runs import CANARY
from trafficsplit.analysis.kinds import Kind, Kinds, Outcome
from trafficsplit.analysis.split import Split
from trafficsplit.analysis.tally import Tally
from trafficsplit.load.counting import Counter
from trafficsplit.load.looks import MOST_AT_ONCE, Looks


def looks_of(judge: Judge) -> tuple[Looks, Kinds]:
    kinds = Kinds(CANARY)
    looks = Looks(kinds, frozenset(CANARY.positive))
    looks.judge_by(judge)
    return looks, kinds


def counts_of(kinds: Kinds, *ends: Kind) -> Any:
    codes = [kinds.code_of(kind) for kind in ends]
    return np.bincount(codes, minlength=len(kinds))


def test_the_judge_looks_when_it_said_and_not_before() -> None:
    judge = Judge(after=3)
    looks, kinds = looks_of(judge)
    looks.add(counts_of(kinds, GREEN))
    assert looks.look()
    assert (len(judge.shown), looks.at_once) == (1, 3)
    looks.add(counts_of(kinds, GREEN, BLUE))
    assert looks.look()
    assert len(judge.shown) == 1
    assert looks.new.sum() == 2
    looks.add(counts_of(kinds, BLUE))
    judge.after = 0
    assert not looks.look()  # the run ends
    assert judge.shown[1] == [Tally({"green": 1, "blue": 2})]


@pytest.mark.parametrize(
    "urgent", [ERROR, UNIDENTIFIED, Kind(Outcome.IDENTIFIED, "red")], ids=lambda kind: str(kind)
)
def test_what_is_lost_or_was_to_get_nothing_is_shown_at_once(urgent: Kind) -> None:
    judge = Judge(after=1000)
    looks, kinds = looks_of(judge)
    looks.add(counts_of(kinds, GREEN))
    assert looks.look()
    code = kinds.code_of(urgent)
    looks.learn(code)
    assert code in looks.urgent
    looks.add(counts_of(kinds, BLUE))
    looks.look()
    assert len(judge.shown) == 1
    looks.add(counts_of(kinds, urgent))
    looks.look()
    assert len(judge.shown) == 2


def test_an_ordinary_kind_is_not_urgent() -> None:
    looks, kinds = looks_of(Judge())
    looks.learn(kinds.code_of(Kind(Outcome.IDENTIFIED, "green", answer=204)))
    assert looks.urgent == set()


def test_without_a_judge_nothing_ends_a_run() -> None:
    kinds = Kinds(CANARY)
    looks = Looks(kinds, frozenset())
    looks.add(counts_of(kinds, GREEN))
    assert looks.look()
    assert looks.at_once == MOST_AT_ONCE


def test_a_variant_of_weight_zero_is_urgent_from_the_beginning() -> None:
    counter = Counter(Split({"blue": 1, "green": 0}))
    judge = Judge(after=1000)
    counter.looks.judge_by(judge)
    for kind in (BLUE, BLUE, GREEN):
        count(counter, taken(counter), kind)
    assert [tally.counts for (tally,) in judge.shown] == [{"blue": 1}, {"blue": 1, "green": 1}]


def test_what_may_be_judged_adds_up_whoever_looks() -> None:
    looks, kinds = looks_of(Judge(after=1000))
    looks.add(counts_of(kinds, GREEN))
    looks.forget()
    looks.add(counts_of(kinds, BLUE, Kind(Outcome.IDENTIFIED, "red")))
    assert kinds.tally(looks.all).counts == {"blue": 1, "green": 1, "red": 1}
    looks.begin_anew()
    assert looks.all.sum() == looks.new.sum() == 0


def test_urgent_ends_are_told_apart() -> None:
    looks, kinds = looks_of(Judge())
    code = kinds.code_of(ERROR)
    looks.learn(code)
    assert looks.urgent_among(np.array([2, code, 3])).tolist() == [False, True, False]
