"""One who sends one request after the other, over a connection that is free."""

from __future__ import annotations

from trafficsplit.load.caller import FIRST_BACKOFF, LONGEST_BACKOFF, backoff


def test_pauses_double_up_to_a_longest() -> None:
    pauses = [backoff(failures) for failures in range(200)]
    assert pauses[0] == FIRST_BACKOFF
    assert pauses[1] == 2 * FIRST_BACKOFF
    assert pauses == sorted(pauses)
    assert pauses[-1] == LONGEST_BACKOFF
    assert backoff(10**9) == LONGEST_BACKOFF
