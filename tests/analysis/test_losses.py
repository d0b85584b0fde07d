import json

from hypothesis import given
from hypothesis import strategies as st

from trafficsplit.analysis.losses import MOST_LATEST, MOST_REASONS, OTHERS, Hanging, Losses


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


# --- what was lost in time ---


def test_what_workers_have_seen_of_one_gateway_adds_up_as_if_in_step() -> None:
    one = Hanging(
        requests=10, lost=2, latest=(False, True, True), answered=1.0, silent=2.0, unanswered=2
    )
    other = Hanging(
        requests=5, lost=1, kept_back=7, latest=(True,), answered=1.5, silent=1.5, unanswered=1
    )
    assert one + other == Hanging(
        requests=15,
        lost=3,
        kept_back=7,
        latest=(False, True, True, True),
        answered=1.5,
        silent=1.5,
        unanswered=3,
    )
    assert one + Hanging() == one
    assert Hanging() + one == one


def test_a_gateway_that_answers_one_worker_is_not_silent() -> None:
    one = Hanging(requests=10, silent=2.0, unanswered=2)
    assert (one + Hanging(requests=1)).silent == 0
    assert (one + Hanging(requests=1)).unanswered == 0


@given(st.lists(st.booleans()), st.lists(st.booleans()))
def test_no_more_than_the_latest_are_kept(one: list[bool], other: list[bool]) -> None:
    latest = (Hanging(requests=1, latest=one) + Hanging(requests=1, latest=other)).latest
    assert len(latest) == min(len(one) + len(other), MOST_LATEST)
    if one and other:
        assert list(latest[-2:]) == [one[-1], other[-1]]


def test_it_travels_as_plain_data() -> None:
    one = Hanging(requests=10, lost=2, latest=(False, True), answered=1.0)
    assert Hanging.from_plain(json.loads(json.dumps(one.as_plain()))) == one
