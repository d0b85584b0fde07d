import dataclasses
import itertools
import random
import re
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.runs import CANARY, RUNS, having, made
from trafficsplit.analysis.independence import Draws
from trafficsplit.analysis.judge import (
    draws_of,
    judge,
    looks_at,
    replay,
    same_weights,
    too_many_lost,
)
from trafficsplit.analysis.losses import Hanging
from trafficsplit.analysis.meeting import why_names_do_not_meet
from trafficsplit.analysis.order import Order, OrderRecorder
from trafficsplit.analysis.run import Gateway, Run, SourceReading, Stretch
from trafficsplit.analysis.running import unexpected
from trafficsplit.analysis.split import Split
from trafficsplit.analysis.tally import Tally
from trafficsplit.analysis.verdict import Verdict

MATCHING = made({"blue": 6000, "green": 2000})


def changing(*parts: tuple[int, int, int]) -> list[Stretch]:
    """Return stretches; a part has a number of them, and blue and green in each."""
    stretches: list[Stretch] = []
    for number, blue, green in parts:
        for _ in range(number):
            at = float(len(stretches))
            stretches.append(Stretch(at, at + 1, Tally({"blue": blue, "green": green})))
    return stretches


def test_a_fixed_test_of_a_split_that_changed_is_no_match() -> None:
    stretches = changing((58, 80, 20), (58, 70, 30))
    run = having(made({"blue": 8740, "green": 2851}, test="fixed"), stretches=stretches)
    judged = judge(run)
    assert judged.verdict is Verdict.INCONCLUSIVE
    assert "changed in mid-run" in judged.reason
    steady = changing((116, 75, 25))
    assert judge(having(run, stretches=steady)).verdict is Verdict.MATCH


def test_a_gateway_that_is_off_since_late_is_named_with_the_time() -> None:
    fine = Gateway("http://a", changing((60, 75, 25)))
    late = Gateway("http://b", changing((58, 75, 25), (2, 100, 0)))
    both = changing((60, 150, 50))
    run = having(made({"blue": 1}, decided=Verdict.MISMATCH), stretches=both, gateways=[fine, late])
    run = dataclasses.replace(run, question=dataclasses.replace(run.question, gateways=2))
    reason = judge(run).reason
    assert "http://b gives green 0.0 % and not its 25 % (25.0 % before)" in reason
    assert "Since 58.0 s" in reason


@pytest.mark.parametrize(
    ("run", "verdict", "said"),
    [
        (made({"blue": 6000, "green": 2000}), Verdict.MATCH, "as configured in 8,000"),
        (made({"blue": 6400, "green": 1600}), Verdict.MISMATCH, "5 points less than its 25 %"),
        (made({"blue": 30}), Verdict.MISMATCH, "green gets 0.0 % of 30"),
        (made({"blue": 75, "green": 25}), Verdict.INCONCLUSIVE, "the run ended early"),
        (
            made({"blue": 75, "green": 25}, requests=100),
            Verdict.INCONCLUSIVE,
            "not enough: a match",
        ),
        (made({"blue": 7, "green": 2}, interrupted="Ctrl-C"), Verdict.INCONCLUSIVE, "Ctrl-C"),
        (made({"blue": 21_900, "green": 8_100}, requests=30_000), Verdict.INCONCLUSIVE, "27.00 %"),
        (made({"blue": 60, "green": 20}, errors=9), Verdict.FAILING, "9 got no 2xx .*HTTP 503"),
        (made({"blue": 60, "green": 20}, unidentified=9), Verdict.FAILING, "9 .*named no variant"),
        (made({}, unreachable="nobody there"), Verdict.FAILING, "nobody there"),
        (made({"blue": 9, "red": 1}), Verdict.MISMATCH, "red is not configured, .* once"),
        (made({"blue": 5000}, split=Split({"blue": 1, "green": 0})), Verdict.MATCH, "below 0.1 %"),
        (
            made({"blue": 5000, "green": 2}, split=Split({"blue": 1, "green": 0})),
            Verdict.MISMATCH,
            "green has weight 0, but answered 2 times",
        ),
        (
            made({"blue": 5000}, errors=2, split=Split({"blue": 1, "green": 0}), requests=5002),
            Verdict.INCONCLUSIVE,
            "all green's",
        ),
        (made({"blue": 7, "green": 3}, decided=Verdict.MATCH), Verdict.MATCH, "as configured"),
        (made({"blue": 8740, "green": 2851}, test="fixed"), Verdict.MATCH, "chi-square p"),
        (made({"blue": 8000, "green": 3591}, test="fixed"), Verdict.MISMATCH, "chi-square p"),
        (
            made({"blue": 300, "green": 100}, test="fixed", requests=400),
            Verdict.INCONCLUSIVE,
            "send 11,591",
        ),
        (made({"blue": 300, "green": 100}, test="fixed"), Verdict.INCONCLUSIVE, "Only 400 of"),
        (
            made({"blue": 8805, "green": 2795}, errors=110, test="fixed"),
            Verdict.INCONCLUSIVE,
            "if they were all",
        ),
    ],
)
def test_verdicts_and_their_sentences(run: Run, verdict: Verdict, said: str) -> None:
    judgement = judge(run)
    assert judgement.verdict is verdict, judgement.reason
    assert len(judgement.reason.splitlines()) == 1
    assert re.search(said, judgement.reason), judgement.reason


# --- where the weights are configured ---


def test_weights_that_changed_meanwhile_leave_nothing_to_say() -> None:
    source = SourceReading("shop/color", reread=Split({"blue": 60, "green": 40}))
    judged = judge(having(MATCHING, source=source))
    assert judged.verdict is Verdict.INCONCLUSIVE
    assert "shop/color changed while they were verified" in judged.reason
    assert "green 40 %" in judged.reason


def test_weights_that_could_not_be_read_again_leave_nothing_to_say() -> None:
    judged = judge(having(MATCHING, source=SourceReading("shop/color", unread="it is gone")))
    assert judged.verdict is Verdict.INCONCLUSIVE
    assert "it is gone" in judged.reason


@pytest.mark.parametrize("reread", [None, Split({"green": 1, "blue": 3})])
def test_weights_that_are_the_same_bear_on_nothing(reread: Split | None) -> None:
    run = having(MATCHING, source=SourceReading("shop/color", reread=reread))
    assert judge(run) == judge(MATCHING)


def test_a_gateway_that_cannot_be_reached_is_failing_whatever_the_source_says() -> None:
    source = SourceReading("shop/color", unread="it is gone")
    judged = judge(having(made({}, unreachable="nothing listens there"), source=source))
    assert judged.verdict is Verdict.FAILING
    assert judged.reason == "nothing listens there"


@given(st.floats(0, 1), st.floats(0, 1))
def test_the_same_weights_are_the_same_from_both_sides(one: float, other: float) -> None:
    first = Split({"blue": 1 - one, "green": one})
    second = Split({"green": other, "blue": 1 - other})
    assert same_weights(first, second) == same_weights(second, first)
    assert same_weights(first, first)
    if abs(one - other) > 1e-5:
        assert not same_weights(first, second)


def test_a_variant_that_only_one_split_has_makes_them_differ() -> None:
    assert not same_weights(CANARY, Split({"blue": 70, "green": 25, "red": 5}))
    assert same_weights(CANARY, Split({"blue": 75, "green": 25, "red": 0}))


# --- draws that are not independent ---


def ordered(variants: Sequence[str], connections: Sequence[int]) -> Order:
    names = sorted(set(variants))
    recorder = OrderRecorder()
    codes = np.array([names.index(variant) for variant in variants], np.int64)
    recorder.extend(names, codes, np.array(connections, np.int64))
    return recorder.order


def kept_on_connections(responses: int) -> Order:
    """Return an order in which four connections of sixteen are on green, and stay there."""
    connections = [number % 16 + 1 for number in range(responses)]
    return ordered(["green" if c <= 4 else "blue" for c in connections], connections)


def in_turn(responses: int) -> Order:
    variants = list(itertools.islice(itertools.cycle(["blue", "blue", "blue", "green"]), responses))
    return ordered(variants, [0] * responses)


def test_clustered_draws_are_never_a_match() -> None:
    judged = judge(having(MATCHING, order=kept_on_connections(8000)))
    assert judged.verdict is Verdict.INCONCLUSIVE
    assert "not independent" in judged.reason
    assert "--unit session" in judged.reason
    sessions = judge(having(MATCHING, order=kept_on_connections(8000), unit="session"))
    assert "--unit session" not in sessions.reason


def test_no_clustering_excuses_a_variant_that_should_not_answer() -> None:
    run = having(made({"blue": 6000, "red": 2000}), order=kept_on_connections(8000))
    assert judge(run).verdict is Verdict.MISMATCH


def test_a_split_that_is_kept_better_than_chance_matches_with_a_remark() -> None:
    judged = judge(having(MATCHING, order=in_turn(8000)))
    assert judged.verdict is Verdict.MATCH
    assert " Note: " in judged.reason


def test_a_split_that_changed_once_is_not_clustered() -> None:
    rng = random.Random(3)
    variants = []
    stretches = []
    for number in range(60):
        share = 0.1 if number < 30 else 0.4
        drawn = ["green" if rng.random() < share else "blue" for _ in range(100)]
        variants += drawn
        tally = Tally({"blue": drawn.count("blue"), "green": drawn.count("green")})
        stretches.append(Stretch(number / 10, (number + 1) / 10, tally))
    run = having(MATCHING, stretches=stretches, order=ordered(variants, [0] * len(variants)))
    found = draws_of(run)
    assert found.draws is Draws.INDEPENDENT
    assert "changed once" in found.reason
    # The same responses in a gateway that goes to and fro are clustered.
    mixed = [stretches[i // 2 + 30 * (i % 2)] for i in range(60)]
    shuffled = []
    for number in range(60):
        begin = 100 * (number // 2 + 30 * (number % 2))
        shuffled += variants[begin : begin + 100]
    again = having(MATCHING, stretches=mixed, order=ordered(shuffled, [0] * len(shuffled)))
    assert draws_of(again).draws is Draws.CLUSTERED


# --- looking again ---


def test_what_was_reached_while_the_run_went_on_stands() -> None:
    run = made({"blue": 6000, "green": 2000}, decided=Verdict.MISMATCH)
    assert judge(run).verdict is Verdict.MISMATCH


@pytest.mark.parametrize("name", RUNS)
def test_a_replay_looks_at_all_that_was_counted(name: str) -> None:
    run: Run = RUNS[name]
    looks = [test.tally.requests for test in looks_at(run)]
    assert len(looks) == len(run.counted.stretches)
    assert looks == sorted(looks)
    test = replay(run)
    assert test.tally.requests == run.tally.requests
    assert test.tally.counts == run.tally.counts


def test_gateways_that_ended_at_different_times_are_looked_at_together() -> None:
    long = [Stretch(i, i + 1, Tally({"blue": 3, "green": 1})) for i in range(3)]
    question = dataclasses.replace(MATCHING.question, gateways=2)
    gateways = [Gateway("http://a", long), Gateway("http://b", long[:1])]
    run = having(dataclasses.replace(MATCHING, question=question), gateways=gateways)
    assert [test.tally.requests for test in looks_at(run)] == [8, 12, 16]
    assert replay(run).tally.requests == 16


counts = st.dictionaries(st.sampled_from(["blue", "green", "red"]), st.integers(0, 20_000))


@pytest.mark.slow
@given(
    counts,
    st.integers(0, 300),
    st.integers(0, 300),
    st.sampled_from(["sequential", "fixed"]),
    st.sampled_from([CANARY, Split({"blue": 1, "green": 0}), Split({"green": 1})]),
)
def test_any_run_gets_a_verdict_and_one_sentence(
    counts: dict[str, int], errors: int, unidentified: int, test: str, split: Split
) -> None:
    run = made(counts, split=split, test=test, errors=errors, unidentified=unidentified)
    judged = judge(run)
    assert judged.reason.endswith(".")
    assert judged.reason.splitlines() == [judged.reason]
    surprising = unexpected(split, run.tally)
    if why_names_do_not_meet(run):  # no verdict is about names
        assert judged.verdict is Verdict.INCONCLUSIVE
    else:
        assert not surprising or judged.verdict in (Verdict.MISMATCH, Verdict.FAILING)
    if judged.verdict is Verdict.MATCH:
        assert not surprising
        assert not too_many_lost(run)


def test_a_sentence_on_losses_is_about_the_requests_that_were_too_few() -> None:
    # One of two gateways hung at the start; the other's answers came to thousands meanwhile.
    counts = {"blue": 3000, "green": 1000}
    failing = Verdict.FAILING
    run = made(counts, errors=8, decided=failing, decided_after=60, sent_then=64, lost_then=8)
    judged = judge(run)
    assert judged.verdict is Verdict.FAILING
    assert judged.reason.startswith(
        "Of the first 64 requests 8 were lost (HTTP 503), more than 1 %"
    )
    assert judged.reason.endswith("In the end it was 8 of 4,008.")
    without = judge(made(counts, errors=8, decided=failing))
    assert "more than 1 %" not in without.reason


# --- gateways that have stopped answering ---


def test_a_match_does_not_stand_where_a_gateway_has_stopped_answering() -> None:
    stopped = Hanging(requests=8000, lost=8, answered=1.5, silent=10.0, unanswered=8)
    answering = made({"blue": 6000, "green": 2000}, decided=Verdict.MATCH)
    assert judge(answering).verdict is Verdict.MATCH
    judged = judge(having(answering, hanging=[stopped]))
    assert judged.verdict is Verdict.FAILING
    assert "http://gateway has not answered since 1.5 s after the start" in judged.reason
    # What was shown before stands.
    off = made({"blue": 6000, "green": 2000}, decided=Verdict.MISMATCH)
    assert judge(having(off, hanging=[stopped])).verdict is Verdict.MISMATCH
