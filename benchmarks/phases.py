"""Where the wall time of `trafficsplit verify --weight 25` goes, and how the verdicts fall."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

RUNS = 20


def main() -> None:
    """Print the median seconds of each phase over the runs, and the verdicts."""
    verify = [str(Path(sys.executable).with_name("trafficsplit")), "verify", "--weight", "25"]
    verdicts: Counter[str] = Counter()
    phases: dict[str, list[float]] = {}
    requests = []
    for _ in range(RUNS):
        with tempfile.TemporaryDirectory() as directory:
            began = time.monotonic()
            subprocess.run([*verify, "--report", directory], check=False, capture_output=True)
            phases.setdefault("in all", []).append(time.monotonic() - began)
            verdict = json.loads((Path(directory) / "verdict.json").read_text())
        verdicts[verdict["verdict"]] += 1
        requests.append(verdict["requests"])
        for name, seconds in verdict["phases"].items():
            phases.setdefault(name, []).append(seconds)
    print(f"{RUNS} runs: {dict(verdicts)}, {statistics.median(requests):,.0f} requests (median)")
    for name, seconds in phases.items():
        print(
            f"{name:10} {statistics.median(seconds):6.2f} s (median), {max(seconds):6.2f} s (most)"
        )


if __name__ == "__main__":
    main()
