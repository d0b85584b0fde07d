import re
from pathlib import Path

import numpy as np
import pytest

from tests.support.simulation import verdicts
from trafficsplit.analysis.judge import FixedRunningTest, judge
from trafficsplit.analysis.planning import budget, fixed_size, planned, requests_to_match
from trafficsplit.analysis.question import Question
from trafficsplit.analysis.run import Run, read_run, write_run
from trafficsplit.analysis.split import Split
from trafficsplit.analysis.tally import Tally
from trafficsplit.analysis.verdict import Verdict
from trafficsplit.errors import InputError
from trafficsplit.settings.options import question_of_options

CANARY = Split({"blue": 75, "green": 25})


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
        (made({"blue": 7, "green": 3}, decided="match"), Verdict.MATCH, "as configured"),
        (made({"blue": 8700, "green": 2842}, test="fixed"), Verdict.MATCH, "chi-square p"),
        (made({"blue": 8000, "green": 3542}, test="fixed"), Verdict.MISMATCH, "chi-square p"),
        (
            made({"blue": 300, "green": 100}, test="fixed", requests=400),
            Verdict.INCONCLUSIVE,
            "send 11,542",
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


def test_exit_codes_are_the_contract() -> None:
    assert [v.exit_code for v in Verdict] == [0, 1, 3, 4]


def test_a_fixed_run_ends_early_only_where_nothing_can_change() -> None:
    question = planned(Question(CANARY, 0.02, test="fixed", requests=1000))
    watch = FixedRunningTest(question)
    assert watch.look([Tally({"blue": 900})]) is Verdict.INCONCLUSIVE  # an odd share is no reason
    assert watch.look([Tally(errors=10)]) is Verdict.INCONCLUSIVE
    assert watch.look([Tally(errors=1)]) is Verdict.FAILING
    assert FixedRunningTest(question).look([Tally({"red": 1})]) is Verdict.MISMATCH


@pytest.mark.parametrize(("weight", "tolerance"), [(0.25, 0.02), (0.05, 0.02), (0.5, 0.05)])
def test_the_plan_is_what_a_simulation_finds(weight: float, tolerance: float) -> None:
    split = Split({"blue": 1 - weight, "green": weight})
    question = Question(split, tolerance)
    most = requests_to_match(question, 0.999)
    found = verdicts(split, tolerance, [1 - weight, weight], most=most, runs=600, seed=6)
    needed = [n for _, n in found]
    assert np.median(needed) == pytest.approx(requests_to_match(question, 0.5), rel=0.08)
    assert np.quantile(needed, 0.9) == pytest.approx(requests_to_match(question, 0.9), rel=0.08)
    assert sum(v is Verdict.MATCH for v, _ in found) >= 600 - 8


def test_budgets_and_sizes_of_the_design() -> None:
    assert fixed_size(Question(CANARY, 0.02)) == 11_542
    rollback = Question(Split({"blue": 1, "green": 0}), 0.02)
    assert (budget(rollback), fixed_size(rollback)) == (4603, 4603)
    assert Question(CANARY, 0.02, zero_tolerance=0.01).requests_for_zero == 459


def test_a_tolerance_that_no_run_can_show_is_refused() -> None:
    for test in ("sequential", "fixed"):
        with pytest.raises(InputError, match="larger --tolerance"):
            question_of_options(weight="25", tolerance="0.0001", test=test)


def test_a_run_is_read_as_it_was_written(tmp_path: Path) -> None:
    run = made({"blue": 60, "green": 20, "red": 1}, errors=2, unidentified=1, interrupted="x")
    write_run(run, tmp_path)
    again = read_run(tmp_path)
    assert again.question == run.question
    assert again.tally == run.tally
    assert again.latency == run.latency
    assert judge(again) == judge(run)


@pytest.mark.parametrize("damage", ["run.json", "tally.csv", "latency.csv"])
def test_a_damaged_run_is_one_line(tmp_path: Path, damage: str) -> None:
    with pytest.raises(InputError, match="no run in"):
        read_run(tmp_path)
    write_run(made({"blue": 3, "green": 1}), tmp_path)
    file = tmp_path / damage
    file.write_text(file.read_text().replace("1", "x"))
    with pytest.raises(InputError, match="damaged"):
        read_run(tmp_path)
