"""Several gateways: found sooner than in the sum, without more false alarms."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from tests.support.runs import having, made
from trafficsplit.analysis.gateways import compare_gateways
from trafficsplit.analysis.judge import judge
from trafficsplit.analysis.run import Gateway, Run, Stretch
from trafficsplit.analysis.sequential import SequentialTest
from trafficsplit.analysis.split import Split
from trafficsplit.analysis.tally import Tally
from trafficsplit.analysis.verdict import Verdict
from trafficsplit.errors import InputError
from trafficsplit.report.run_files import read_run, write_run

CANARY = Split({"blue": 75, "green": 25})


def outcome(truths: list[float], rng: np.random.Generator, most: int) -> tuple[Verdict, int]:
    """Return the verdict on gateways with these shares of green, and requests until then."""
    test = SequentialTest(CANARY, 0.02, 0.01, gateways=len(truths))
    sent = 0
    verdict = test.verdict
    while verdict is Verdict.INCONCLUSIVE and sent < most:
        step = min(test.least_more, most - sent)
        each = rng.multinomial(step, [1 / len(truths)] * len(truths))
        green = [int(rng.binomial(n, p)) for n, p in zip(each, truths, strict=True)]
        verdict = test.look(
            [Tally({"blue": int(n) - g, "green": g}) for n, g in zip(each, green, strict=True)]
        )
        sent += step
    return verdict, sent


@pytest.mark.slow
@pytest.mark.parametrize(
    ("gateways", "most"), [(2, 70), (4, 150), pytest.param(8, 330, marks=pytest.mark.slow)]
)
def test_a_stale_one_is_found_soon(gateways: int, most: int) -> None:
    rng = np.random.default_rng(7)
    found = [outcome([0.0] + [0.25] * (gateways - 1), rng, 5000) for _ in range(150)]
    assert all(verdict is Verdict.MISMATCH for verdict, _ in found)
    # DESIGN.md 4: the sum alone takes 168, 541 and 2,081
    assert np.median([n for _, n in found]) <= most


@pytest.mark.slow
def test_gateways_within_the_tolerance_are_hardly_ever_a_mismatch() -> None:
    rng = np.random.default_rng(8)
    found = [outcome([0.27, 0.23, 0.27], rng, 6000)[0] for _ in range(100)]
    assert sum(verdict is Verdict.MISMATCH for verdict in found) <= 4  # at most 1 %: P = 0.003


def test_the_sum_may_be_fine_and_the_gateways_not() -> None:
    rng = np.random.default_rng(9)
    assert outcome([0.15, 0.35], rng, 5000)[0] is Verdict.MISMATCH
    assert outcome([0.25], rng, 20000)[0] is Verdict.MATCH


def run_of(*tallies: Tally) -> Run:
    gateways = [Gateway(f"http://{i}", [Stretch(0.0, 1.0, t)]) for i, t in enumerate(tallies)]
    total = sum(tallies, Tally())
    run = made(dict(total.counts))
    question = dataclasses.replace(run.question, gateways=len(tallies))
    return having(run, question=question, gateways=gateways)


def test_the_one_that_is_off_is_singled_out(tmp_path: Path) -> None:
    run = run_of(Tally({"blue": 750, "green": 250}), Tally({"blue": 1000, "green": 0}))
    found = compare_gateways(run)
    assert found
    assert [one.name for one in found.off] == ["http://1"]
    assert found.p_value
    assert found.p_value < 1e-9
    low, high = found.each[1].confidence["green"]
    assert low == 0
    assert high < 0.03
    assert judge(run).reason.startswith("http://1 gives green 0.0 % of 1,000")
    write_run(run, tmp_path)
    again = read_run(tmp_path)
    assert again.gateways[1].tally == Tally({"blue": 1000, "green": 0})
    assert judge(again) == judge(run)


def test_a_p_value_too_small_for_a_number_is_no_agreement() -> None:
    run = run_of(Tally({"blue": 65_000, "green": 35_000}), Tally({"blue": 85_000, "green": 15_000}))
    run = dataclasses.replace(
        run, question=dataclasses.replace(run.question, test="fixed", requests=1000)
    )
    found = compare_gateways(run)
    assert found
    assert found.p_value == 0
    assert judge(run).verdict is Verdict.MISMATCH


def test_gateways_have_numbers() -> None:
    with pytest.raises(InputError, match="there is no gateway 2"):
        SequentialTest(CANARY, gateways=2).update({"blue": 1}, gateway=2)
    with pytest.raises(InputError, match="0 gateways"):
        SequentialTest(CANARY, gateways=0)


def test_without_a_verdict_the_gateway_that_is_farthest_off_is_named() -> None:
    run = run_of(Tally({"blue": 22_500, "green": 7_500}), Tally({"blue": 21_960, "green": 8_040}))
    run = having(run, question=dataclasses.replace(run.question, requests=60_000))
    judged = judge(run)
    assert judged.verdict is Verdict.INCONCLUSIVE
    assert "at http://1 green got 26.80 %" in judged.reason
