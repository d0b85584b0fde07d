"""The simulator of benchmarks/field: what it simulates is what it says, and the judge judges it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from benchmarks.field import looks
from benchmarks.field.baseline import Baseline
from benchmarks.field.causes import Cause, causes, line_of
from benchmarks.field.clocked import Clock, Hang, Latency, Timed, simulate_clocked
from benchmarks.field.requests import CLOSES, FOR_EVER, Codes, Load, Requests
from benchmarks.field.rows import ROWS, asked
from benchmarks.field.simulation import Result, Setting, simulate, simulate_baseline
from benchmarks.field.situations import (
    Measured,
    at_least,
    at_most,
    dearer_by,
    says,
    wrong_after,
)
from benchmarks.field.worlds import (
    ERROR,
    Balancer,
    Cache,
    Changing,
    EachGateway,
    Failing,
    Independent,
    Losing,
    Markov,
    World,
    green,
    in_blocks,
    ipvs,
    smooth,
)
from trafficsplit.analysis.verdict import Verdict

NOTHING = Independent((1.0, 0.0))  # green gets nothing
EVERYTHING = Independent((0.0, 1.0))


def requests_of(load: Load, number: int, seed: int = 1) -> Requests:
    """Return the first requests of a load, at least so many."""
    parts: list[Requests] = []
    for batch in load.batches(np.random.default_rng(seed)):
        parts.append(batch)
        if sum(map(len, parts)) >= number:
            break
    columns = ("numbers", "times", "connections", "gateways")
    return Requests(*(np.concatenate([getattr(p, name) for p in parts]) for name in columns))


def ends_of(
    world: World, number: int, load: Load | None = None, seed: int = 1
) -> tuple[Requests, Codes]:
    """Return requests, in the batches in which they come, and how a world ends them."""
    answer = world.begin(np.random.default_rng(seed))
    requests = requests_of(load or Load(), number, seed)
    parts = [answer(requests[at : at + 500]) for at in range(0, len(requests), 500)]
    return requests, np.concatenate(parts)


# --- the load ---


def test_connections_last_as_long_as_they_are_to() -> None:
    requests = requests_of(Load(users=4, lasts=50, spare=0), 10_000)
    lives = np.bincount(requests.connections)[1:-4]
    assert lives.max() <= 75
    assert np.mean(lives) == pytest.approx(50, abs=2)
    assert len(np.unique(requests_of(Load(users=4, lasts=FOR_EVER), 9000).connections)) == 36
    assert len(np.unique(requests_of(Load(users=4, lasts=CLOSES), 1000).connections)) >= 1000
    assert not requests_of(Load(sessions=True), 1000).connections.any()


def test_users_in_step_use_connections_at_random() -> None:
    load = Load(users=4, lasts=FOR_EVER, in_step=True)
    used = requests_of(load, 20_000).connections
    turns = np.arange(len(used)) % 4
    table = np.zeros((37, 4))
    np.add.at(table, (used, turns), 1)
    assert table[1:].min() > 80  # of about 140: none keeps a turn
    alone = requests_of(Load(users=4, lasts=FOR_EVER, in_step=True, spare=0), 100).connections
    assert np.array_equal(alone[4:], alone[:-4])


def test_a_connection_leads_to_one_gateway() -> None:
    requests = requests_of(Load(users=6, gateways=3), 5000)
    pairs = set(zip(requests.connections.tolist(), requests.gateways.tolist(), strict=True))
    assert len(pairs) == len(np.unique(requests.connections))
    assert np.bincount(requests.gateways).min() > 1500


# --- the worlds ---


@pytest.mark.parametrize("correlation", [0.0, 0.1, 0.5])
def test_dependence_has_its_correlation_and_its_share(correlation: float) -> None:
    _, ends = ends_of(Markov((0.75, 0.25), correlation), 200_000)
    assert np.corrcoef(ends[1:], ends[:-1])[0, 1] == pytest.approx(correlation, abs=0.012)
    assert ends.mean() == pytest.approx(0.25, abs=0.01)


@pytest.mark.parametrize(
    ("world", "pattern"),
    [
        (smooth(3, 1), (0, 0, 1, 0)),
        (smooth(5, 1, 1), (0, 0, 1, 0, 2, 0, 0)),  # nginx's own example
        (ipvs(75, 25), (0, 0, 0, 1)),
        (ipvs(4, 3, 2), (0, 0, 1, 0, 1, 2, 0, 1, 2)),  # that of Linux' documentation
        (in_blocks(3, 2), (0, 0, 0, 1, 1)),
    ],
)
def test_a_round_robin_deals_its_pattern(world: World, pattern: Sequence[int]) -> None:
    _, ends = ends_of(world, 1000)
    period = len(pattern)
    turns = [tuple(np.roll(pattern, shift).tolist()) for shift in range(period)]
    assert tuple(ends[:period].tolist()) in turns
    assert np.array_equal(ends[period:], ends[:-period])


def test_a_share_changes_at_its_request_or_at_its_time() -> None:
    _, ends = ends_of(Changing(((0, NOTHING), (700, EVERYTHING))), 2000)
    assert np.flatnonzero(ends)[0] == 700
    assert ends[700:].all()
    world = Changing(((0, NOTHING), (0.5, EVERYTHING)), by_time=True)
    requests, ends = ends_of(world, 2000, Load(rate=1000))
    assert requests.times[np.flatnonzero(ends)[0]] == pytest.approx(0.5)


def test_a_balancer_keeps_a_connection_at_its_replica() -> None:
    requests, ends = ends_of(Balancer([NOTHING, EVERYTHING]), 20_000, Load(lasts=50))
    by_connection = dict(zip(requests.connections.tolist(), ends.tolist(), strict=True))
    assert [by_connection[number] for number in requests.connections.tolist()] == ends.tolist()
    assert ends.mean() == pytest.approx(0.5, abs=0.1)
    _, ends = ends_of(Balancer([NOTHING, EVERYTHING], in_turn=True), 500, Load(lasts=CLOSES))
    assert (ends[1:] != ends[:-1]).all()


def test_each_gateway_has_its_own_share() -> None:
    requests, ends = ends_of(EachGateway([NOTHING, EVERYTHING]), 1000, Load(gateways=2))
    assert np.array_equal(requests.gateways, ends)


def test_a_cache_repeats_an_answer_for_its_time() -> None:
    requests, ends = ends_of(Cache(green(0.5), 0.2), 50_000, Load(rate=1000))
    changes = requests.times[1:][ends[1:] != ends[:-1]]
    assert np.diff(changes).min() >= 0.2 - 1e-9
    assert 80 < len(changes) < 170  # of 250 turns half change


def test_errors_come_from_their_variant_alone() -> None:
    _, ends = ends_of(Failing(green(0.25), 1, 0.4), 50_000)
    assert np.mean(ends == ERROR) == pytest.approx(0.1, abs=0.01)
    assert np.mean(ends == 1) == pytest.approx(0.15, abs=0.01)
    _, ends = ends_of(Losing(NOTHING, [3, 900]), 1000)
    assert np.flatnonzero(ends == ERROR).tolist() == [3, 900]


# --- version 0.1's test ---


def test_the_baseline_is_that_of_version_0_1() -> None:
    test = Baseline(asked())
    counts = np.array([4500, 1500])
    evidence = counts @ test._match  # DESIGN.md 4, "match": its check values
    assert evidence == pytest.approx([6.644526, 6.187464], abs=1e-6)
    test.add(np.ones(10, np.int64))
    assert (test.verdict, test.responses) == (Verdict.MISMATCH, 6)


@pytest.mark.parametrize(
    ("share", "verdict", "median"), [(0.25, Verdict.MATCH, 5476), (0.3, Verdict.MISMATCH, 2732)]
)
def test_the_baseline_takes_what_version_0_1_took(
    share: float, verdict: Verdict, median: float
) -> None:
    setting = Setting(asked(), green(share))
    results = [simulate_baseline(setting, seed) for seed in range(60)]
    assert sum(one.verdict is verdict for one in results) >= 58
    assert np.median([one.requests for one in results]) == pytest.approx(median, rel=0.2)


# --- whole runs ---


@pytest.mark.parametrize("load", [Load(), Load(users=1), Load(sessions=True)])
def test_the_judge_judges_a_simulated_run(load: Load) -> None:
    setting = Setting(asked(), green(0.6), load)
    results = [simulate(setting, seed) for seed in range(3)]
    assert {one.verdict for one in results} == {Verdict.MISMATCH}
    assert all(4 <= one.requests < setting.question.requests for one in results)
    assert all("green" in one.reason for one in results)
    assert simulate(setting, 1) == results[1]


def test_a_run_ends_with_its_budget() -> None:
    setting = Setting(asked(requests=300), green(0.25))
    result = simulate(setting, 1)
    assert (result.verdict, result.requests) == (Verdict.INCONCLUSIVE, 300)


def test_every_row_has_situations_whose_names_differ() -> None:
    for row in ROWS.values():
        names = [situation.name for situation in row.situations]
        assert names
        assert len(set(names)) == len(names)
        assert all(situation.musts for situation in row.situations)
        for situation in row.situations:
            assert isinstance(situation.setting.world, Timed) == (situation.clock is not None)


# --- what must hold ---


def runs_of(verdict: Verdict, number: int, requests: int = 100, reason: str = "") -> list[Result]:
    return [Result(verdict, requests, reason)] * number


def test_a_bound_leaves_room_for_chance() -> None:
    must = at_most(0.01, Verdict.MATCH)
    good = Measured(runs_of(Verdict.MATCH, 16) + runs_of(Verdict.INCONCLUSIVE, 984))
    bad = Measured(runs_of(Verdict.MATCH, 17) + runs_of(Verdict.INCONCLUSIVE, 983))
    assert must.check(good)[0]
    assert not must.check(bad)[0]
    assert must.count
    assert must.count(good) == 16
    assert at_least(0.99, Verdict.MATCH).check(Measured(runs_of(Verdict.MATCH, 5)))[0]


def test_a_match_before_the_change_was_right() -> None:
    must = wrong_after(1000)
    assert must.count
    early = runs_of(Verdict.MATCH, 3, 1000)
    assert must.count(Measured(early + runs_of(Verdict.MATCH, 2, 1001))) == 2


def test_requests_are_held_against_those_beside() -> None:
    own = runs_of(Verdict.MATCH, 2, 110) + runs_of(Verdict.MISMATCH, 1, 999)
    others = runs_of(Verdict.MATCH, 3, 100)
    measured = Measured(own, others)
    assert measured.ratio == pytest.approx(1.1)  # of the runs with the same verdict
    assert dearer_by(1.1, "0.1").check(measured)[0]
    assert not dearer_by(1.05, "0.1").check(measured)[0]


def test_the_reason_has_to_say_something() -> None:
    must = says("gateway-1", Verdict.MISMATCH)
    said = runs_of(Verdict.MISMATCH, 9, reason="gateway-1 is off")
    assert must.check(Measured(said))[0]
    assert not must.check(Measured(said + runs_of(Verdict.MISMATCH, 9)))[0]
    assert must.check(Measured(runs_of(Verdict.MATCH, 3)))[0]


# --- causes ---


def cause_of(name: str) -> Cause:
    return next(cause for cause in causes() if cause.name == name)


@pytest.mark.parametrize("name", ["swapped", "green fails 30 %", "1 of 4 addresses is stale"])
def test_a_cause_is_named(name: str) -> None:
    cause = cause_of(name)
    result = simulate(cause.setting, 1)
    assert cause.is_right(result)
    assert not cause.is_wrong(result)


def test_a_name_is_right_or_wrong_or_open() -> None:
    named = cause_of("swapped")
    asked_only = cause_of("an unknown split of 55/45")

    def result(cause: str, summary: str = "") -> Result:
        return Result(Verdict.MISMATCH, 100, "", cause, summary)

    assert named.is_right(result("the weights are swapped"))
    assert named.is_wrong(result("everything goes to blue"))
    assert not named.is_right(result(""))
    assert not named.is_wrong(result(""))
    assert asked_only.is_right(result("", "The shares fit 55/45: is that it?"))
    assert not asked_only.is_right(result("", "None of the known causes fits."))
    assert asked_only.is_wrong(result("the split is by replica count"))
    assert "yes" in line_of(named, [result("the weights are swapped")] * 10)[0]


def test_causes_have_names_of_their_own() -> None:
    names = [cause.name for cause in causes()]
    assert len(set(names)) == len(names)


# --- in virtual time ---

SLOW = Latency((0.01, 0.05))  # seconds, blue and green


def test_a_slow_variant_has_its_share_in_order_of_sending() -> None:
    setting = Setting(asked(requests=4000), Timed([green(0.25)], SLOW), Load(users=50))
    result = simulate_clocked(setting, Clock(), 1)
    assert result == simulate_clocked(setting, Clock(), 1)
    assert result.verdict is Verdict.INCONCLUSIVE
    assert result.requests == 4000


def test_a_gateway_that_hangs_fails() -> None:
    world = Timed([green(0.25)] * 2, SLOW, (Hang(replica=0),))
    result = simulate_clocked(Setting(asked(), world), Clock(), 1)
    assert result.verdict is Verdict.FAILING
    assert "answer" in result.reason


def test_an_interrupted_run_says_so() -> None:
    setting = Setting(asked(), Timed([green(0.25)], SLOW), Load(users=50))
    result = simulate_clocked(setting, Clock(interrupted=(0.2, 0.4)), 1)
    assert result.verdict is Verdict.INCONCLUSIVE
    assert "the run was interrupted" in result.reason
    assert 300 < result.requests < 1500  # 2,500 a second


def test_a_schedule_is_kept() -> None:
    setting = Setting(asked(), Timed([green(0.25)], SLOW), Load(users=50))
    result = simulate_clocked(setting, Clock(rate=500, interrupted=(2, 2)), 1)
    assert result.requests == pytest.approx(1000, abs=5)


# --- what a look costs ---


def test_looks_are_measured(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = {"short": (green(0.6), Load(), 1)}
    monkeypatch.setattr(looks, "SETTINGS", settings)
    looks.print_looks(1)
    name, requests, number, *_ = capsys.readouterr().out.splitlines()[-1].split()
    assert name == "short"
    assert 1 <= int(number) <= int(requests)
