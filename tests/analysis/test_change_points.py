"""How much likelier a change of the shares makes counts."""

import math

import numpy as np
import pytest

from trafficsplit.analysis.change_points import change_gains


def test_the_gain_is_the_likelihood_ratio_of_a_change_to_none() -> None:
    found = change_gains(np.array([[8.0, 2.0], [5.0, 5.0]]))
    with_change = 8 * math.log(0.8) + 2 * math.log(0.2) + 10 * math.log(0.5)
    without = 13 * math.log(13 / 20) + 7 * math.log(7 / 20)
    assert found.tolist() == pytest.approx([with_change - without])


def test_there_is_one_gain_for_each_place_and_the_largest_is_at_the_change() -> None:
    table = np.array([[9.0, 1.0]] * 6 + [[2.0, 8.0]] * 4)
    found = change_gains(table)
    assert len(found) == 9
    assert int(found.argmax()) == 5


def test_rows_of_nothing_and_equal_shares_gain_nothing() -> None:
    table = np.array([[0.0, 0.0], [3.0, 1.0], [3.0, 1.0]])
    assert change_gains(table).tolist() == pytest.approx([0.0, 0.0], abs=1e-9)
