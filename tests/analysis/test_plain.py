"""A run as data and back: through JSON, as a file and a pipe have it."""

import copy
import datetime
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.runs import RUNS, having, made
from trafficsplit.analysis.judge import judge
from trafficsplit.analysis.order import OrderRecorder
from trafficsplit.analysis.plain import (
    question_as_plain,
    question_from_plain,
    run_as_plain,
    run_from_plain,
    stamp,
)
from trafficsplit.analysis.question import Question
from trafficsplit.analysis.run import (
    CanaryLimits,
    Counted,
    Ending,
    Gateway,
    LatencyKey,
    Run,
    Sender,
    SourceReading,
    Stretch,
    Subject,
)
from trafficsplit.analysis.split import Split
from trafficsplit.analysis.tally import Tally
from trafficsplit.analysis.verdict import Verdict

whole = st.integers(0, 10**12)
names = st.sampled_from(["blue", "green", "red", "ünïcode"])
words = st.text(st.characters(codec="utf-8"), max_size=10)
numbers = st.floats(0, 1e6)
splits = st.dictionaries(names, st.integers(1, 100), min_size=1).map(Split)
tallies = st.builds(Tally, st.dictionaries(names, whole), whole, whole)
stretches = st.lists(
    st.builds(lambda at, tally: Stretch(at, at + 0.5, tally), st.integers(0, 10**6), tallies),
    max_size=3,
)


def order_of(pairs: list[tuple[str, int]]) -> Any:
    recorder = OrderRecorder()
    for variant, connection in pairs:
        recorder.add(variant, connection)
    return recorder.order


orders = st.lists(st.tuples(names, st.integers(0, 3)), max_size=90).map(order_of)
latencies = st.dictionaries(
    st.builds(LatencyKey, names | st.just(""), st.sampled_from(["2xx", "5xx", "none"])),
    st.dictionaries(st.integers(0, 5000), st.integers(1, 10**9)),
    max_size=3,
)
runs = st.builds(
    Run,
    question=splits.map(lambda split: Question(split, split.default_tolerance / 2, requests=9)),
    subject=st.builds(Subject, words, words, users=whole, elapsed=numbers, run_id=words),
    counted=st.builds(
        Counted,
        stretches=stretches,
        latency=latencies,
        losses=st.dictionaries(words, whole, max_size=3),
        order=orders,
        gateways=st.lists(st.builds(Gateway, words, stretches, orders), max_size=2),
        cached=whole,
    ),
    ending=st.builds(Ending, st.none() | st.sampled_from(Verdict), words, words, words, words),
    sender=st.builds(Sender, words, whole, whole, numbers, numbers, numbers, numbers, whole),
    canary=st.builds(CanaryLimits, st.none() | numbers, st.none() | numbers),
    previous=st.none() | splits,
    source=st.none() | st.builds(SourceReading, words, st.none() | splits, words),
)


def through_json(run: Run) -> Run:
    return run_from_plain(json.loads(json.dumps(run_as_plain(run), allow_nan=False)))


@given(runs)
def test_any_run_comes_back_as_it_was(run: Run) -> None:
    again = through_json(run)
    assert again.subject == run.subject
    assert again.counted == run.counted
    assert again.ending == run.ending
    assert again.sender == run.sender
    assert again.canary == run.canary
    assert (again.source is None) == (run.source is None)
    # Weights are normalised once more, which may cost a last bit; their data is the same.
    assert run_as_plain(through_json(again)) == run_as_plain(again)


@pytest.mark.parametrize("name", RUNS)
def test_what_is_judged_comes_back_equal(name: str) -> None:
    run: Run = RUNS[name]
    again = through_json(run)
    assert again.question == run.question
    assert again.tally == run.tally
    assert again.counted.latency == run.counted.latency
    assert judge(again) == judge(run)


@pytest.mark.parametrize("test", ["sequential", "fixed"])
def test_a_question_comes_back_as_it_was(test: str) -> None:
    question = Question(
        Split({"blue": 3, "green": 1}),
        0.03,
        zero_tolerance=0.002,
        alpha=0.05,
        power=0.9,
        max_failing=0.02,
        requests=77,
        test=test,
        gateways=2,
    )
    assert question_from_plain(json.loads(json.dumps(question_as_plain(question)))) == question


def paths(plain: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Return the path of every mapping's key in plain data."""
    if isinstance(plain, dict):
        children = list(plain.items())
    elif isinstance(plain, list):
        children = list(enumerate(plain))
    else:
        return []
    found = []
    for key, value in children:
        found.append((*path, key))
        found += paths(value, (*path, key))
    return found


RICH = having(
    made({"blue": 6, "green": 2}, errors=1, decided=Verdict.MATCH),
    source=SourceReading("f", Split({"blue": 1})),
    gateways=[Gateway("a", [Stretch(0, 1, Tally({"blue": 1}))])],
)


@pytest.mark.parametrize("key", run_as_plain(RICH))
def test_a_part_that_is_missing_is_an_error_that_the_reader_knows(key: str) -> None:
    plain = run_as_plain(RICH)
    del plain[key]
    with pytest.raises((KeyError, TypeError, ValueError)):
        run_from_plain(plain)


@given(
    st.sampled_from(paths(run_as_plain(RICH))),
    st.none() | st.booleans() | st.integers(-5, 5) | st.text(max_size=3) | st.just([]),
)
def test_damage_is_refused_or_makes_a_run(path: tuple[Any, ...], damage: Any) -> None:
    plain = copy.deepcopy(run_as_plain(RICH))
    place: Any = plain
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = damage
    try:
        run = run_from_plain(plain)
    # What `read_run` makes one line of.
    except (TypeError, KeyError, ValueError, IndexError, AttributeError):
        return
    assert isinstance(run, Run)


def test_a_moment_is_stamped_to_the_millisecond_in_utc() -> None:
    moment = datetime.datetime(2026, 1, 2, 3, 4, 5, 6999, tzinfo=datetime.UTC)
    assert stamp(moment) == "2026-01-02T03:04:05.006Z"
    assert datetime.datetime.fromisoformat(stamp(moment)) == moment.replace(microsecond=6000)
