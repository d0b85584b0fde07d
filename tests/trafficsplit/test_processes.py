"""Child processes end with us, whatever ends us."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.processes import is_running
from tests.support.waiting import until
from trafficsplit import processes
from trafficsplit.errors import InputError
from trafficsplit.processes import (
    LONGEST_LINE,
    dying_with_us,
    environment_without,
    free_port,
    free_socket,
    last_line,
    spawn,
    stop,
)

Process = subprocess.Popen[bytes]
Start = Callable[..., Process]
FOR_EVER = "import time\nwhile True: time.sleep(0.05)"
# One that says when it is ready, and is not ended by SIGTERM.
STUBBORN = f"""
import signal
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("ready", flush=True)
{FOR_EVER}
"""


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start Python on a script; all of them are ended after the test."""
    started: list[Process] = []

    def run(script: str, **more: object) -> Process:
        log = tmp_path / f"{len(started)}.log"
        process = spawn([sys.executable, "-c", script], log, **more)  # type: ignore[arg-type]
        started.append(process)
        return process

    yield run
    for process in started:
        process.kill()
        process.wait()


def test_what_it_says_is_in_its_log(start: Start, tmp_path: Path) -> None:
    process = start("import sys; print('out'); print('error', file=sys.stderr); input()")
    assert process.wait(60) == 1  # there is nothing to read
    text = (tmp_path / "0.log").read_text()
    assert "out" in text
    assert "error" in text
    assert last_line(tmp_path / "0.log").startswith("EOFError")


def test_a_log_goes_on_where_it_was(tmp_path: Path) -> None:
    for word in ("first", "second"):
        assert spawn([sys.executable, "-c", f"print('{word}')"], tmp_path / "log").wait(60) == 0
    assert (tmp_path / "log").read_text().split() == ["first", "second"]


def test_its_environment_is_ours_and_more(
    start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OURS", "1")
    script = "import os; print(os.environ['OURS'], os.environ['MORE'])"
    assert start(script, environment={"MORE": "2"}).wait(60) == 0
    assert (tmp_path / "0.log").read_text().split() == ["1", "2"]


def test_a_socket_is_handed_over(start: Start) -> None:
    with free_socket() as listener:
        listener.set_inheritable(True)
        number = listener.fileno()
        script = f"import socket\nsocket.socket(fileno={number}).accept()[0].sendall(b'hello')"
        start(script, descriptors=[number])
        with socket.create_connection(listener.getsockname(), 60) as connection:
            assert connection.recv(10) == b"hello"


def test_a_ctrl_c_of_ours_is_none_of_its(start: Start) -> None:
    process = start(FOR_EVER)
    assert os.getsid(process.pid) == process.pid


@pytest.mark.parametrize("program", ["no-such-program", "/"])
def test_a_program_that_cannot_be_started_is_named(tmp_path: Path, program: str) -> None:
    with pytest.raises(InputError, match=f"^{program} cannot be started: ") as refusal:
        spawn([program], tmp_path / "log")
    assert len(str(refusal.value).splitlines()) == 1


def test_a_log_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be started: No such file"):
        spawn([sys.executable, "-c", ""], tmp_path / "nowhere" / "log")


def test_all_are_ended_also_those_that_do_not_want_to(
    start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processes, "STOP_PATIENCE", 0.2)
    willing = start(FOR_EVER)
    stubborn = start(STUBBORN)
    ended = start("")
    assert ended.wait(60) == 0
    assert until(lambda: (tmp_path / "1.log").read_text().strip() == "ready")
    stop([willing, stubborn, ended])
    assert stubborn.returncode == -signal.SIGKILL
    assert willing.returncode in (-signal.SIGTERM, -signal.SIGKILL)
    stop([])


PARENT = f"""
import pathlib, sys
from trafficsplit.processes import spawn
child = spawn([sys.executable, "-c", {FOR_EVER!r}], pathlib.Path(sys.argv[1]))
print(child.pid, flush=True)
{FOR_EVER}
"""


@pytest.mark.skipif(sys.platform != "linux", reason="prctl is Linux's")
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_child_ends_with_us_whatever_ends_us(tmp_path: Path, how: signal.Signals) -> None:
    command = [sys.executable, "-c", PARENT, str(tmp_path / "log")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as parent:
        assert parent.stdout
        pid = int(parent.stdout.readline())
        assert is_running(pid)
        parent.send_signal(how)
        parent.wait(60)
    assert until(lambda: not is_running(pid))


def test_elsewhere_a_child_is_not_told_when_we_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    assert dying_with_us(signal.SIGKILL) is None


def test_names_that_begin_so_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("A_1", "A_2", "B_1", "AB"):
        monkeypatch.setenv(name, "x")
    kept = environment_without("A_", "B_")
    assert "AB" in kept
    assert not {"A_1", "A_2", "B_1"} & kept.keys()


def test_a_free_port_can_be_listened_on() -> None:
    with socket.create_server(("127.0.0.1", free_port())):
        pass


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (b"", "it said nothing"),
        (b"\n \n", "it said nothing"),
        (b"first\nlast\n\n", "last"),
        (b"\xff\xfe", "��"),
        (b"x" * 1000, "x" * LONGEST_LINE),
    ],
)
def test_the_last_line_is_what_is_shown(tmp_path: Path, text: bytes, line: str) -> None:
    (tmp_path / "log").write_bytes(text)
    assert last_line(tmp_path / "log") == line
    assert last_line(tmp_path / "nothing") == "it said nothing"
