"""Workers that send and count, and the master that judges."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

import gevent
import pytest
from locust.env import Environment
from locust.runners import MasterRunner, WorkerRunner

from tests.support.counting import BLUE, GREEN, count, taken
from tests.support.runs import CANARY
from trafficsplit.analysis.run import Sender
from trafficsplit.errors import ExitCode
from trafficsplit.load.counting import Counter
from trafficsplit.locust.fleet import (
    BROKEN,
    CLOSE,
    HELLO,
    KEY,
    PACE,
    REFUSED,
    VERSION,
    Fleet,
    introduce,
    report_of,
)

SENDER = Sender(cpu=0.5)


class Runner:
    """Stands for a runner of Locust's: it keeps what is sent, and who listens to what."""

    def __init__(self) -> None:
        self.clients = SimpleNamespace(missing=[])
        self.sent: list[tuple[str, Any, str | None]] = []
        self.listeners: dict[str, Callable[..., None]] = {}
        self.quits = 0

    def register_message(self, kind: str, listener: Callable[..., None]) -> None:
        self.listeners[kind] = listener

    def send_message(self, kind: str, data: Any = None, client_id: str | None = None) -> None:
        self.sent.append((kind, data, client_id))

    def quit(self) -> None:
        self.quits += 1


@pytest.fixture
def runner() -> Runner:
    return Runner()


@pytest.fixture
def broken() -> list[str]:
    """Why workers could not go on."""
    return []


@pytest.fixture
def fleet(runner: Runner, broken: list[str]) -> Fleet:
    return Fleet(cast("MasterRunner", runner), broken.append)


def worker_counter() -> Counter:
    counter = Counter(CANARY)
    counter.began = 1.0
    return counter


def message(counter: Counter, sender: Sender = SENDER) -> dict[str, Any]:
    """Return a worker's whole report, Locust's part too."""
    return {KEY: report_of(counter, sender), "stats": [1], "stats_total": {}, "errors": {"x": 1}}


def test_counts_of_all_workers_add_up(fleet: Fleet) -> None:
    master = Counter(CANARY)
    for name, kind in (("a", BLUE), ("b", GREEN), ("a", GREEN)):
        worker = worker_counter()
        count(worker, taken(worker), kind)
        fleet.take(master, name, message(worker))
    assert master.tally.counts == {"blue": 1, "green": 2}
    assert fleet.sender.processes == 2
    assert fleet.sender.cpu == 0.5


def test_a_worker_of_another_version_is_refused_once_with_a_line(
    fleet: Fleet, runner: Runner, capsys: pytest.CaptureFixture[str]
) -> None:
    for version in ("0.0.1", "0.0.1"):
        assert not fleet.accepts("a", version)
    assert not fleet.accepts("b", None)
    assert fleet.accepts("c", VERSION)
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2
    assert f"worker a has trafficsplit 0.0.1, the master {VERSION}" in lines[0]
    assert "worker b has no trafficsplit" in lines[1]
    assert [(kind, to) for kind, _, to in runner.sent] == [(REFUSED, "a"), (REFUSED, "b")]


def test_a_hello_is_looked_at(fleet: Fleet, runner: Runner) -> None:
    hello = SimpleNamespace(node_id="a", data={"version": "0.0.1"})
    runner.listeners[HELLO](environment=None, msg=hello)
    assert [kind for kind, _, _ in runner.sent] == [REFUSED]
    assert isinstance(fleet, Fleet)


@pytest.mark.parametrize("part", [None, {"version": "0.0.1"}])
def test_a_refused_workers_requests_are_in_no_statistics(fleet: Fleet, part: Any) -> None:
    master = Counter(CANARY)
    data = message(worker_counter())
    data[KEY] = part and {**data[KEY], **part}
    fleet.take(master, "a", data)
    assert (data["stats"], data["errors"]) == ([], {})
    assert data["stats_total"]["num_requests"] == 0
    assert master.tally.requests == 0


@pytest.mark.parametrize("kind", [HELLO, BROKEN])
def test_a_worker_of_ours_that_reports_no_counts_is_broken_and_not_refused(
    fleet: Fleet, runner: Runner, kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    known = SimpleNamespace(node_id="a", data={"version": VERSION, "why": "no more sockets"})
    runner.listeners[kind](environment=None, msg=known)
    data = message(worker_counter())
    data[KEY] = None
    fleet.take(Counter(CANARY), "a", data)
    assert (data["stats"], data["errors"]) == ([], {})
    assert not runner.sent
    assert not capsys.readouterr().err


def test_a_worker_that_does_not_send_yet_is_not_waited_for(fleet: Fleet) -> None:
    counter = Counter(CANARY)  # not begun
    assert report_of(counter, SENDER)["sender"] is None
    fleet.take(Counter(CANARY), "a", message(counter))
    assert fleet.all_complete
    assert fleet.sender.processes == 0


def complete_worker() -> Counter:
    worker = Counter(CANARY, budget=1)
    worker.began = 1.0
    count(worker, taken(worker), BLUE)
    return worker


def test_the_run_is_complete_when_every_worker_has_sent_its_share(fleet: Fleet) -> None:
    told: list[int] = []
    master = Counter(CANARY, on_complete=lambda: told.append(1))
    first = worker_counter()
    count(first, taken(first), BLUE)
    fleet.take(master, "a", message(first))
    fleet.take(master, "b", message(complete_worker()))
    assert not fleet.all_complete
    assert told == []
    first.close()
    fleet.take(master, "a", message(first))
    assert fleet.all_complete
    assert (told, master.closed) == ([1], True)


def test_a_worker_that_is_lost_is_not_waited_for_and_counts_as_lost(
    fleet: Fleet, runner: Runner
) -> None:
    master = Counter(CANARY)
    worker = worker_counter()
    count(worker, taken(worker), BLUE)
    fleet.take(master, "a", message(worker))
    assert not fleet.all_complete
    runner.clients.missing.append(SimpleNamespace(id="a"))
    assert fleet.all_complete
    assert fleet.sender.lost == 1
    assert master.tally.requests == 1  # what it had reported is not lost


def test_workers_are_told_to_close_and_waited_for_with_patience(
    fleet: Fleet, runner: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    master = Counter(CANARY)
    worker = worker_counter()
    taken(worker)
    fleet.take(master, "a", message(worker))
    fleet.close(0.05)  # it does not answer
    assert runner.sent == [(CLOSE, None, None)]

    def answers(_: float) -> None:
        worker.give_back(0)
        worker.close()
        worker.flush()
        fleet.take(master, "a", message(worker))

    monkeypatch.setattr("trafficsplit.locust.fleet.gevent.sleep", answers)
    fleet.close(60.0)
    assert fleet.all_complete


def test_workers_share_a_pace(fleet: Fleet, runner: Runner) -> None:
    master = Counter(CANARY)
    for worker in ("a", "b"):
        fleet.take(master, worker, message(worker_counter()))
    fleet.keep_pace(25.0)
    fleet.keep_pace(None)
    assert runner.sent == [(PACE, {"pace": 12.5}, None), (PACE, {"pace": None}, None)]


def test_a_worker_that_cannot_go_on_says_why(
    fleet: Fleet, runner: Runner, broken: list[str]
) -> None:
    assert fleet.all_complete
    why = SimpleNamespace(node_id="a", data={"why": "broken: no memory"})
    runner.listeners[BROKEN](environment=None, msg=why)
    assert broken == ["broken: no memory"]


def test_a_new_run_knows_no_worker_of_the_old_one(fleet: Fleet) -> None:
    fleet.take(Counter(CANARY), "a", message(worker_counter()))
    assert not fleet.all_complete
    fleet.begin()
    assert fleet.all_complete
    assert fleet.sender.processes == 0


# --- a worker's side ---


def test_a_worker_introduces_itself_closes_when_told_and_leaves_when_refused(
    runner: Runner, capsys: pytest.CaptureFixture[str]
) -> None:
    closed: list[int] = []
    paces: list[float | None] = []
    introduce(cast("WorkerRunner", runner), lambda: closed.append(1), paces.append)
    assert runner.sent == [(HELLO, {"version": VERSION}, None)]
    runner.listeners[CLOSE](environment=None, msg=None)
    assert closed == [1]
    runner.listeners[PACE](environment=None, msg=SimpleNamespace(data={"pace": 12.5}))
    assert paces == [12.5]
    environment = Environment()
    refusal = SimpleNamespace(data={"why": "install the same on both"})
    runner.listeners[REFUSED](environment=environment, msg=refusal)
    assert environment.process_exit_code == ExitCode.WRONG_USAGE
    gevent.sleep(0)
    assert runner.quits == 1
    assert "refused: install the same on both" in capsys.readouterr().err
