"""Verdicts on the real Istio, beside the Gateway API conformance suite's rule on the same gateways.

    python -m benchmarks.istio_verdicts [RUNS]

The VirtualService says 75/25. Each round verifies that, and a split that is 8 points off, ± 5, and
asks the conformance rule about both: 500 requests, ± 5 points, up to ten tries until one passes.
Needs `trafficsplit lab build`.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import requests

from trafficsplit import variant_of

RUNS = 60
RIGHT, OFF = 25, 33  # per cent, expected
TOLERANCE = 5  # points
TRIES = 10  # of the conformance rule, each of
REQUESTS = 500
TRAFFICSPLIT = str(Path(sys.executable).with_name("trafficsplit"))


def main(runs: int = RUNS) -> None:
    """Print what was said of each split, and how many requests it took."""
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        begun = time.monotonic()
        run(directory, "lab", "up", "--istio", check=True)
        print(f"the cluster was up after {time.monotonic() - begun:.1f} s", flush=True)
        try:
            host = run(directory, "lab", "url", check=True).stdout.strip()
            for weight in (RIGHT, OFF):
                compare(directory, host, weight, runs)
        finally:
            run(directory, "lab", "down")


def run(directory: Path, *arguments: str, check: bool = False) -> subprocess.CompletedProcess[str]:
    """Run trafficsplit in a directory."""
    command = [TRAFFICSPLIT, *arguments]
    return subprocess.run(
        command, cwd=directory, env=dict(os.environ), check=check, capture_output=True, text=True
    )


def compare(directory: Path, host: str, weight: int, runs: int) -> None:
    """Print what we say of a gateway of 25 % that should have `weight`, and what the rule says."""
    verdicts: Counter[str] = Counter()
    taken = []
    rule: Counter[bool] = Counter()
    for _ in range(runs):
        options = ("--weight", str(weight), "--tolerance", str(TOLERANCE), "--no-diagnosis")
        done = run(directory, "verify", "--json", "--host", host, *options)
        verdict = json.loads(done.stdout)
        verdicts[verdict["verdict"]] += 1
        taken.append(verdict["requests"])
        rule[passes_the_rule(host, weight)] += 1
    print(
        f"25 % at the gateway, {weight} % expected: {dict(verdicts)}, "
        f"{statistics.median(taken):,.0f} requests (median); the conformance rule passes "
        f"{rule[True]} of {runs}",
        flush=True,
    )


def passes_the_rule(host: str, weight: int) -> bool:
    """Return whether one of ten tries of 500 requests is within five points."""
    with requests.Session() as session:
        for _ in range(TRIES):
            green = 0
            for _ in range(REQUESTS):
                answer = session.get(f"{host}/color", timeout=5)
                green += variant_of(answer.text, content_type="text/html") == "green"
            if abs(100 * green / REQUESTS - weight) <= TOLERANCE:
                return True
    return False


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
