import csv
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.simulation import verdicts
from trafficsplit.analysis.evidence import divergence, edges, log_ratios
from trafficsplit.analysis.question import Question
from trafficsplit.analysis.sequential import WORTH_A_LOOK, SequentialTest
from trafficsplit.analysis.simulation import gateways, sequential
from trafficsplit.analysis.split import Split
from trafficsplit.analysis.verdict import Verdict
from trafficsplit.errors import InputError

REFERENCE = Path(__file__).with_name("reference")
CANARY = Split({"blue": 75, "green": 25})
ALPHA = 0.01


def reference(name: str) -> list[dict[str, str]]:
    with (REFERENCE / name).open() as file:
        return list(csv.DictReader(file))


def looked_at(row: dict[str, str]) -> SequentialTest:
    weights = [float(part) for part in row["weights"].split(";")]
    counts = [int(part) for part in row["counts"].split(";")]
    test = SequentialTest(Split({f"v{i}": w for i, w in enumerate(weights)}))
    test.update({f"v{i}": x for i, x in enumerate(counts)})
    return test


@pytest.mark.parametrize("row", reference("exact_null_log_evidence.csv"))
def test_evidence_against_the_exact_weights_is_savvis(row: dict[str, str]) -> None:
    found = looked_at(row).log_exact([float(row["concentration"])])
    assert found == pytest.approx(float(row["log_evidence"]), rel=1e-9)


@pytest.mark.parametrize("row", reference("confidence_sequence.csv"))
def test_the_confidence_sequence_is_savvis(row: dict[str, str]) -> None:
    found = looked_at(row).confidence(f"v{row['arm']}", [float(row["concentration"])])
    assert found == pytest.approx((float(row["low"]), float(row["high"])), abs=6e-6)


@pytest.mark.parametrize(
    ("weight", "n", "x", "low", "high"),
    [
        (0.25, 6000, 1500, 6.644526, 6.187464),
        (0.25, 6000, 1560, 13.226461, -0.051919),
        (0.05, 2000, 100, 11.497797, 6.779833),
    ],
)
def test_match_evidence_is_the_designs(
    weight: float, n: int, x: int, low: float, high: float
) -> None:
    # DESIGN.md 4, the special case with all mass on the weight
    test = SequentialTest(Split({"blue": 1 - weight, "green": weight}), tolerance=0.02)
    test.update({"blue": n - x, "green": x})
    evidence = test.log_evidence("green")
    for name, edge, expected in (("low", weight - 0.02, low), ("high", weight + 0.02, high)):
        own, others = log_ratios(weight, edge)
        assert x * own + (n - x) * others == pytest.approx(expected, abs=1e-6)
        assert evidence[name] >= expected + math.log(0.8)


def test_the_uniform_mixture_is_one_too() -> None:
    # DESIGN.md 4: weights .75/.25, n = 1,000; κ = 100.
    for green, expected in ((250, -1.202230), (300, 4.584764)):
        test = SequentialTest(CANARY)
        test.update({"blue": 1000 - green, "green": green})
        assert test.log_exact([100]) == pytest.approx(expected, abs=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("share", [0.25, 0.27, 0.32, 0.0])
def test_to_look_when_least_more_says_finds_the_same_hardly_later(share: float) -> None:
    question = Question(CANARY, 0.03)
    most = 3000
    truth = {"blue": 1 - share, "green": share}
    later = []
    for totals in gateways(question, truth, most=most, runs=8, seed=1):
        eager = SequentialTest.of(question)
        seen = [0, 0]
        n = 0
        while eager.verdict is Verdict.INCONCLUSIVE and n < most:
            blue, green = totals[n].tolist()
            eager.update({"blue": blue - seen[0], "green": green - seen[1]})
            seen = [blue, green]
            n += 1
        lazy = sequential(question, totals)
        assert lazy.requests >= n
        later.append(lazy.requests / n)
    assert np.median(later) <= 1 + 2 / WORTH_A_LOOK


def too_many(wrong: int, runs: int, alpha: float = ALPHA) -> bool:
    """Return whether so many wrong verdicts are no chance: four standard errors above alpha."""
    return wrong > runs * alpha + 4 * math.sqrt(runs * alpha * (1 - alpha))


EDGES = [
    pytest.param(Split({"blue": 75, "green": 25}), 0.02, 30_000, id="25 percent"),
    pytest.param(Split({"blue": 95, "green": 5}), 0.02, 8_000, id="5 percent"),
    pytest.param(Split({"blue": 50, "green": 50}), 0.05, 6_000, id="half"),
    pytest.param(Split({"blue": 99, "green": 1}), 0.005, 25_000, id="1 percent"),
    pytest.param(
        Split({"blue": 50, "green": 30, "red": 20}),
        0.02,
        30_000,
        id="three",
    ),
]


@pytest.mark.slow
@pytest.mark.parametrize("sign", [-1, 1])
@pytest.mark.parametrize(("split", "tolerance", "most"), EDGES)
def test_verdicts_at_the_edge_are_wrong_no_more_often_than_alpha(
    split: Split, tolerance: float, most: int, sign: int
) -> None:
    # At exactly one tolerance both hypotheses hold: match and mismatch are each the wrong one.
    shares = list(split.weights.values())
    shares[0] -= sign * tolerance
    shares[1] += sign * tolerance
    runs = 250
    found = [v for v, _ in verdicts(split, tolerance, shares, most=most, runs=runs, seed=1)]
    assert not too_many(found.count(Verdict.MATCH), runs)
    assert not too_many(found.count(Verdict.MISMATCH), runs)


@pytest.mark.slow
def test_a_test_without_a_threshold_of_its_own_would_fail_the_last_one() -> None:
    # The same simulation, with evidence that is taken for enough too early, does raise the alarm.
    split = Split({"blue": 50, "green": 50})
    tolerance = 0.05
    found = verdicts(split, tolerance, [0.45, 0.55], most=6000, runs=100, seed=1, alpha=0.1)
    assert too_many(sum(v is Verdict.MATCH for v, _ in found), 100)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("weight", "truth", "goal"),
    [
        (0.25, 0.25, 1.30),
        (0.05, 0.05, 1.30),
        (0.25, 0.30, 1.35),
        (0.25, 0.35, 1.35),
        (0.25, 0.50, 1.40),
    ],
)
def test_requests_to_decision_stay_near_walds_limit(
    weight: float, truth: float, goal: float
) -> None:
    split = Split({"blue": 1 - weight, "green": weight})
    tolerance = 0.02
    edges = (weight - tolerance, weight + tolerance)
    if truth == weight:
        nearest = min(divergence(weight, edge) for edge in edges)
    else:
        nearest = divergence(truth, edges[truth > weight])
    limit = math.log(1 / ALPHA) / nearest
    runs = 300
    shares = [1 - truth, truth]
    most = int(limit * 6)
    found = verdicts(split, tolerance, shares, most=most, runs=runs, seed=2, seldom=0.01)
    wanted = Verdict.MATCH if truth == weight else Verdict.MISMATCH
    assert sum(v is wanted for v, _ in found) > 0.98 * runs
    # 300 runs know the median to about 4 %; the benchmark knows it better.
    assert np.median([n for _, n in found]) <= goal * 1.05 * limit


def test_a_rollout_that_never_took_effect_is_caught_in_thirty_requests() -> None:
    test = SequentialTest(CANARY)
    n = 0
    while test.verdict is Verdict.INCONCLUSIVE:
        test.update({"blue": 1})
        n += 1
    assert (test.verdict, n <= 30) == (Verdict.MISMATCH, True)


def test_a_rollback_is_confirmed_by_4603_responses_and_refuted_by_one() -> None:
    test = SequentialTest(Split({"blue": 100, "green": 0}))
    assert test.update({"blue": 4602}) is Verdict.INCONCLUSIVE
    assert test.update({"blue": 1}) is Verdict.MATCH
    late = SequentialTest(Split({"blue": 100, "green": 0}), zero_tolerance=1e-7)
    assert late.update({"blue": 999_999}) is Verdict.INCONCLUSIVE
    assert late.update({"green": 1}) is Verdict.MISMATCH


def test_a_weight_of_100_percent_is_the_same_seen_from_the_other_side() -> None:
    test = SequentialTest(Split({"green": 1}))
    assert test.update({"green": 4602}) is Verdict.INCONCLUSIVE
    assert test.update({"green": 1}) is Verdict.MATCH
    beside = {"green": 1, "red": 1}
    assert SequentialTest(Split({"green": 1})).update(beside) is Verdict.MISMATCH


def test_a_verdict_once_reached_stands() -> None:
    test = SequentialTest(CANARY)
    test.update({"blue": 7500, "green": 2500})
    assert test.verdict is Verdict.MATCH
    assert test.update({"green": 10**6}) is Verdict.MATCH


def test_each_edge_need_only_have_passed_at_some_time() -> None:
    test = SequentialTest(CANARY, 0.02)
    test.update({"blue": 4480, "green": 1600})  # 26.3 %: far from the low edge only
    assert test.verdict is Verdict.INCONCLUSIVE
    test.update({"blue": 3120, "green": 0})  # 17 %: a stretch that passes the high one
    assert test.log_evidence("green")["low"] < test.threshold < test.log_evidence("green")["high"]
    assert test.log_match >= test.threshold


def test_errors_from_the_start_are_failing_at_once() -> None:
    test = SequentialTest(CANARY)
    assert test.update({"blue": 1}) is Verdict.INCONCLUSIVE
    assert test.update({}, errors=3) is Verdict.FAILING


def test_some_errors_are_not_failing_but_must_not_hide_a_mismatch() -> None:
    # The 50 lost ones may all have been green's: then green would be near the edge.
    counts = {"blue": 5250, "green": 1750}
    clean = SequentialTest(CANARY)
    lossy = SequentialTest(CANARY)
    assert clean.update(counts) is Verdict.MATCH
    assert lossy.update(counts, errors=60) is Verdict.INCONCLUSIVE
    assert lossy.log_match < clean.log_match


def test_failing_is_wrong_no_more_often_than_alpha() -> None:
    rng = np.random.default_rng(4)
    runs = 400
    wrong = 0
    for _ in range(runs):
        test = SequentialTest(Split({"blue": 1}))
        lost = rng.random(3000) < 0.01
        for index in np.flatnonzero(lost):
            before = int(index) - test.tally.requests
            if test.update({"blue": before}, errors=1) is not Verdict.INCONCLUSIVE:
                break
        wrong += test.verdict is Verdict.FAILING
    assert not too_many(wrong, runs)


@pytest.mark.slow
def test_the_confidence_sequence_holds_at_all_times() -> None:
    rng = np.random.default_rng(5)
    runs = 200
    missed = 0
    for _ in range(runs):
        test = SequentialTest(Split({"a": 0.5, "b": 0.3, "c": 0.2}))
        truth = {"a": 0.55, "b": 0.3, "c": 0.15}
        for _ in range(25):
            counts = rng.multinomial(80, list(truth.values()))
            test.update(dict(zip(truth, counts.tolist(), strict=True)))
            intervals = {v: test.confidence(v) for v in truth}
            if any(not low <= truth[v] <= high for v, (low, high) in intervals.items()):
                missed += 1
                break
    assert not too_many(missed, runs)


counts = st.integers(0, 10**12)


@given(st.lists(st.tuples(counts, counts, counts), max_size=6))
def test_any_counts_are_judged_and_the_state_is_the_tally(
    batches: list[tuple[int, int, int]],
) -> None:
    split = Split({"a": 50, "b": 30, "c": 20})
    parts = SequentialTest(split)
    whole = SequentialTest(split)
    for batch in batches:
        parts.update(dict(zip("abc", batch, strict=True)))
    whole.update(parts.tally.counts)
    assert whole.tally == parts.tally
    assert math.isfinite(whole.log_mismatch)
    assert whole.log_exact() == pytest.approx(parts.log_exact(), rel=1e-6, abs=1e-3)
    low, high = whole.confidence("a")
    assert 0 <= low <= (whole.tally.share("a") or 0) + 1e-9
    assert high + 1e-9 >= (whole.tally.share("a") or 0)
    assert whole.verdict in (Verdict.MATCH, Verdict.MISMATCH, Verdict.INCONCLUSIVE)


def test_ten_to_the_twelve_is_no_trouble() -> None:
    near = SequentialTest(CANARY)
    far = SequentialTest(CANARY)
    assert near.update({"blue": 3 * 10**12, "green": 10**12}) is Verdict.MATCH
    assert far.update({"blue": 29 * 10**11, "green": 11 * 10**11}) is Verdict.MISMATCH


@pytest.mark.parametrize("bad", [-1, 1.5, "3", True, None])
def test_what_is_no_count_is_refused_and_nothing_is_lost(bad: object) -> None:
    test = SequentialTest(CANARY)
    test.update({"blue": 3})
    with pytest.raises(InputError, match="green"):
        test.update({"blue": 1, "green": bad})  # type: ignore[dict-item]
    with pytest.raises(InputError):
        test.update({}, errors=-1)
    assert test.tally.counts == {"blue": 3, "green": 0}


@pytest.mark.parametrize(
    "options",
    [
        {"tolerance": 0},
        {"tolerance": 0.5},
        {"alpha": 0},
        {"alpha": 0.6},
        {"zero_tolerance": 0},
        {"max_failing": 1},
        {"max_failing": -0.1},
    ],
)
def test_values_out_of_range_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(InputError):
        SequentialTest(CANARY, **options)


def test_an_unknown_variant_has_no_interval() -> None:
    with pytest.raises(InputError, match="red"):
        SequentialTest(CANARY).confidence("red")


def test_the_wide_tolerance_of_a_small_weight_needs_no_lower_edge() -> None:
    found = edges([0.99, 0.01], 0.02)
    assert [(edge.variant, edge.above) for edge in found if edge.variant == 1] == [(1, True)]
    # No traffic at all would be within it, so nobody can ask for it.
    with pytest.raises(InputError, match="give less than 1"):
        SequentialTest(Split({"blue": 99, "green": 1}), tolerance=0.02)


def test_a_mismatch_and_failing_take_the_alpha_of_their_own_and_a_match_does_not() -> None:
    plain = SequentialTest.of(Question(CANARY, 0.02))
    strict = SequentialTest.of(Question(CANARY, 0.02, mismatch_alpha=1e-6))
    for test in (plain, strict):
        assert test.update({"blue": 5, "green": 9}) is Verdict.INCONCLUSIVE
    assert math.log(0.5e6) < strict.mismatch_threshold < math.log(1e6)
    assert strict.threshold == plain.threshold == pytest.approx(math.log(100))
    assert math.log(50) < plain.mismatch_threshold < plain.threshold
    for test in (plain, strict):
        test.update({"green": 5})
    assert plain.verdict is Verdict.MISMATCH
    assert math.log(100) < strict.log_mismatch < math.log(1e6)
    assert strict.verdict is Verdict.INCONCLUSIVE
    lossy = SequentialTest.of(Question(CANARY, 0.02, mismatch_alpha=1e-6))
    assert lossy.update({}, errors=2) is Verdict.INCONCLUSIVE
    assert lossy.update({}, errors=2) is Verdict.FAILING
    matching = SequentialTest.of(Question(CANARY, 0.02, mismatch_alpha=1e-6))
    assert matching.update({"blue": 4500, "green": 1500}) is Verdict.MATCH
