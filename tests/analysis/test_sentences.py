"""Sentences: one line each, with the figures that a person acts on."""

import dataclasses
import math
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.runs import CANARY, RUNS, having, made
from trafficsplit.analysis import sentences
from trafficsplit.analysis.comparison import Comparison, Limit
from trafficsplit.analysis.fixed import chi_square
from trafficsplit.analysis.gateways import compare_gateways
from trafficsplit.analysis.independence import Draws, Independence
from trafficsplit.analysis.run import CanaryLimits, Gateway, Run, SourceReading, Stretch
from trafficsplit.analysis.split import Split
from trafficsplit.analysis.tally import Tally

OFF = Comparison(
    baseline="blue",
    canary="green",
    p99_ratio=3.456,
    p99_p_value=0.00012,
    slower=0.001,
    error_ratio=4.0,
    errors_p_value=0.0003,
    p99_limit=Limit.EXCEEDED,
    errors_limit=Limit.EXCEEDED,
)


@pytest.mark.parametrize(
    ("fraction", "said"),
    [
        (0.02, "2 points"),
        (0.01, "1 point"),
        (0.001, "0.1 points"),
        (0.0234, "2.3 points"),
        (0.5, "50.0 points"),
    ],
)
def test_differences_are_percentage_points(fraction: float, said: str) -> None:
    assert sentences.points(fraction) == said


@given(st.floats(0, 1))
def test_p_values_have_two_digits_and_are_never_nothing(p: float) -> None:
    said = sentences.show_p(p)
    if said.startswith("less than"):
        assert p <= 1e-300
    else:
        assert math.isclose(float(said), p, rel_tol=0.06)


def test_the_oddest_variant_is_the_one_that_is_off() -> None:
    split = Split({"a": 50, "b": 30, "c": 20})
    assert sentences.oddest(split, Tally({"a": 500, "b": 400, "c": 100})) == "c"
    # Of two variants, which mirror each other, the canary.
    assert sentences.oddest(CANARY, Tally({"blue": 80, "green": 20})) == "green"


def test_a_match_says_the_shares_the_weights_and_the_tolerance() -> None:
    said = sentences.match(made({"blue": 6000, "green": 2000}))
    assert said == (
        "The split is as configured in 8,000 responses: blue 75.0 % (weight 75 %), green 25.0 % "
        "(weight 25 %), each within 2 points."
    )


def test_a_match_by_chi_square_says_what_would_have_been_seen() -> None:
    run = made({"blue": 8700, "green": 2842}, test="fixed")
    said = sentences.match(run, chi_square(run.tally.counts, CANARY))
    assert re.search(
        r"a deviation of 2 points would have been seen \(chi-square p = 0\.\d+\)", said
    )


def test_a_match_of_several_gateways_says_that_it_is_of_their_sum() -> None:
    stretch = Stretch(0, 1, Tally({"blue": 3000, "green": 1000}))
    gateways = [Gateway("http://a", [stretch]), Gateway("http://b", [stretch])]
    run = having(made({"blue": 6000, "green": 2000}), gateways=gateways)
    assert "8,000 responses of 2 gateways, and at each of them" in sentences.match(run)


def test_a_rollback_says_what_the_others_may_get_at_most() -> None:
    run = made({"blue": 4603}, split=Split({"blue": 1, "green": 0}))
    assert sentences.match(run) == (
        "All 4,603 responses came from blue: any other variant's share is below 0.1 %."
    )


@pytest.mark.parametrize(
    ("green", "said"),
    [
        (1600, "green gets 20.0 % of 8,000 responses, 5 points less than its 25 %."),
        (2800, "green gets 35.0 % of 8,000 responses, 10 points more than its 25 %."),
    ],
)
def test_a_mismatch_says_by_how_much_and_in_which_direction(green: int, said: str) -> None:
    assert sentences.mismatch(made({"blue": 8000 - green, "green": green}), "green") == said


def test_a_surprise_says_who_answered() -> None:
    tally = Tally({"blue": 9, "red": 1})
    assert sentences.surprise(CANARY, {"red": 1}, tally) == (
        "red is not configured, but answered once in 10 requests."
    )
    rollback = Split({"blue": 1, "green": 0})
    assert sentences.surprise(rollback, {"green": 1200}, Tally({"green": 1200})) == (
        "green has weight 0, but answered 1,200 times in 1,200 requests."
    )


def gateways_of(*tallies: Tally) -> Run:
    gateways = []
    for number, tally in enumerate(tallies):
        gateways.append(Gateway(f"http://{number}", [Stretch(0.0, 1.0, tally)]))
    run = made(dict(sum(tallies, Tally()).counts))
    question = dataclasses.replace(run.question, gateways=len(tallies))
    return having(run, question=question, gateways=gateways)


def test_a_gateway_that_is_off_is_named_beside_what_the_others_do() -> None:
    fine = Tally({"blue": 750, "green": 250})
    run = gateways_of(fine, Tally({"blue": 1000, "green": 0}), fine)
    assert sentences.at_gateways(run, compare_gateways(run)) == (
        "http://1 gives green 0.0 % of 1,000 responses and not its 25 %; the other 2 gateways give "
        "it 25.0 %."
    )
    two = gateways_of(fine, Tally({"blue": 1000, "green": 0}))
    assert "; the other gateway gives it 25.0 %." in sentences.at_gateways(
        two, compare_gateways(two)
    )


def test_where_no_gateway_is_singled_out_none_is_named() -> None:
    fine = Tally({"blue": 750, "green": 250})
    run = gateways_of(fine, fine)
    found = compare_gateways(run)
    assert found is not None
    assert sentences.at_gateways(run, found) == ""
    assert sentences.at_gateways(run, None) == ""
    assert sentences.unlike_gateways(run, found) == (
        "The gateways do not split alike (homogeneity: p = 1)."
    )


def test_failing_says_how_many_were_lost_and_mostly_why() -> None:
    run = having(made({"blue": 60}, errors=9, unidentified=3), losses={"HTTP 503": 9, "x": 3})
    assert sentences.failing(run) == (
        "Of 72 requests 9 got no 2xx answer and 3 answers named no variant (mostly HTTP 503), more "
        "than 1 %: no split can be judged from what is left."
    )
    one = having(made({"blue": 60}, errors=9), losses={"HTTP 503": 9})
    assert "(HTTP 503)" in sentences.failing(one)
    assert "(" not in sentences.failing(having(one, losses={}))


def test_a_canary_that_is_worse_is_held_against_the_option() -> None:
    limits = CanaryLimits(max_p99_ratio=2.0, max_error_ratio=1.5)
    assert sentences.too_slow(OFF, limits) == (
        "green is too slow: its p99 is 3.46 times blue's, more than --max-p99-ratio 2 "
        "(p = 0.00012)."
    )
    assert "4.00 times blue's share, more than --max-error-ratio 1.5" in sentences.too_faulty(
        OFF, limits
    )


def test_a_baseline_that_never_fails_has_no_ratio() -> None:
    import dataclasses

    never = dataclasses.replace(OFF, error_ratio=None)
    limits = CanaryLimits(max_error_ratio=1.5)
    assert "and blue never, more than" in sentences.too_faulty(never, limits)


def test_a_source_that_changed_or_is_gone_is_named() -> None:
    changed = sentences.source_changed("shop/color", CANARY, Split({"blue": 1, "green": 1}))
    assert changed == (
        "The weights of shop/color changed while they were verified, from blue 75 %, green 25 % to "
        "blue 50 %, green 50 %: verify again."
    )
    unread = sentences.source_unread(SourceReading("shop/color", unread="it is gone"))
    assert "shop/color" in unread
    assert "it is gone" in unread


def test_clustered_draws_come_with_the_way_out_where_there_is_one() -> None:
    in_order = Independence(Draws.CLUSTERED, 1.0, 0.0, 9.0, 1.0, "connections differ")
    found = dataclasses.replace(in_order, by_connection=True)
    run = made({"blue": 60})
    assert "--unit session" not in sentences.clustered(run, in_order)
    assert "verify with --unit session" in sentences.clustered(run, found)
    assert "--unit session" not in sentences.clustered(having(run, unit="session"), found)
    assert "connections differ" in sentences.clustered(run, found)


@pytest.mark.parametrize(
    ("run", "losses_of", "said"),
    [
        (made({"blue": 7}, requests=100), "", "Only 7 of at most 100 requests were answered: the "),
        (made({"blue": 7}, requests=100, interrupted="Ctrl-C"), "", "answered: Ctrl-C."),
        (made({"blue": 7}, requests=100, test="fixed"), "", "Only 7 of 100 requests"),
        (made({}, errors=100, requests=100), "", "No response named a variant."),
        (made({"blue": 75, "green": 25}, requests=100), "", "a match within 2 points takes 5,"),
        (
            made({"blue": 21_000, "green": 7000}, errors=9, requests=28_000),
            "green",
            "9 requests were lost, and if they were all green's",
        ),
        (
            made({"blue": 21_900, "green": 8_100}, requests=30_000),
            "",
            "green got 27.00 %, and its weight is 25 ± 2 %. Such a share is near the edge",
        ),
        (
            made({"blue": 21_300, "green": 8_700}, requests=30_000),
            "",
            "its weight is 25 ± 2 %. That is 2 points beyond the tolerance, but not yet certain",
        ),
        (
            made({"blue": 22_500, "green": 7_500}, requests=30_000),
            "",
            "green got 25.00 %, and its weight is 25 ± 2 %. Give more --requests.",
        ),
    ],
)
def test_what_is_undecided_says_what_would_help(run: Run, losses_of: str, said: str) -> None:
    assert said in sentences.undecided(run, losses_of)


def test_a_fixed_test_without_power_says_how_many_to_send() -> None:
    run = made({"blue": 300, "green": 100}, test="fixed", requests=400)
    said = sentences.too_little_power(run, chi_square(run.tally.counts, CANARY), 11_542)
    assert said.endswith("400 requests could have missed one of 2 points: send 11,542.")


@pytest.mark.parametrize("name", [name for name in RUNS if name != "unreachable"])
def test_every_sentence_is_one_line_that_ends(name: str) -> None:
    run: Run = RUNS[name]
    variant = sentences.oddest(run.question.split, run.tally)
    said = [
        sentences.match(run),
        sentences.mismatch(run, variant, " (p = 1)"),
        sentences.failing(run),
        sentences.undecided(run, ""),
        sentences.ended_early(run),
        sentences.hangs_on_losses(7, variant),
    ]
    for sentence in said:
        assert sentence.splitlines() == [sentence]
        assert sentence.endswith(".")


def test_slow_answers_that_come_together_are_said_to_say_less() -> None:
    one = dataclasses.replace(
        OFF,
        p99_limit=Limit.OPEN,
        errors_limit=Limit.KEPT,
        p99_ratio=1.1,
        answers=1500,
        baseline_answers=4500,
    )
    run = having(made({"blue": 4500, "green": 1500}), max_p99_ratio=2.0)
    (said,) = sentences.limits_left_open(run, [one])
    assert said == (
        "It is not shown that green's p99 is at most 2 times blue's (--max-p99-ratio): it could "
        "still be more than 4 times, by 1,500 and 4,500 answers."
    )
    together = dataclasses.replace(one, dispersion=3.02)
    (said,) = sentences.limits_left_open(run, [together])
    assert said.endswith("(slow answers come together: 3.0 of them say as much as one alone).")
