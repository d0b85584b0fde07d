from hypothesis import given
from hypothesis import strategies as st

from trafficsplit.analysis.losses import MOST_REASONS, OTHERS, Losses


@given(st.lists(st.tuples(st.integers(0, 200).map(str), st.integers(1, 10**9)), max_size=300))
def test_no_lost_request_is_lost_again_and_reasons_are_few(lost: list[tuple[str, int]]) -> None:
    losses = Losses()
    for reason, count in lost:
        losses.lose(reason, count)
    assert sum(losses.values()) == sum(count for _, count in lost)
    assert len(losses) <= MOST_REASONS + 1
    first = list(dict.fromkeys(reason for reason, _ in lost))[:MOST_REASONS]
    for reason in first:
        assert losses[reason] == sum(count for other, count in lost if other == reason)


def test_beyond_a_number_of_reasons_there_is_only_one_more() -> None:
    losses = Losses()
    for number in range(MOST_REASONS + 5):
        losses.lose(f"reason {number}")
    assert losses[OTHERS] == 5
    losses.lose("reason 0")
    assert losses["reason 0"] == 2
