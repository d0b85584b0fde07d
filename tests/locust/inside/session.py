"""One run of Locust's: its budget, its counts, its run to be handed over."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from locust.env import Environment
from locust.runners import MasterRunner, WorkerRunner

from tests.fakes.servers import always, page, plain, served
from tests.support.counting import BLUE, GREEN, count, taken
from tests.support.environments import environment, plan, session
from tests.support.runs import CANARY
from trafficsplit.analysis.run import CanaryLimits, Sender
from trafficsplit.analysis.split import Split
from trafficsplit.analysis.verdict import Verdict
from trafficsplit.load.parquet import RECORDING
from trafficsplit.locust.session import Session
from trafficsplit.settings.load import ConnectionSettings, LoadSettings, RequestSettings
from trafficsplit.settings.question import Limits

FIVE = Limits(requests=1005)


def worker(index: int, workers: int) -> Environment:
    """Return the environment of one of several workers."""
    within = environment(shared_by=workers)
    runner: Any = object.__new__(WorkerRunner)
    runner.worker_index = index
    within.runner = runner
    return within


def master() -> Environment:
    within = environment()
    within.runner = object.__new__(MasterRunner)
    return within


# --- budget ---


@pytest.mark.parametrize("workers", [1, 2, 4, 7, 2000])
def test_workers_share_the_budget_without_a_rest(workers: int) -> None:
    budgets = []
    for index in range(workers):
        own = session(plan(limits=FIVE), within=worker(index, workers))
        budgets.append(own.counter.ledger.budget)
        if index > 20 and workers > 100:  # the others are alike
            break
    known = [budget for budget in budgets if budget is not None]
    assert len(known) == len(budgets)
    assert max(known) - min(known) <= 1
    if len(known) == workers:
        assert sum(known) == 1005


def test_who_sends_alone_has_all_of_it_and_a_master_sends_nothing() -> None:
    assert session(plan(limits=FIVE)).counter.ledger.budget == 1005
    assert session(plan(limits=FIVE), within=master()).counter.ledger.budget is None
    assert session(plan(split=None)).counter.ledger.budget is None


def test_a_worker_does_not_judge_and_a_master_does() -> None:
    assert session(within=worker(0, 2)).judging is None
    assert session(within=master()).judging is not None
    assert session(plan(split=None)).judging is None
    assert session().verdict is Verdict.INCONCLUSIVE


# --- a run ---


def test_what_was_counted_is_handed_over_with_what_was_asked() -> None:
    load = LoadSettings(
        RequestSettings("/x", unit="session"),
        settle=0.0,
        previous=Split({"blue": 1, "green": 0}),
        canary=CanaryLimits(1.5, 2.0),
    )
    own = session(plan(hosts=("http://a", "http://b"), load=load, users=7))
    for kind in (BLUE, BLUE, GREEN):
        count(own.counter, taken(own.counter), kind, 0.5, latency=0.25)
    own.notes.interrupted = "the run was interrupted"
    assert own.plan.question is not None
    run = own.run(own.plan.question)
    assert run.tally.counts == {"blue": 2, "green": 1}
    assert (run.subject.host, run.subject.path) == ("http://a, http://b", "/x")
    assert (run.subject.unit, run.subject.users) == ("session", 7)
    assert run.subject.elapsed == 0.75
    assert run.ending.interrupted == "the run was interrupted"
    assert run.ending.decided is None
    assert (run.canary, run.previous) == (load.canary, load.previous)
    assert [gateway.name for gateway in run.gateways] == ["http://a", "http://b"]


def test_a_verdict_that_was_reached_is_handed_over() -> None:
    own = session(plan(load=LoadSettings(RequestSettings(unit="session"))))
    while not own.counter.closed:  # a hundred a second, since a moment says nothing
        count(own.counter, taken(own.counter), GREEN, own.counter.sent / 100)
    assert own.plan.question is not None
    assert own.run(own.plan.question).ending.decided is Verdict.MISMATCH
    judgement = own.judged()
    assert judgement is not None
    assert judgement.verdict is Verdict.MISMATCH


def test_without_a_split_there_is_no_judgement() -> None:
    assert session(plan(split=None)).judged() is None


def test_a_reset_forgets_counts_and_evidence_and_the_run_goes_on() -> None:
    own = session()
    own.counter.began = 1.0
    for _ in range(30):
        count(own.counter, taken(own.counter), BLUE)
    judging = own.judging
    own.reset()
    assert own.counter.tally.requests == 0
    assert own.judging is not judging
    assert own.counter.began > 1.0
    count(own.counter, taken(own.counter), GREEN)
    assert own.counter.tally.counts["green"] == 1


def test_a_master_knows_how_its_workers_keep_up() -> None:
    sender = Sender(processes=3)
    fleet = SimpleNamespace(sender=sender, begin=lambda: None)
    assert session(within=master(), fleet=fleet).sender is sender
    assert session(client="stock").sender.client == "stock"


# --- beginning and end ---


def recorded(tmp_path: Path) -> Session:
    load = LoadSettings(record=True, rate=10.0)
    within = environment(run_dir=str(tmp_path), shared_by=2)
    return session(plan(hosts=("http://127.0.0.1:9",), load=load), within=within)


def test_it_records_and_follows_its_share_of_the_schedule(tmp_path: Path) -> None:
    own = recorded(tmp_path)
    own.begin(lambda _: None)
    try:
        assert own.sending.schedule is not None
        assert own.sending.schedule.rate == 5.0  # of two processes
        count(own.counter, taken(own.counter), GREEN)
    finally:
        own.end()
    assert own.recorder is None
    assert own.notes.unrecorded == ""
    (part,) = (tmp_path / RECORDING).iterdir()
    import pyarrow.parquet as pq

    (row,) = pq.read_table(part).to_pylist()
    assert row["variant"] == "green"
    metadata = pq.read_schema(part).metadata
    assert metadata is not None
    facts = json.loads(metadata[b"trafficsplit"])
    assert facts["path"] == "/color"
    assert facts["question"]["split"] == dict(CANARY.weights)


def test_a_recording_that_stops_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    own = recorded(tmp_path)
    own.begin(lambda _: None)
    assert own.recorder is not None
    own.recorder.trouble = "No space left on device"
    own.end()
    assert own.notes.unrecorded == "No space left on device"
    assert "not all is recorded: No space left on device" in capsys.readouterr().err


def test_a_master_begins_without_a_client() -> None:
    begun: list[int] = []
    fleet = SimpleNamespace(sender=Sender(), begin=lambda: begun.append(1))
    own = session(plan(load=LoadSettings(record=True)), within=master(), fleet=fleet)
    own.begin(lambda _: None)
    assert begun == [1]
    assert own.sending.engine is None
    assert own.recorder is None
    own.end()


# --- readiness ---


def test_every_gateway_has_to_answer() -> None:
    with served(always(plain(page("green")))) as good:
        hosts = (f"http://127.0.0.1:{good}",)
        assert session(plan(hosts=hosts)).why_not_ready() == ""
        named = LoadSettings(
            connection=ConnectionSettings({"gw.invalid": ("127.0.0.1",)}),
        )
        assert session(plan(hosts=(f"http://gw.invalid:{good}",), load=named)).why_not_ready() == ""


def test_one_that_does_not_answer_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def why_not_ready(host: str, *_: object) -> str:
        asked.append(host)
        return "" if host == "http://a" else f"{host} answers 503"

    monkeypatch.setattr("trafficsplit.locust.session.why_not_ready", why_not_ready)
    hosts = ("http://a", "http://b", "http://c")
    assert session(plan(hosts=hosts)).why_not_ready() == "http://b answers 503"
    assert asked == ["http://a", "http://b"]
    several = LoadSettings(connection=ConnectionSettings({"gw": ("127.0.0.1", "127.0.0.2")}))
    reason = session(plan(hosts=("http://gw",), load=several)).why_not_ready()
    assert reason == "http://gw (127.0.0.1): http://gw answers 503"
