"""What is expected and how surely: from texts to limits, and from limits to a question."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.support.refusals import attempted
from tests.support.runs import CANARY
from trafficsplit.analysis.question import Question
from trafficsplit.analysis.run import CanaryLimits
from trafficsplit.analysis.split import Split
from trafficsplit.errors import InputError
from trafficsplit.settings.options import EXPECTED, LIMITS, WEIGHTS, Texts
from trafficsplit.settings.question import (
    Limits,
    limits_as_plain,
    limits_from_plain,
    parse_limits,
    parse_previous,
    parse_split,
    parse_variants,
    parse_weights,
    required_split,
    split_of_weight,
    weights_text,
)


def asked(split: Split = CANARY, **given_texts: str) -> Question:
    return parse_limits(Texts(LIMITS, given_texts)).question(split)


def test_every_limit_is_set_by_its_option() -> None:
    question = asked(
        tolerance="3",
        zero_tolerance="0.2",
        alpha="0.1%",
        power="0.999",
        max_failing="2",
        requests="20k",
        test="fixed",
    )
    assert question == Question(
        CANARY,
        0.03,
        zero_tolerance=0.002,
        alpha=0.001,
        power=0.999,
        max_failing=0.02,
        requests=20_000,
        test="fixed",
    )


def test_without_options_the_defaults_hold_and_the_budget_is_planned() -> None:
    question = asked()
    assert (question.tolerance, question.alpha, question.test) == (0.02, 0.01, "sequential")
    assert question.requests > 10_000
    assert asked(Split({"blue": 98, "green": 2})).tolerance == pytest.approx(0.01)


def test_a_limit_of_zero_is_a_limit() -> None:
    assert asked(max_failing="0").max_failing == 0


@pytest.mark.parametrize(
    ("texts", "said"),
    [
        # Issue 13, fault 9: each of these was understood as something else.
        ({"alpha": "1"}, "--alpha is 1, which is 1 % or no fraction: say 1% or 0.01"),
        ({"tolerance": "0.02"}, "may be 0.02 or 2 points: say 0.02% or 2"),
        ({"max_failing": "0.5"}, "may be 0.5 % or 50 %: say 0.5% or 50"),
        ({"tolerance": "30"}, "let blue, of weight 75 %, get everything: give less than 25"),
        ({"tolerance": "25"}, "give less than 25"),
        ({"tolerance": "60"}, "above 0 and below 50"),
        ({"tolerance": "0.0001%"}, "give a larger --tolerance"),
        ({"tolerance": "0.0001%", "test": "fixed"}, "give a larger --tolerance"),
        ({"max_failing": "100"}, "the share of failing requests is 1"),
        ({"requests": "0"}, "--requests is 0"),
        ({"requests": "1e10"}, "requests cannot be sent"),
        ({"test": "bayes"}, "there is no --test 'bayes': say one of sequential, fixed"),
        ({"power": "0.5%"}, "power is 0.005: give a fraction between alpha and 1"),
    ],
)
def test_limits_that_make_no_sense_are_refused(texts: dict[str, str], said: str) -> None:
    with pytest.raises(InputError, match=re.escape(said)):
        asked(CANARY, **texts)


def test_a_tolerance_that_reaches_everything_is_refused_too() -> None:
    with pytest.raises(InputError, match="of weight 90 %, get everything: give less than 10"):
        asked(Split({"green": 90, "blue": 10}), tolerance="10")


@given(st.dictionaries(st.sampled_from([o.name for o in EXPECTED]), st.text(max_size=8)))
def test_any_texts_ask_a_question_or_are_refused(given_texts: dict[str, str]) -> None:
    texts = Texts(EXPECTED, given_texts)

    def ask() -> Question:
        return parse_limits(texts).question(required_split(parse_split(texts)))

    question = attempted(ask)
    assert str(question)
    if isinstance(question, Question):
        assert 0 < question.alpha < 0.5
        assert question.requests > 0


figures = st.floats(1e-9, 100).map(lambda x: f"{x:.6g}%") | st.integers(0, 10**10).map(str)


weights = st.dictionaries(
    st.sampled_from("abc"), st.floats(0, 1e300) | st.just(1.0), min_size=1
).filter(lambda found: any(found.values()))


@given(
    weights,
    st.dictionaries(st.sampled_from([o.name for o in LIMITS if o.name != "test"]), figures),
    st.sampled_from(["sequential", "fixed"]),
)
@example({"a": 1.0, "b": 1e-300}, {}, "sequential")  # issue 13, fault 4
@example({"a": 75, "b": 25}, {"tolerance": "0.0000001%"}, "sequential")
@example({"a": 75, "b": 25}, {"alpha": "1e-320"}, "fixed")
@example({"a": 75, "b": 25}, {"zero_tolerance": "1e-310%"}, "sequential")
@example({"a": 1, "b": 1, "c": 1}, {"tolerance": "1e-09%"}, "fixed")
def test_any_figures_ask_a_question_or_are_refused(
    found: dict[str, float], given_texts: dict[str, str], test: str
) -> None:
    question = attempted(lambda: asked(Split(found), test=test, **given_texts))
    assert str(question)
    if isinstance(question, Question):
        assert question.requests > 0


@pytest.mark.parametrize("text", ["0.25", "0.5", ".3", "1.0"])
def test_a_weight_that_may_be_a_fraction_is_refused_with_both_readings(text: str) -> None:
    value = float(text)
    said = f"may be {value:g} % or {100 * value:g} %: say {value:g}% or {100 * value:g}"
    with pytest.raises(InputError, match=re.escape(said)):
        parse_split(Texts(WEIGHTS, {"weight": text}))


def test_a_weight_is_greens_and_blue_gets_the_rest() -> None:
    for text in ("25", "25%", "25 %"):
        assert parse_split(Texts(WEIGHTS, {"weight": text})) == CANARY
    assert split_of_weight("0.25%", "x", ("blue", "green"))["green"] == pytest.approx(0.0025)
    assert parse_split(Texts(WEIGHTS, {})) is None


def test_variants_are_the_stable_one_and_the_canary() -> None:
    assert parse_variants(Texts(WEIGHTS, {})) == ("blue", "green")
    given_texts = {"variants": "v1, v2", "weight": "10"}
    assert parse_variants(Texts(WEIGHTS, given_texts)) == ("v1", "v2")
    assert parse_split(Texts(WEIGHTS, given_texts)) == Split({"v1": 90, "v2": 10})
    for bad in ("blue", "blue,", ",green", "blue,blue", "a,b,c"):
        with pytest.raises(InputError, match="--variants is not STABLE,CANARY"):
            parse_variants(Texts(WEIGHTS, {"variants": bad}))


def test_weights_are_given_once() -> None:
    texts = Texts(EXPECTED, {"weight": "25", "manifest": "f.yaml"})
    with pytest.raises(InputError, match="--weight and --manifest say the same thing twice"):
        parse_split(texts)


def test_no_split_at_all_is_refused_with_the_ways_to_give_one() -> None:
    with pytest.raises(InputError, match=r"give --weight 25 .* or --manifest FILE"):
        required_split(None)
    assert required_split(CANARY) is CANARY


def test_weights_by_variant_are_in_any_unit() -> None:
    assert Split(parse_weights("blue=3, green=1")) == CANARY
    assert parse_weights("blue=75%,green=25%,") == {"blue": 75, "green": 25}
    assert parse_weights("a=b=1") == {"a=b": 1}
    assert parse_weights("blue=0.75,green=0.25") == {"blue": 0.75, "green": 0.25}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("green", "'green' is not of the form variant=weight, e.g. green=25"),
        ("=25", "is not of the form variant=weight"),
        ("green=", "the weight of green is not a number"),
        ("green=1,green=2", "the weight of green is given twice"),
        ("green=nan", "the weight of green is not a number"),
    ],
)
def test_weights_that_cannot_be_read_are_refused_by_name(text: str, said: str) -> None:
    with pytest.raises(InputError, match=re.escape(said)):
        parse_weights(text)


variants = st.text(st.characters(categories=["L", "N"]), min_size=1, max_size=6)


@given(st.dictionaries(variants, st.floats(1e-6, 1e6), min_size=1, max_size=4))
def test_weights_are_read_as_they_are_written(weights: dict[str, float]) -> None:
    split = Split(weights)
    again = Split(parse_weights(weights_text(split)))
    assert list(again) == list(split)
    assert dict(again.weights) == pytest.approx(dict(split.weights))


@pytest.mark.parametrize("name", ["a,b", "a=b"])
def test_a_name_that_cannot_be_written_is_refused(name: str) -> None:
    with pytest.raises(InputError, match=f"give --map {name}=…"):
        weights_text(Split({name: 1}))


def test_the_weight_before_the_change_is_a_split() -> None:
    texts = Texts((), {})
    assert parse_previous(texts) is None
    texts["previous_weight"] = "10"
    assert parse_previous(texts) == Split({"blue": 90, "green": 10})
    texts["previous_weight"] = "0.1"
    with pytest.raises(InputError, match=r"--previous-weight is 0\.1, which may be 0\.1 % or 10 %"):
        parse_previous(texts)


limits = st.builds(
    Limits,
    *[st.none() | st.floats(1e-6, 0.4)] * 5,
    requests=st.integers(0, 10**9),
    test=st.sampled_from(["sequential", "fixed"]),
)


@given(limits)
def test_limits_come_back_from_a_file_as_they_were(given_limits: Limits) -> None:
    plain: Any = json.loads(json.dumps(limits_as_plain(given_limits)))
    assert limits_from_plain(plain) == given_limits


def test_limits_of_a_canary_take_their_own_number_of_requests() -> None:
    split = Split({"blue": 95, "green": 5})
    limits = parse_limits(Texts(LIMITS, {}))
    assert limits.question(split).least_requests == 0
    question = limits.question(split, canary=CanaryLimits(max_p99_ratio=1.5))
    assert question.least_requests > 20_000
    assert question.requests >= question.least_requests
    given_requests = parse_limits(Texts(LIMITS, {"requests": "500"}))
    assert given_requests.question(split, canary=CanaryLimits(1.5)).requests == 500
