"""A verdict that is known is not lost by streams that take nothing, or are not there."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

COUNTS = "analyze --weight 25 --requests 100000 --report r --counts"
MISMATCH = f"{COUNTS} blue=7500,green=500"
MATCH = f"{COUNTS} blue=7500,green=2500"


def ran(directory: Path, line: str) -> subprocess.CompletedProcess[str]:
    """Run a line of a shell in which $T is the command."""
    program = str(Path(sys.executable).with_name("trafficsplit"))
    return subprocess.run(
        ["sh", "-c", line],
        cwd=directory,
        env={**os.environ, "T": program, "PYTHONUNBUFFERED": ""},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    "redirections",
    [">/dev/full", ">&-", ">/dev/full 2>/dev/full", "<&- >&- 2>&-", "--json >/dev/full"],
)
def test_a_mismatch_is_one_wherever_it_is_said(tmp_path: Path, redirections: str) -> None:
    # Issue 13, fault 5: a full or closed standard output made 1, 2 or 4 of any verdict.
    result = ran(tmp_path, f'"$T" {MISMATCH} {redirections}')
    assert result.returncode == 1
    assert (tmp_path / "r" / "verdict.json").exists()
    if "2>" not in redirections:
        assert "mismatch: green gets" in result.stderr


def test_a_match_is_one_for_a_reader_who_has_left(tmp_path: Path) -> None:
    result = ran(tmp_path, f'{{ "$T" {MATCH} --json; echo "$?" >code; }} | head -c0')
    assert (tmp_path / "code").read_text() == "0\n"
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize("what", ["--manifest -", "-"])
def test_a_closed_standard_input_is_one_line(tmp_path: Path, what: str) -> None:
    # Issue 13, fault 4: it ended with 1, which is `mismatch`.
    line = f"analyze --weight 25 {what}" if what == "-" else f"plan {what}"
    result = ran(tmp_path, f'"$T" {line} <&-')
    assert result.returncode == 2
    assert len(result.stderr.splitlines()) == 1
