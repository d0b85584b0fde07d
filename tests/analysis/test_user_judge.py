"""The verdict on runs whose draws are users, and what is said of it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.support.users import shuffled, users_question, users_run
from trafficsplit.analysis.judge import judge
from trafficsplit.analysis.question import Question
from trafficsplit.analysis.run import Run
from trafficsplit.analysis.split import Split
from trafficsplit.analysis.verdict import Verdict


def verdict_of(run: Run) -> tuple[Verdict, str]:
    judged = judge(run)
    return judged.verdict, judged.reason


def test_users_as_configured_are_a_match() -> None:
    verdict, reason = verdict_of(users_run(shuffled(bbb=4500, ggg=1500)))
    assert verdict is Verdict.MATCH
    assert reason == (
        "The share of users is as configured, of 6,000 users: blue 75.0 % (weight 75 %), green "
        "25.0 % (weight 25 %), each within 2 points; and users stay with their version (none of "
        "them changed it within 3 requests: fewer than 0.1 %)."
    )


def test_users_that_are_dealt_in_turn_are_a_match_with_a_remark() -> None:
    verdict, reason = verdict_of(users_run(["bbb", "bbb", "bbb", "ggg"] * 1500))
    assert verdict is Verdict.MATCH
    assert "Note: the gateway deals requests out in turn" in reason


def test_users_that_change_version_are_a_mismatch() -> None:
    verdict, reason = verdict_of(users_run(shuffled(bbb=700, ggg=230, bgg=12, gbb=8)))
    assert verdict is Verdict.MISMATCH
    assert reason == (
        "Users do not stay with their version: 20 of 950 got another one within 3 requests (blue "
        "to green 12, green to blue 8), more than 0.1 %."
    )


def test_users_that_all_go_one_way_are_a_share_that_grows() -> None:
    verdict, reason = verdict_of(users_run(shuffled(bbb=73, bbg=8, bgg=9, ggg=10)))
    assert verdict is Verdict.MISMATCH
    assert "blue to green 17" in reason
    assert (
        "They go one way: green had 10.0 % of the users at their first request and 27.0 % at "
        "their last, so its share grows with time."
    ) in reason


def test_another_share_is_a_mismatch() -> None:
    verdict, reason = verdict_of(users_run(shuffled(bbb=600, ggg=400)))
    assert verdict is Verdict.MISMATCH
    assert reason == "green gets 40.0 % of 1,000 users, 15.0 points more than its 25 %."


def test_a_share_that_has_changed_is_a_mismatch_that_says_so() -> None:
    users = shuffled(1, bbb=3000, ggg=1000) + shuffled(2, bbb=480, ggg=480)
    verdict, reason = verdict_of(users_run(users))
    assert verdict is Verdict.MISMATCH
    assert reason.startswith("The share of users has changed: green got 2")
    assert reason.endswith("its weight is 25 %.")


def test_a_share_that_is_as_configured_by_now_is_not_known() -> None:
    question = replace(users_question(), requests=3 * 5700)
    users = shuffled(1, bbb=900, ggg=300) + shuffled(2, bbb=3195, ggg=1305)
    verdict, reason = verdict_of(users_run(users, question))
    assert verdict in (Verdict.INCONCLUSIVE, Verdict.MATCH)
    assert reason


def test_a_variant_that_is_to_get_nothing_is_a_mismatch() -> None:
    verdict, reason = verdict_of(users_run(["bbb"] * 99 + ["rrr"]))
    assert verdict is Verdict.MISMATCH
    assert reason == "red is not configured, but answered 3 times in 300 requests."


def test_a_rollback_is_a_match() -> None:
    question = Question(Split({"blue": 1, "green": 0}), 0.02, user_requests=3)
    verdict, reason = verdict_of(users_run(["bbb"] * 4800, question))
    assert verdict is Verdict.MATCH
    assert reason.startswith("All 4,800 users got blue: any other variant's share is below 0.1 %")


def test_many_lost_requests_are_failing() -> None:
    verdict, reason = verdict_of(users_run(shuffled(bbb=60, ggg=20, bxb=20)))
    assert verdict is Verdict.FAILING
    assert reason.startswith("Of 300 requests 20 got no 2xx answer (HTTP 503)")


@pytest.mark.parametrize(
    ("users", "requests", "said"),
    [
        (shuffled(bbb=75, ggg=25), 30_000, "Only 300 of at most 30,000 requests were answered"),
        (shuffled(bbb=75, ggg=25), 300, "100 users were not enough: a match within 2 points"),
        (shuffled(bbb=26_280, ggg=9_720), 108_000, "near the edge of the tolerance"),
        (
            shuffled(bbb=26_980, ggg=8_998, bgg=22),
            108_000,
            "give more --requests, or another --zero",
        ),
        (shuffled(bbb=8970, ggg=2980, bxb=50), 36_000, "50 of 12,000 users lost a request"),
        (["bb"] * 0, 1, "No user could send all of its 3 requests"),
    ],
)
def test_without_a_verdict_it_is_said_why(users: list[str], requests: int, said: str) -> None:
    question = replace(users_question(), requests=requests)
    run = users_run(users, question)
    if not users:
        run = replace(run, question=replace(question, requests=0))
    verdict, reason = verdict_of(run)
    assert verdict is Verdict.INCONCLUSIVE, reason
    assert said in reason


def test_users_in_clusters_are_no_draws() -> None:
    clusters = []
    for variant in shuffled(3, bbb=300, ggg=100):
        clusters += [variant] * 15
    question = replace(users_question(), requests=18_000)
    verdict, reason = verdict_of(users_run(clusters, question))
    assert verdict is Verdict.INCONCLUSIVE
    assert "not independent" in reason or "has changed" in reason


def test_a_verdict_that_was_reached_stands() -> None:
    run = users_run(shuffled(bbb=75, ggg=25), decided=Verdict.MISMATCH)
    assert judge(run).verdict is Verdict.MISMATCH
    run = users_run(shuffled(bbb=4500, ggg=1500), decided=Verdict.MATCH)
    assert judge(run).verdict is Verdict.MATCH
