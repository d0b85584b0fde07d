"""The tests of what imports Locust, in a process of their own.

Locust patches sockets and threads when it is imported, which is not for the process of all tests.
So these are in tests/locust/inside/, and are run by one pytest of their own: the import takes
longer than most of them.
"""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.conftest import ROOT

INSIDE = ROOT / "tests" / "locust" / "inside"
# Locust first: what it patches must not have been used.
PROGRAM = "import sys, locust, pytest; sys.exit(pytest.main(sys.argv[1:]))"
LONGEST = 600  # seconds; only what hangs takes them


@pytest.mark.slow
def test_inside_locust() -> None:
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTEST_")}
    files = sorted(map(str, INSIDE.glob("[!_]*.py")))
    assert len(files) >= 10
    result = subprocess.run(
        [
            *(sys.executable, "-c", PROGRAM, "-q", "--no-header"),
            *("-p", "no:cacheprovider", "-p", "no:xdist"),
            # Locust has a plug-in for pytest, which is not used here.
            *("-W", "ignore::pytest.PytestAssertRewriteWarning", *files),
        ],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=LONGEST,
        check=False,
    )
    assert result.returncode == 0, result.stdout + result.stderr
