"""The weights of a lab's split."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.systems import CANARY, read, tutorial
from trafficsplit.errors import LabError
from trafficsplit.lab.weights import split_rule, weights_of, with_weights

TUTORIAL = tutorial()


def test_the_tutorials_weights_are_per_cent_by_variant() -> None:
    assert weights_of(TUTORIAL) == {"blue": 75.0, "green": 25.0}


def test_relative_weights_are_per_cent_too(tmp_path: Path) -> None:
    text = CANARY.replace("weight: 75", "weight: 3").replace("weight: 25", "weight: 1")
    assert weights_of(read(tmp_path, text)) == {"blue": 75.0, "green": 25.0}


@given(st.integers(0, 1000))
def test_weights_are_replaced_and_nothing_else(tenths: int) -> None:
    green = tenths / 10
    before = TUTORIAL
    after = with_weights(before, {"blue": 100 - green, "green": green})
    assert weights_of(after) == pytest.approx({"blue": 100 - green, "green": green})
    assert weights_of(before) == {"blue": 75.0, "green": 25.0}
    assert after.routings[1:] == before.routings[1:]
    assert after.services == before.services
    assert split_rule(after).matches == split_rule(before).matches
    assert all(isinstance(one.weight, int) for one in split_rule(after).backends)


def test_without_a_split_there_are_no_weights(tmp_path: Path) -> None:
    alone = read(tmp_path, CANARY[: CANARY.rindex("        - destination:")])
    assert weights_of(alone) == {}
    with pytest.raises(LabError, match="there is no split"):
        with_weights(alone, {"blue": 100})
