import numpy as np
import pytest

from trafficsplit.analysis.running_counts import RunningCounts
from trafficsplit.analysis.split import Split
from trafficsplit.analysis.tally import Tally
from trafficsplit.errors import InputError

CANARY = Split({"blue": 75, "green": 25})


def test_counts_add_up_by_variant_and_by_gateway() -> None:
    counts = RunningCounts(CANARY, gateways=2)
    counts.add({"blue": 3, "green": 1}, errors=2)
    counts.add({"green": np.int64(4)}, unidentified=1, gateway=1)  # type: ignore[dict-item]
    assert counts.by_variant.tolist() == [3, 5]
    assert counts.by_gateway.tolist() == [[3, 1], [0, 4]]
    assert (counts.identified, counts.lost) == (8, 3)
    assert counts.tally == Tally({"blue": 3, "green": 5}, errors=2, unidentified=1)


def test_answers_of_a_variant_that_is_not_configured_are_kept_apart() -> None:
    counts = RunningCounts(CANARY)
    counts.add({"blue": 3, "red": 0})
    assert not counts.unexpected
    counts.add({"red": 2})
    assert counts.unexpected
    assert counts.identified == 3
    assert counts.variants == ["blue", "green", "red"]
    assert counts.tally.counts == {"blue": 3, "green": 0, "red": 2}


def test_an_answer_of_weight_0_is_unexpected() -> None:
    counts = RunningCounts(Split({"blue": 1, "green": 0}))
    counts.add({"blue": 9, "green": 0})
    assert not counts.unexpected
    counts.add({"green": 1})
    assert counts.unexpected


@pytest.mark.parametrize(
    ("batch", "words"),
    [
        ({"blue": -1}, "negative"),
        ({"blue": 1, "green": 1.5}, "not a whole number"),
        ({"blue": True}, "not a whole number"),
    ],
)
def test_what_is_no_count_is_refused_and_nothing_is_added(
    batch: dict[str, int], words: str
) -> None:
    counts = RunningCounts(CANARY)
    with pytest.raises(InputError, match=words):
        counts.add(batch)
    with pytest.raises(InputError, match="negative"):
        counts.add({"blue": 1}, errors=-1)
    with pytest.raises(InputError, match="there is no gateway 1, but 1 from 0"):
        counts.add({"blue": 1}, gateway=1)
    assert counts.tally.requests == 0
