"""A child that runs Locust: its counts, its last words, its end; stood for by small scripts."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import cast

import pytest

from tests.support.processes import is_running
from tests.support.runs import CANARY, RUNS
from tests.support.waiting import until
from trafficsplit.analysis.plain import run_as_plain, run_from_plain
from trafficsplit.assets import asset
from trafficsplit.errors import BrokenError, InputError
from trafficsplit.load.parquet import RECORDING
from trafficsplit.locust.parent import BEGUN
from trafficsplit.locust.process import LOG, LocustProcess, signals_passed_on
from trafficsplit.locust.warm import WarmProcess
from trafficsplit.settings.load import SendingSettings
from trafficsplit.settings.verify import SETTINGS, VerifySettings, read_settings

ORDINARY = run_from_plain(run_as_plain(RUNS["ordinary"]))  # as it comes back
VERIFY = VerifySettings(("http://a", "http://b"), CANARY, run_id="abc")
PRELUDE = """
import json, os, signal, sys, time
pipe = int(sys.argv[1])
def send(message):
    data = message if isinstance(message, bytes) else json.dumps(message).encode() + b"\\n"
    while data:
        data = data[os.write(pipe, data):]
begun = {"event": "begun"}
run = {"event": "run", "run": json.loads(%r)}
directory, *arguments = json.loads(sys.stdin.readline())
"""


@dataclass
class FakeWarm:
    """Stands for the process that has imported Locust, and runs a script instead."""

    script: str
    terminal: int | None = None
    arguments: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.messages, pipe = os.pipe()
        plain = json.dumps(run_as_plain(ORDINARY))
        self.process = subprocess.Popen(
            [sys.executable, "-c", PRELUDE % plain + self.script, str(pipe)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            pass_fds=[pipe],
            start_new_session=True,
        )
        os.close(pipe)

    def begin(self, directory: Path, arguments: Sequence[str]) -> None:
        self.arguments = list(arguments)
        assert self.process.stdin
        self.process.stdin.write(json.dumps([str(directory), *arguments]) + "\n")
        self.process.stdin.close()


Start = Callable[..., LocustProcess]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start a script in place of Locust; all of them are ended after the test."""
    started: list[LocustProcess] = []

    def run(script: str, settings: VerifySettings = VERIFY) -> LocustProcess:
        warm = cast("WarmProcess", FakeWarm(script))
        process = LocustProcess(settings, tmp_path, warm=warm)
        started.append(process)
        return process

    yield run
    for process in started:
        process.close()


def test_its_counts_come_back(start: Start, tmp_path: Path) -> None:
    process = start("send(begun); send(run)")
    assert process.await_begin(60)
    assert process.run() == ORDINARY
    assert process.wait(0)
    assert list(tmp_path.iterdir()) == []  # no settings, which may have a secret; no empty log


def test_the_settings_are_there_while_it_runs(start: Start, tmp_path: Path) -> None:
    process = start("send(begun)\nwhile not os.path.exists(directory + '/go'): time.sleep(0.02)")
    assert read_settings(tmp_path).run_id == "abc"
    (tmp_path / BEGUN).touch()
    (tmp_path / "go").touch()
    with pytest.raises(BrokenError):
        process.run()
    assert not (tmp_path / SETTINGS).exists()
    assert not (tmp_path / BEGUN).exists()


def test_what_it_said_is_its_log(start: Start, tmp_path: Path) -> None:
    process = start("send(run); print('one'); print('two', file=sys.stderr)")
    assert process.run() == ORDINARY
    assert set((tmp_path / LOG).read_text().split()) == {"one", "two"}


def test_a_log_that_cannot_be_written_costs_no_run(start: Start, tmp_path: Path) -> None:
    (tmp_path / LOG).mkdir()
    assert start("send(run); print('one')").run() == ORDINARY


def test_a_run_counts_whatever_its_exit_code_is(start: Start) -> None:
    assert start("send(run); sys.exit(1)").run() == ORDINARY


def test_a_wrong_setting_is_refused_in_its_words(start: Start) -> None:
    process = start("print('noise'); print('trafficsplit: no such path'); sys.exit(2)")
    with pytest.raises(InputError, match=r"^no such path$"):
        process.run()


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("sys.exit(1)", "broken: Locust ended with code 1 and left no counts: it said nothing"),
        ("sys.exit(0)", "broken: Locust ended with code 0 and left no counts: it said nothing"),
        (
            "print('first'); print('last'); print(); sys.exit(3)",
            "broken: Locust ended with code 3 and left no counts: last (all of it: ",
        ),
        (
            "raise KeyError('x')",
            "broken: Locust ended with code 1 and left no counts: KeyError: 'x' (all of it: ",
        ),
        ("print('trafficsplit: broken: no memory', flush=True); os.abort()", "broken: no memory"),
        (
            "os.kill(os.getpid(), signal.SIGKILL)",
            "broken: Locust ended with signal 9 and left no counts",
        ),
        ('send(begun); send(b\'{"run": {"quest\'); sys.exit(5)', "ended with code 5"),
        ("send({'event': 'run', 'run': {}})", "broken: the run that came back is damaged"),
        ("send({'event': 'run', 'run': []})", "broken: the run that came back is damaged"),
    ],
)
def test_without_counts_it_broke_and_says_how(start: Start, script: str, said: str) -> None:
    with pytest.raises(BrokenError) as refusal:
        start(script).run()
    assert str(refusal.value).startswith(said) or said in str(refusal.value)
    assert len(str(refusal.value).splitlines()) == 1


STOPPABLE = """
def stop(*_):
    send(run)
    sys.exit(0)
signal.signal(signal.SIGTERM, stop)
send(begun)
while True:
    time.sleep(0.02)
"""


def test_what_was_recorded_before_it_was_killed_is_pointed_at(start: Start, tmp_path: Path) -> None:
    (tmp_path / RECORDING).mkdir()
    process = start("os.kill(os.getpid(), 9)")
    with pytest.raises(BrokenError, match=r"what was recorded is in .*requests.parquet$"):
        process.run()


def test_one_that_is_stopped_hands_its_counts_over(start: Start) -> None:
    process = start(STOPPABLE)
    assert process.await_begin(60)
    assert not process.wait(0.01)
    process.stop()
    assert process.run() == ORDINARY
    assert not process.stopped_early
    process.stop()  # a second time is no harm


def test_one_that_is_stopped_before_it_counted_has_nothing_to_say(
    start: Start, tmp_path: Path
) -> None:
    process = start("open(directory + '/up', 'w'); print('noise', flush=True); time.sleep(600)")
    assert until((tmp_path / "up").exists)
    assert not process.await_begin(0.01)
    process.stop()
    with pytest.raises(BrokenError):
        process.run()
    assert process.stopped_early
    assert not (tmp_path / LOG).exists()


def test_one_that_was_not_stopped_has_not_been_stopped_early(start: Start) -> None:
    process = start("os.kill(os.getpid(), signal.SIGTERM)")
    with pytest.raises(BrokenError, match="signal 15"):
        process.run()
    assert not process.stopped_early


def test_it_is_gone_when_its_block_is_left(tmp_path: Path) -> None:
    warm = FakeWarm("time.sleep(600)")
    with LocustProcess(VERIFY, tmp_path, warm=cast("WarmProcess", warm)) as process:
        assert not process.wait(0.01)
    assert warm.process.returncode == -signal.SIGKILL


def test_its_workers_end_with_one_that_is_killed(start: Start, tmp_path: Path) -> None:
    script = """
worker = os.fork()
if worker == 0:
    while True:
        time.sleep(0.02)
with open(directory + "/worker", "w") as file:
    file.write(str(worker))
os.rename(directory + "/worker", directory + "/up")
os.kill(os.getpid(), signal.SIGKILL)
"""
    process = start(script)
    with pytest.raises(BrokenError, match="signal 9"):
        process.run()
    assert until(lambda: not is_running(int((tmp_path / "up").read_text())))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_end_the_load_and_not_us(start: Start, number: signal.Signals) -> None:
    before = signal.getsignal(number)
    process = start(STOPPABLE)
    assert process.await_begin(60)
    with signals_passed_on(process):
        os.kill(os.getpid(), number)
        assert process.run() == ORDINARY
    assert signal.getsignal(number) is before


def test_a_signal_that_came_before_ends_it_at_once(start: Start) -> None:
    process = start(STOPPABLE)
    assert process.await_begin(60)
    with signals_passed_on(process, [signal.SIGINT]):
        assert process.run() == ORDINARY


# --- Locust's own options ---


def arguments_of(tmp_path: Path, settings: VerifySettings, **more: int | None) -> list[str]:
    """Return the options that Locust gets."""
    warm = FakeWarm("send(run)", **more)  # type: ignore[arg-type]
    with LocustProcess(
        settings, tmp_path, progress=True, warm=cast("WarmProcess", warm)
    ) as process:
        process.run()
    return warm.arguments


def value(arguments: list[str], flag: str) -> str:
    return arguments[arguments.index(flag) + 1]


def test_users_come_at_once_or_over_a_ramp(tmp_path: Path) -> None:
    arguments = arguments_of(tmp_path, VERIFY)
    assert value(arguments, "-f") == str(asset("locustfiles", "color.py"))
    assert value(arguments, "--host") == "http://a,http://b"
    assert (value(arguments, "--users"), value(arguments, "--spawn-rate")) == ("16", "16")
    assert "--headless" in arguments
    assert "--processes" not in arguments
    assert "--progress" not in arguments  # there is no terminal
    slowly = replace(VERIFY, sending=SendingSettings(users=30, ramp=20.0))
    assert value(arguments_of(tmp_path, slowly), "--spawn-rate") == "1.5"


def test_several_processes_have_a_port_of_their_own(tmp_path: Path) -> None:
    several = replace(VERIFY, sending=SendingSettings(users=8, processes=4))
    arguments = arguments_of(tmp_path, several)
    assert value(arguments, "--processes") == "4"
    assert value(arguments, "--master-bind-host") == "127.0.0.1"
    assert value(arguments, "--master-port") == value(arguments, "--master-bind-port") != "5557"


def test_progress_is_shown_where_there_is_a_terminal(tmp_path: Path) -> None:
    assert value(arguments_of(tmp_path, VERIFY, terminal=7), "--progress") == "7"


def test_a_directory_that_cannot_be_written_begins_nothing(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No such file"):
        LocustProcess(VERIFY, tmp_path / "gone")
