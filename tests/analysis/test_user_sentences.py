"""What is said of users: counts, where they went, and what to do."""

from __future__ import annotations

from tests.support.users import shuffled, users_question, users_run
from trafficsplit.analysis import user_sentences
from trafficsplit.analysis.run import Run
from trafficsplit.analysis.visits import Users


def users_of(run: Run) -> Users:
    assert run.counted.users is not None
    return run.counted.users


def test_some_users_that_changed_are_counted_in_a_match() -> None:
    run = users_run(shuffled(bbb=8_998, ggg=3_000, bgg=2))
    sentence = user_sentences.match(run, users_of(run))
    assert sentence.endswith(
        "and users stay with their version (2 of them changed it within 3 requests: fewer than "
        "0.1 %)."
    )


def test_of_a_few_moves_no_way_is_told() -> None:
    run = users_run(shuffled(bbb=10, bbg=3))
    assert "one way" not in user_sentences.leaving(run, users_of(run))
    run = users_run(shuffled(bbb=10, bbg=8, ggb=3))
    assert "one way" not in user_sentences.leaving(run, users_of(run))


def test_users_that_went_back_have_no_way() -> None:
    run = users_run(shuffled(bbb=10, bgb=8))
    sentence = user_sentences.leaving(run, users_of(run))
    assert "8 of 18 got another one within 3 requests (there and back 8), more" in sentence


def test_the_variant_that_is_farthest_off_is_named() -> None:
    run = users_run(shuffled(bbb=80, ggg=20), users_question(30))
    assert user_sentences.deviation(run, users_of(run), 0) == (
        "green gets 20.0 % of 100 users, 10 points less than its 30 %."
    )


def test_a_change_is_told_with_both_shares() -> None:
    run = users_run(["bbb"] * 320 + ["ggg"] * 320)
    assert user_sentences.deviation(run, users_of(run), 10) == (
        "The share of users has changed: green got 0.0 % of the first 320 users and 100.0 % of "
        "the 320 after them; its weight is 25 %."
    )
