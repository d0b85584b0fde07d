"""The outermost frame of every process of ours.

After an uncaught exception Python ends with 1, which is our `mismatch`. Here every end that is
not a verdict gets an exit code of its own, and one line for a person.
"""

from __future__ import annotations

import errno
import io
import os
import signal
import sys
import traceback
from collections.abc import Callable
from typing import TextIO

from trafficsplit.errors import BrokenError, ExitCode, InputError
from trafficsplit.text import one_line

DEBUG = "TRAFFICSPLIT_DEBUG"  # an environment variable: set it to see tracebacks
MOST_SAID = 2000  # characters of a line


def run_framed(action: Callable[[], int | None], *, name: str = "trafficsplit") -> int:
    """Run the whole of a process, and return its exit code. Never raises.

    `name` begins the line that says what was wrong.
    """
    open_standard_streams()
    # What is to be undone is undone, as after Ctrl-C.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    _end_when_hung_up()
    try:
        code = int(action() or 0)
    except InputError as error:
        code = complain(str(error), ExitCode.WRONG_USAGE, name=name)
    except BrokenError as error:
        code = complain(str(error), ExitCode.BROKEN, name=name)
    except KeyboardInterrupt as error:
        code = complain(str(error) or "interrupted", ExitCode.INTERRUPTED, name=name)
    except SystemExit as end:
        code = _code_of(end, name)
    except BaseException as error:
        code = complain(broken_line(error), ExitCode.BROKEN, name=name)
        if os.environ.get(DEBUG):
            traceback.print_exc()
    settle_standard_streams()
    return int(code)


def _end_when_hung_up() -> None:
    """Take the end of the terminal for SIGTERM, which every part of a run knows how to take.

    Under nohup it is ignored, and stays so.
    """
    if signal.getsignal(signal.SIGHUP) is signal.SIG_DFL:
        signal.signal(signal.SIGHUP, lambda *_: os.kill(os.getpid(), signal.SIGTERM))


def _code_of(end: SystemExit, name: str) -> int:
    if isinstance(end.code, int | None):
        return end.code or 0
    return complain(str(end.code), ExitCode.BROKEN, name=name)


def broken_line(error: BaseException) -> str:
    """Return one line that says that we broke, and how to see where."""
    if isinstance(error, BrokenError):
        return str(error)
    if isinstance(error, MemoryError):
        return "broken: there is no memory left; nothing is known of the gateway"
    what = f"{type(error).__name__}: {error}"
    if isinstance(error, OSError) and error.errno in (errno.EMFILE, errno.ENFILE):
        what = f"this machine gives no more sockets and files ({error.strerror}; see ulimit -n)"
    elif isinstance(error, OSError):
        what = str(error.strerror or error)
        if error.filename:
            what = f"{error.filename}: {what}"
    return f"broken: {what}; nothing is known of the gateway ({DEBUG}=1 shows where)"


def complain(message: str, code: ExitCode, *, name: str = "trafficsplit") -> ExitCode:
    """Say what is wrong in one line on standard error, and return the code."""
    say(f"{name}: {one_line(message, MOST_SAID)}", to_error=True)
    return code


def say(text: str, *, to_error: bool = False) -> bool:
    """Print a text on standard output, or with `to_error` on standard error.

    Return whether that stream took it. What standard output cannot take is printed on standard
    error instead. A pipe without a reader, a full disk and a closed stream are no reason to end.
    """
    if to_error:
        return _print_to(sys.stderr, text)
    if _print_to(sys.stdout, text):
        return True
    _print_to(sys.stderr, text)
    return False


def _print_to(stream: TextIO | None, text: str) -> bool:
    if stream is None:
        return False
    try:
        print(text, file=stream, flush=True)
    except (OSError, ValueError):
        return False
    return True


def open_standard_streams() -> None:
    """Open the null device for each standard stream that is closed.

    Otherwise the next file that is opened would get its descriptor, and be written to by mistake.
    """
    descriptor = os.open(os.devnull, os.O_RDWR)
    while descriptor <= 2:
        descriptor = os.open(os.devnull, os.O_RDWR)
    os.close(descriptor)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a terminal that knows no ± is told the rest
            stream.reconfigure(errors="replace")
    if sys.stdin is None:
        sys.stdin = open(0, closefd=False)  # noqa: SIM115 — a descriptor that stays open


def settle_standard_streams() -> None:
    """Flush both streams, and drop what cannot be written.

    Python flushes them once more at its own end, and ends with 120 if that fails.
    """
    for stream in (sys.stdout, sys.stderr):
        if stream is None:
            continue
        try:
            stream.flush()
        except (OSError, ValueError):
            _drop(stream)


def _drop(stream: TextIO) -> None:
    try:
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, stream.fileno())
        os.close(null)
    except (OSError, ValueError):
        return
