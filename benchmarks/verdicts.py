"""Verdicts on the real lab: at the right weight, and at one that is 5 points off.

python -m benchmarks.verdicts [RUNS]
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

from trafficsplit import lab

RUNS = 200


def main(runs: int = RUNS) -> None:
    """Print the counts of each verdict, and the requests that they took."""
    with tempfile.TemporaryDirectory() as name, lab.start(Path(name) / "lab") as started:
        for weight in (25, 30):
            found: Counter[str] = Counter()
            requests = []
            for _ in range(runs):
                verdict = verify(started.host, weight, Path(name) / "report")
                found[verdict["verdict"]] += 1
                requests.append(verdict["requests"])
            print(
                f"the manifest says 25 %, expected {weight} %: {dict(found)}, "
                f"{statistics.median(requests):,.0f} requests (median)",
                flush=True,
            )


def verify(host: str, weight: int, report: Path) -> dict[str, Any]:
    """Return verdict.json of one run."""
    command = [
        str(Path(sys.executable).with_name("trafficsplit")),
        *("verify", "--host", host, "--weight", str(weight)),
        *("--report", str(report), "--json"),
    ]
    result = subprocess.run(command, check=False, capture_output=True, text=True)
    found: dict[str, Any] = json.loads(result.stdout)
    return found


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
