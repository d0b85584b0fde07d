"""A secret in a header is in no file of a run, and in no command line of a child."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import ROOT, Cli
from trafficsplit.lab import Lab

SECRET = "canary-value-4711"
HEADER = ("--header", f"Authorization: Bearer {SECRET}")
PLENTY = ("--weight", "25", "--tolerance", "4", "--alpha", "0.0001")

pytestmark = [pytest.mark.slow, pytest.mark.lab]


def files_with_it(directory: Path) -> list[str]:
    found = []
    for file in directory.rglob("*"):
        with contextlib.suppress(OSError):
            if file.is_file() and SECRET.encode() in file.read_bytes():
                found.append(str(file.relative_to(directory)))
    return found


@contextlib.contextmanager
def watched() -> Iterator[set[str]]:
    """Meanwhile, note every child of ours whose command line has the secret."""
    over = threading.Event()
    seen: set[str] = set()

    def watch() -> None:
        while not over.wait(0.02):
            for file in Path("/proc").glob("[0-9]*/cmdline"):
                with contextlib.suppress(OSError):
                    line = file.read_bytes()
                    if SECRET.encode() in line and b"trafficsplit.locust" in line:
                        seen.add(line.decode("utf-8", "replace"))

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield seen
    finally:
        over.set()
        thread.join()


def test_verify_writes_no_secret(cli: Cli, the_lab: Lab, tmp_path: Path) -> None:
    with watched() as seen:
        result = cli("verify", "--host", the_lab.host, *PLENTY, *HEADER, "--report", "out")
    assert result.returncode == 0, result.stderr
    assert SECRET not in result.stdout + result.stderr
    assert not seen
    assert files_with_it(tmp_path) == []
    assert "Authorization: ***" in (tmp_path / "out" / "verdict.json").read_text("utf-8")


def test_a_rollout_keeps_no_secret_and_asks_for_it_again(
    cli: Cli, the_lab: Lab, tmp_path: Path
) -> None:
    manifest = tmp_path / "canary.yaml"
    manifest.write_text((ROOT / "istio" / "color-istio-gw-canary-pct.yaml").read_text("utf-8"))
    source = ("--manifest", str(manifest), "--host", the_lab.host)
    steps = ("rollout", "--steps", "25", "--report", "release", *PLENTY[2:], *source)
    result = cli(*steps, *HEADER)
    assert result.returncode == 0, result.stderr
    assert files_with_it(tmp_path) == []
    again = cli("rollout", "--undo", "--report", "release")
    assert again.returncode == 2
    assert "give --header 'Authorization: …' again" in again.stderr
    undone = cli("rollout", "--undo", "--report", "release", *HEADER)
    assert undone.returncode == 0, undone.stderr
    assert files_with_it(tmp_path) == []
