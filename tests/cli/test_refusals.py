"""What cannot be done is refused in one line with code 2, before anything is done."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from trafficsplit.cli import main

End = Callable[..., int]


@pytest.fixture
def end_of(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[End]:
    """Run a command in this process, in an empty directory; return its exit code."""
    monkeypatch.chdir(tmp_path)
    before = signal.getsignal(signal.SIGTERM)

    def run(*arguments: str) -> int:
        monkeypatch.setattr(sys, "argv", ["trafficsplit", *arguments])
        with pytest.raises(SystemExit) as end:
            main()
        assert isinstance(end.value.code, int)
        return end.value.code

    yield run
    signal.signal(signal.SIGTERM, before)


COUNTS = ("analyze", "--counts", "blue=750,green=250")
LAST_STEP = ("rollout", "--steps", "40")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        # Issue 13, fault 1: the weights were set, and the option was refused then.
        ((*LAST_STEP, "--tolerence", "3"), "No such option"),
        ((*LAST_STEP, "--rate", "abc"), "--rate is not a number: 'abc'"),
        ((*LAST_STEP, "--tolerance", "99"), "--tolerance is 99"),
        ((*LAST_STEP, "--max-p99-ratio", "0.5"), "--max-p99-ratio is 0.5"),
        # Fault 4: these ended with 1, which is `mismatch`.
        ((*COUNTS, "--weight", "25", "--tolerance", "0.0000001"), "say 1e-07% or 1e-05"),
        ((*COUNTS, "--weight", "25", "--tolerance", "0.0000001%"), "give a larger --tolerance"),
        ((*COUNTS, "--weights", "blue=1,green=1e-300"), "the weight of green is 1e-298 %"),
        ((*COUNTS, "--weight", "25", "--alpha", "1e-320"), "alpha is 9.99989e-321"),
        (("plan", "--weights", "a=1,b=1e-300"), "the weight of b is 1e-298 %"),
        (("plan", "--weight", "25", "--zero-tolerance", "1e-310%"), "the tolerance of weight 0"),
        # Fault 9: these were understood as something else.
        (("plan", "--weight", "0.25"), "--weight is 0.25, which may be 0.25 % or 25 %"),
        (("plan", "--weight", "25", "--alpha", "1"), "say 1% or 0.01"),
        (("verify", "--weight", "25", "--tolerance", "30"), "give less than 25"),
        (("verify", "--weight", "25", "--tolerance", "0.02"), "say 0.02% or 2"),
        (("verify", "--weight", "25", "--max-failing", "0.5"), "say 0.5% or 50"),
        # And what has always been wrong.
        (("verify",), "no split to expect: give --weight 25"),
        (("verify", "--weight", "25", "--weights", "blue=1"), "say the same thing twice"),
        (("verify", "--weight", "25", "--host", "gateway"), "give http://NAME"),
        (("verify", "--weight", "25", "--map", "a=b"), "--map is for a --manifest"),
        (("verify", "--weight", "25", "--users", "none"), "--users is not a number"),
        (("verify", "--weight", "25", "--variant-from", "nose"), "nose"),
        (("gate",), "no gateway to ask: give --host"),
        (("gate", "--host", "http://x", "--listen", "0.0.0.0:80"), "give --token or --client-ca"),
        (("set-weights", "green"), "is not of the form variant=weight"),
        (("set-weights", "green=40", "--route", "x"), "--route is for a --manifest"),
        (("analyze",), "what is to be judged"),
    ],
)
def test_wrong_usage_is_one_line_and_nothing_is_done(
    arguments: tuple[str, ...],
    said: str,
    end_of: End,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert end_of(*arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    (line,) = err.splitlines()
    assert line.startswith("trafficsplit: ")
    assert said in line
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("options", "value"),
    [
        (("--alpha", "0.1%"), '"alpha": 0.001'),
        (("--requests", "20k"), '"budget": 20000'),
        (("--requests", "1e6"), '"budget": 1000000'),
        (("--weight", "25%"), '"green": 0.25'),
        (("--rate", "1000rps"), '"green": 0.25'),
    ],
)
def test_numbers_are_taken_as_people_type_them(
    options: tuple[str, ...],
    value: str,
    end_of: End,
    capsys: pytest.CaptureFixture[str],
) -> None:
    weight = () if "--weight" in options else ("--weight", "25")
    assert end_of("plan", *weight, *options, "--json") == 0
    assert value in capsys.readouterr().out
