"""Tests of what imports Locust, in a process of their own.

Locust patches sockets and threads when it is imported, which is not for the process of all tests.
So such tests are in tests/locust/inside/, and a test here runs them by a pytest of their own.
"""

from __future__ import annotations

import os
import subprocess
import sys

from tests.conftest import ROOT

INSIDE = ROOT / "tests" / "locust" / "inside"
# Locust first: what it patches must not have been used.
PROGRAM = "import sys, locust, pytest; sys.exit(pytest.main(sys.argv[1:]))"
LONGEST = 300  # seconds; only what hangs takes them


def run_inside_locust(name: str) -> None:
    """Run the tests of a file in tests/locust/inside/, where Locust has been imported."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTEST_")}
    result = subprocess.run(
        [
            *(sys.executable, "-c", PROGRAM, "-q", "--no-header"),
            *("-p", "no:cacheprovider", "-p", "no:xdist"),
            # Locust has a plug-in for pytest, which is not used here.
            *("-W", "ignore::pytest.PytestAssertRewriteWarning", str(INSIDE / f"{name}.py")),
        ],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=LONGEST,
        check=False,
    )
    assert result.returncode == 0, result.stdout + result.stderr
