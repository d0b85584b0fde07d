"""The outermost frame: every end has a code of its own and one line, whatever the streams take."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from trafficsplit.errors import BrokenError, ClusterError, ExitCode, InputError, LabError
from trafficsplit.frame import DEBUG, MOST_SAID, broken_line, complain, run_framed, say

FULL = Path("/dev/full")
NOTHING_IS_KNOWN = f"; nothing is known of the gateway ({DEBUG}=1 shows where)"


@pytest.fixture(autouse=True)
def _signals_as_before() -> Iterator[None]:
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


def raising(error: BaseException) -> Callable[[], int]:
    def act() -> int:
        raise error

    return act


# --- exit codes ---


@pytest.mark.parametrize(
    ("returned", "code"),
    [(None, 0), (0, 0), (3, 3), (ExitCode.MISMATCH, 1), (ExitCode.FAILING, 4)],
)
def test_what_an_action_returns_is_the_exit_code(
    returned: int | None, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_framed(lambda: returned) == code
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (InputError("give --weight 25"), 2, "give --weight 25"),
        (LabError("no lab is up"), 2, "no lab is up"),
        (ClusterError("it refuses", 403), 2, "it refuses"),
        (BrokenError("broken: the worker is lost"), 5, "broken: the worker is lost"),
        # Python's own code for these would be 1, which is `mismatch`.
        (ValueError("odd"), 5, f"broken: ValueError: odd{NOTHING_IS_KNOWN}"),
        (ZeroDivisionError(), 5, f"broken: ZeroDivisionError: {NOTHING_IS_KNOWN}"),
        (RecursionError("deep"), 5, f"broken: RecursionError: deep{NOTHING_IS_KNOWN}"),
        (MemoryError(), 5, "broken: there is no memory left; nothing is known of the gateway"),
        (
            OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/x"),
            5,
            f"broken: /x: No space left on device{NOTHING_IS_KNOWN}",
        ),
        (OSError("odd"), 5, f"broken: odd{NOTHING_IS_KNOWN}"),
        (GeneratorExit(), 5, f"broken: GeneratorExit: {NOTHING_IS_KNOWN}"),
        (KeyboardInterrupt(), 130, "interrupted"),
        (KeyboardInterrupt("the weights are back"), 130, "the weights are back"),
        (SystemExit("it says why"), 5, "it says why"),
    ],
)
def test_every_end_has_a_code_and_one_line(
    error: BaseException, code: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_framed(raising(error)) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert err == f"trafficsplit: {' '.join(said.split())}\n"


@pytest.mark.parametrize(("given", "code"), [(None, 0), (0, 0), (1, 1), (7, 7)])
def test_an_exit_with_a_number_is_that_number(
    given: int | None, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_framed(raising(SystemExit(given))) == code
    assert capsys.readouterr() == ("", "")


def test_the_line_begins_with_the_processes_name(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_framed(raising(InputError("x")), name="locust") == 2
    assert capsys.readouterr().err == "locust: x\n"


def test_a_long_text_of_others_is_one_short_line(capsys: pytest.CaptureFixture[str]) -> None:
    run_framed(raising(InputError("two\nlines\x1b[31m" + 5000 * "x")))
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("trafficsplit: two lines [31mxxx")
    assert line.isprintable()
    assert len(line) <= MOST_SAID + len("trafficsplit: ")


def test_a_traceback_is_shown_where_it_is_asked_for(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(DEBUG, "1")
    assert run_framed(raising(ValueError("odd"))) == 5
    assert "Traceback (most recent call last)" in capsys.readouterr().err
    assert run_framed(raising(InputError("wrong"))) == 2
    assert "Traceback" not in capsys.readouterr().err


def test_complaining_gives_the_code_back(capsys: pytest.CaptureFixture[str]) -> None:
    assert complain("x", ExitCode.WRONG_USAGE) is ExitCode.WRONG_USAGE
    assert capsys.readouterr().err == "trafficsplit: x\n"


def test_too_few_files_are_named_and_not_the_one_that_was_in_the_way() -> None:
    line = broken_line(OSError(errno.EMFILE, os.strerror(errno.EMFILE), "/lib/x.py"))
    assert line.startswith("broken: this machine gives no more sockets and files (Too many open")


def test_a_broken_line_names_the_file() -> None:
    assert broken_line(FileNotFoundError(2, "gone", "/x/y")).startswith("broken: /x/y: gone")


def test_saying_tells_whether_it_was_taken(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert say("out")
    assert say("err", to_error=True)
    assert capsys.readouterr() == ("out\n", "err\n")
    monkeypatch.setattr(sys, "stdout", None)
    assert not say("elsewhere")
    assert capsys.readouterr().err == "elsewhere\n"
    monkeypatch.setattr(sys, "stderr", None)
    assert not say("nowhere")
    assert not say("nowhere", to_error=True)


# --- streams that take nothing, or are not there ---


def framed(
    code: str, redirections: str = "", **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run an action in a process of its own, whose streams a shell redirects."""
    program = (
        "import os, sys\n"
        "from trafficsplit.errors import *\n"
        "from trafficsplit.frame import run_framed, say\n"
        "def act():\n"
        + "".join(f"    {line}\n" for line in code.splitlines())
        + "sys.exit(run_framed(act))\n"
    )
    return subprocess.run(
        ["sh", "-c", f'"$0" -c "$1" {redirections}', sys.executable, program],
        env={**os.environ, "PYTHONUNBUFFERED": "", **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("redirection", [">/dev/full", ">&-"])
def test_a_verdict_that_standard_output_does_not_take_is_said_elsewhere(redirection: str) -> None:
    # Issue 13, fault 5: these turned a known verdict into another code.
    result = framed("say('mismatch: so and so')\nreturn 1", redirection)
    assert result.returncode == 1
    assert result.stderr == "mismatch: so and so\n"


@pytest.mark.slow
@pytest.mark.parametrize(
    "redirections",
    [
        ">/dev/full 2>/dev/full",
        ">&- 2>&-",
        "<&- >&- 2>&-",
        ">/dev/full 2>&-",
    ],
)
def test_without_any_stream_the_code_is_known_all_the_same(redirections: str) -> None:
    assert framed("say('match')\nreturn 3", redirections).returncode == 3
    assert framed("raise InputError('x')", redirections).returncode == 2
    assert framed("raise ValueError('x')", redirections).returncode == 5


def test_what_others_print_costs_no_code_either() -> None:
    # Python itself would end with 120: it cannot flush what is left.
    assert framed("print('x')\nreturn 4", ">/dev/full").returncode == 4


def test_a_pipe_without_a_reader_costs_no_code() -> None:
    result = framed("say('x' * 1000000)\nsay('y')\nreturn 1", "| head -c0; exit 0")
    assert "Traceback" not in result.stderr
    process = subprocess.Popen(
        [
            *(sys.executable, "-c"),
            "import sys; from trafficsplit.frame import run_framed, say\n"
            "sys.stdin.read()\n"
            "sys.exit(run_framed(lambda: say('x' * 1000000) or 1))",
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout
    process.stdout.close()
    _, said = process.communicate(timeout=60)
    assert process.returncode == 1
    assert said.strip() == b"x" * 1_000_000


@pytest.mark.parametrize("redirections", ["<&-", "<&- >&-"])
def test_a_file_does_not_get_a_closed_streams_place(redirections: str, tmp_path: Path) -> None:
    file = tmp_path / "file"
    result = framed(
        f"file = open({str(file)!r}, 'w')\n"
        "say('not for the file')\n"
        "os.write(1, b'not for it either')\n"
        "return 0 if file.fileno() > 2 else 1",
        redirections,
    )
    assert result.returncode == 0
    assert file.read_text() == ""


def test_a_stream_of_another_encoding_gets_what_it_can_hold() -> None:
    result = framed("say('match: 25 % \\u00b1 2 points')\nreturn 0", PYTHONIOENCODING="ascii")
    assert (result.stdout, result.stderr) == ("match: 25 % ? 2 points\n", "")


def test_a_closed_standard_input_is_an_empty_one() -> None:
    assert framed("return len(sys.stdin.read())", "<&-").returncode == 0


def test_a_signal_undoes_what_is_to_be_undone() -> None:
    program = (
        "import sys, time\n"
        "from trafficsplit.frame import run_framed\n"
        "def act():\n"
        "    try:\n"
        "        print('ready', flush=True)\n"
        "        time.sleep(60)\n"
        "    finally:\n"
        "        print('undone', flush=True)\n"
        "sys.exit(run_framed(act))\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=60)
    finally:
        process.kill()
    assert out == "undone\n"
    assert err == "trafficsplit: interrupted\n"
    assert process.returncode == ExitCode.INTERRUPTED
