"""Users as independent draws, for all that is said of these."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.support.runs import RUNS
from tests.support.users import shuffled, users_run
from trafficsplit.analysis.judge import replay
from trafficsplit.analysis.run import Gateway
from trafficsplit.analysis.user_draws import as_draws
from trafficsplit.analysis.visits import UserKind, UserRecorder


def test_a_run_of_requests_is_itself() -> None:
    run = RUNS["ordinary"]
    assert as_draws(run) is run


def test_users_are_one_response_each() -> None:
    run = users_run(shuffled(bbb=300, ggg=90, bgg=10, xxx=2, xbb=3))
    drawn = as_draws(run)
    assert run.tally.requests == 3 * 405
    assert drawn.tally.counts == {"blue": 313, "green": 90}
    assert drawn.tally.lost == 2
    assert drawn.question.user_requests == 0
    assert drawn.counted.stretches[0].start == 0
    assert drawn.counted.stretches[-1].end == pytest.approx(2.0)
    assert replay(drawn).tally.identified == 403
    low, high = drawn.interval("green")
    assert high - low > 3 * 0.02  # of 405 draws, not of 1,215
    assert low < 0.23 < high


def test_users_of_several_gateways_are_apart() -> None:
    recorder = UserRecorder()
    recorder.add([UserKind.of(["green"] * 3, 1)] * 5 + [UserKind.of(["blue"] * 3)] * 7)
    run = users_run(["bbb"])
    gateways = [Gateway("http://a", ()), Gateway("http://b", ())]
    counted = replace(run.counted, users=recorder.users, gateways=gateways)
    first, second = as_draws(replace(run, counted=counted)).gateways
    assert first.tally.counts == {"blue": 7}
    assert second.tally.counts == {"green": 5}


def test_without_users_there_are_no_draws() -> None:
    run = users_run(["bbb"])
    run = replace(run, counted=replace(run.counted, users=None))
    assert as_draws(run).tally.requests == 0
