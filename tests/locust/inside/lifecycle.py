"""The listeners to Locust's events: what they refuse, how a run ends, and whose fault it was."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gevent
import pytest
from locust import log as locust_log
from locust.env import Environment
from locust.runners import WorkerRunner

from tests.support.counting import BLUE, ERROR, GREEN, count, taken
from tests.support.environments import environment, plan, session
from tests.support.runs import CANARY
from trafficsplit.errors import ExitCode, InputError
from trafficsplit.locust import lifecycle
from trafficsplit.locust import parent as parents
from trafficsplit.locust.fleet import BROKEN
from trafficsplit.locust.parent import Parent, connect
from trafficsplit.locust.session import Session
from trafficsplit.report.run_files import read_run
from trafficsplit.settings.load import LoadSettings, RequestSettings
from trafficsplit.settings.verify import VerifySettings


@pytest.fixture(autouse=True)
def _no_runs() -> Iterator[None]:
    """No run and no parent is there before a test, nor after it."""
    lifecycle._sessions.clear()
    parents._parents.clear()
    yield
    lifecycle._sessions.clear()
    parents._parents.clear()


def present(**options: Any) -> Session:
    """Return a run that is the present one of its environment; each request is a session."""
    load = LoadSettings(RequestSettings(unit="session"))
    own = session(plan(load=load), within=environment(**options))
    lifecycle._sessions[id(own.environment)] = own
    return own


def send(own: Session, kind: object, number: int) -> None:
    """Send a hundred requests a second: what all happens in a moment is no answer."""
    for sent in range(number):
        if not own.counter.closed:
            count(own.counter, taken(own.counter), kind, sent / 100)  # type: ignore[arg-type]


# --- faults of ours ---


def test_a_fault_of_ours_ends_the_run_and_is_no_verdict(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    own = present()
    ended: list[Environment] = []
    monkeypatch.setattr(lifecycle, "_end", ended.append)

    def listener(**_: Any) -> None:
        raise OSError(28, "No space left on device")

    lifecycle._guarded(listener)()
    lifecycle._guarded(listener)()  # once is enough
    assert own.notes.broken.startswith("broken: No space left on device; nothing is known")
    assert own.counter.closed
    assert own.environment.process_exit_code == ExitCode.BROKEN
    assert ended == [own.environment]
    assert capsys.readouterr().err.count("broken: No space left") == 1
    assert lifecycle._exit_code(own) is ExitCode.BROKEN
    assert lifecycle._result_line(own) == f"trafficsplit: {own.notes.broken}"


def test_a_worker_tells_its_master_that_it_broke(monkeypatch: pytest.MonkeyPatch) -> None:
    own = present()
    sent: list[tuple[str, object]] = []
    runner: Any = object.__new__(WorkerRunner)
    runner.send_message = lambda kind, data: sent.append((kind, data))
    own.environment.runner = runner
    monkeypatch.setattr(lifecycle, "_end", lambda _: None)
    lifecycle.break_run(own, MemoryError())
    assert sent == [(BROKEN, {"why": own.notes.broken})]


def test_a_listener_that_is_fine_is_left_alone() -> None:
    own = present()
    heard: list[int] = []
    lifecycle._guarded(heard.append)(7)
    assert (heard, own.notes.broken) == ([7], "")


def test_an_exception_in_a_greenlet_is_a_fault_of_ours_too(monkeypatch: pytest.MonkeyPatch) -> None:
    own = present()
    send(own, GREEN, 1000)
    monkeypatch.setattr(locust_log, "unhandled_greenlet_exception", True)
    assert lifecycle._exit_code(own) is ExitCode.BROKEN


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (InputError("no such path"), ExitCode.WRONG_USAGE, "trafficsplit: no such path\n"),
        (KeyError("x"), ExitCode.BROKEN, "trafficsplit: broken: KeyError"),
    ],
)
def test_what_is_wrong_before_anything_is_sent_ends_with_one_line(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    error: Exception,
    code: ExitCode,
    said: str,
) -> None:
    def fails(_: Environment) -> None:
        raise error

    monkeypatch.setattr(lifecycle, "_initialise", fails)
    with pytest.raises(SystemExit) as end:
        lifecycle._on_init(environment())
    assert end.value.code == code
    assert capsys.readouterr().err.startswith(said)


# --- clients ---


def test_the_engine_is_used_unless_something_listens_to_every_request(
    capsys: pytest.CaptureFixture[str],
) -> None:
    within = environment()
    assert lifecycle._client(within, plan()) == "engine"

    def listener(**_: Any) -> None:
        """Listen to every request."""

    within.events.request.add_listener(listener)
    assert lifecycle._client(within, plan()) == "stock"
    said = capsys.readouterr().err
    assert f"{__name__} listens to every request, so Locust's FastHttpUser sends" in said
    assert lifecycle._client(within, plan(load=LoadSettings(client="engine"))) == "engine"


def test_a_system_without_epoll_has_locusts_clients(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lifecycle, "AVAILABLE", False)
    assert lifecycle._client(environment(), plan()) == "stock"
    assert (
        lifecycle._client(environment(), plan(load=LoadSettings(client="requests"))) == "requests"
    )
    with pytest.raises(InputError, match="no epoll on this system for --client engine"):
        lifecycle._client(environment(), plan(load=LoadSettings(client="engine")))


# --- exit codes and last lines ---


@pytest.mark.parametrize(
    ("kind", "code", "word"),
    [(GREEN, ExitCode.MISMATCH, "mismatch: "), (ERROR, ExitCode.FAILING, "failing: ")],
)
def test_by_hand_the_verdict_is_the_exit_code(kind: object, code: ExitCode, word: str) -> None:
    own = present()
    send(own, kind, 1000)
    assert lifecycle._exit_code(own) is code
    assert lifecycle._result_line(own).startswith(word)


def test_without_a_split_locust_decides_and_the_shares_are_said() -> None:
    own = session(plan(split=None))
    assert lifecycle._exit_code(own) is None
    assert lifecycle._result_line(own).startswith("0 requests: no variant answered. No split")
    send(own, BLUE, 3)
    send(own, GREEN, 1)
    assert lifecycle._result_line(own).startswith("4 requests: blue 75.0 %, green 25.0 %. No split")
    own.notes.unreachable = "nobody there"
    assert lifecycle._result_line(own) == "trafficsplit: nobody there"


def test_a_run_is_handed_to_the_parent_once_and_the_parent_judges_it() -> None:
    own = present()
    handed: list[object] = []

    class Waiting(Parent):
        def hand_over(self, run: object) -> None:
            handed.append(run)

    connect(Waiting(VerifySettings(("http://gateway",), CANARY), ".", 1))
    send(own, GREEN, 1000)
    for _ in range(2):
        lifecycle._on_quitting(own.environment)
    assert len(handed) == 1
    assert own.finished
    assert own.environment.process_exit_code == ExitCode.MATCH  # it has done its work


def test_a_run_is_written_where_that_is_wanted(tmp_path: Path) -> None:
    own = present(run_dir=str(tmp_path))
    send(own, GREEN, 1000)
    lifecycle._on_quitting(own.environment)
    assert read_run(tmp_path).tally == own.counter.tally
    assert own.environment.process_exit_code == ExitCode.MISMATCH


def test_a_full_disk_takes_no_verdict(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    own = present(run_dir=str(tmp_path / "gone"))
    send(own, GREEN, 1000)
    lifecycle._on_quitting(own.environment)
    assert own.environment.process_exit_code == ExitCode.MISMATCH
    line = capsys.readouterr().err
    assert "cannot be written (No such file or directory); the verdict was mismatch: " in line


def test_the_last_answers_are_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    own = present()
    ticket = taken(own.counter)
    answers = gevent.spawn_later(
        0.05,
        lambda: count(own.counter, ticket, GREEN),  # as the engine would
    )
    lifecycle._on_test_stopping(own.environment)
    assert answers.dead
    assert own.counter.tally.counts["green"] == 1
    assert own.notes.interrupted == "the run was interrupted"
    monkeypatch.setattr(lifecycle, "LAST_ANSWERS", 0.05)
    other = present()
    taken(other.counter)
    lifecycle._on_test_stopping(other.environment)  # one that never comes
    assert other.counter.under_way == 1


def test_a_run_that_has_its_answer_was_not_interrupted() -> None:
    own = present()
    send(own, GREEN, 1000)
    lifecycle._on_test_stopping(own.environment)
    assert own.notes.interrupted == ""


def test_run_time_is_why_a_run_has_ended() -> None:
    own = present(run_time=1)
    own.counter.began = -1000.0
    lifecycle._on_test_stopping(own.environment)
    assert own.notes.interrupted == "--run-time was over"


def test_a_reset_of_locusts_statistics_is_one_of_ours() -> None:
    own = present()
    send(own, BLUE, 3)
    lifecycle._on_reset_stats()
    assert own.counter.tally.requests == 0
    own.finished = True
    send(own, BLUE, 3)
    lifecycle._on_reset_stats()  # what is over is over
    assert own.counter.tally.requests == 3


def test_a_workers_report_has_its_counts_for_the_master() -> None:
    own = present()
    own.counter.began = 1.0
    send(own, BLUE, 1)
    data: dict[str, Any] = {}
    lifecycle._on_report_to_master("a", data)
    assert json.loads(json.dumps(data))["trafficsplit"]["sender"]["client"] == "engine"
    assert own.counter.tally.requests == 0  # they are the master's now
