import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trafficsplit.analysis.tally import Tally
from trafficsplit.errors import InputError

whole = st.integers(0, 10**12)
tallies = st.builds(
    Tally, st.dictionaries(st.sampled_from(["blue", "green", "red"]), whole), whole, whole
)


@given(tallies, tallies, tallies)
def test_tallies_add_up_in_any_order(one: Tally, two: Tally, three: Tally) -> None:
    assert (one + two) + three == one + (two + three)
    assert one + two == two + one
    assert one + Tally() == one
    total = one + two
    assert total.requests == one.requests + two.requests
    assert total.identified == one.identified + two.identified


@given(tallies)
def test_every_request_is_counted_once(tally: Tally) -> None:
    assert tally.requests == tally.identified + tally.errors + tally.unidentified
    shares = [tally.share(variant) for variant in tally.counts]
    if tally.identified:
        assert sum(share or 0.0 for share in shares) == pytest.approx(1)
    else:
        assert set(shares) <= {None}


def test_figures_of_a_sum() -> None:
    total = Tally({"blue": 1}, errors=2) + Tally({"green": 3}, unidentified=4)
    assert (total.identified, total.lost, total.requests) == (4, 6, 10)
    assert total.share("green") == 0.75
    assert total.share("red") == 0
    assert Tally().share("green") is None


@pytest.mark.parametrize("bad", [-1, 1.5, True, "1", None])
def test_what_is_no_count_is_refused_by_name(bad: object) -> None:
    with pytest.raises(InputError, match="green"):
        Tally({"green": bad})  # type: ignore[dict-item]
    with pytest.raises(InputError, match="errors"):
        Tally(errors=bad)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="unidentified"):
        Tally(unidentified=bad)  # type: ignore[arg-type]


def test_counts_cannot_be_changed_behind_its_back() -> None:
    counts = {"blue": 1}
    tally = Tally(counts)
    counts["blue"] = 2
    assert tally.counts == {"blue": 1}
    with pytest.raises(TypeError):
        tally.counts["blue"] = 3  # type: ignore[index]


@given(tallies)
def test_a_tally_can_be_sent_to_another_process(tally: Tally) -> None:
    assert pickle.loads(pickle.dumps(tally)) == tally
