"""Open load against a gateway that stands still for two seconds: does the latency show it?

2,000 requests a second for 30 seconds, by the real Envoy, which is stopped (SIGSTOP) and goes on.
Closed load beside it, for the same time: there the pause is met by one request of each user.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from trafficsplit import lab

RATE = 2_000  # requests a second
SECONDS = 30
PAUSE = 2.0  # seconds
USERS = 64


def main() -> None:
    """Print quantiles and counts of both."""
    for title, options in (
        (f"open, --rate {RATE}", ["--rate", str(RATE), "--requests", str(RATE * SECONDS)]),
        ("closed, as many requests", ["--requests", str(RATE * SECONDS)]),
    ):
        with tempfile.TemporaryDirectory() as name, lab.start(Path(name) / "lab") as started:
            report = Path(name) / "out"
            process = subprocess.Popen(
                [
                    *(str(Path(sys.executable).with_name("trafficsplit")), "verify"),
                    *("--weight", "25", "--host", started.host, "--users", str(USERS)),
                    *("--test", "fixed", "--report", str(report), *options),
                ],
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            stop_envoy(started.envoy.pid, after=5.0)
            process.wait()
            verdict = json.loads((report / "verdict.json").read_text())
        sender = verdict["sender"]
        print(
            f"{title}: {verdict['requests']:,} requests in {verdict['elapsed_seconds']:.2f} s, "
            f"errors: {verdict['losses'] or 'none'}"
        )
        if sender["rate"]:
            print(
                f"  achieved {sender['achieved']:,.1f} a second; {sender['late']:,} had to wait "
                "for a connection"
            )
        for variant, row in verdict["latency_ms"].items():
            shown = ", ".join(f"{quantile} {value:,.1f} ms" for quantile, value in row.items())
            print(f"  {variant}: {shown}", flush=True)


def stop_envoy(envoy: int, after: float) -> None:
    """Let the process of the gateway stand still for a while."""
    time.sleep(after)
    os.kill(envoy, signal.SIGSTOP)
    time.sleep(PAUSE)
    os.kill(envoy, signal.SIGCONT)


if __name__ == "__main__":
    main()
