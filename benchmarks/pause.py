"""Open load against a gateway that stands still for two seconds: does the latency show it?

2,000 requests a second for 30 seconds, by the real Envoy, which is stopped (SIGSTOP) and goes on.
Closed load beside it, for the same time: there the pause is met by one request of each user.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil

from trafficsplit import lab

RATE, SECONDS, PAUSE, USERS = 2_000, 30, 2.0, 64


def main() -> None:
    """Print quantiles and counts of both."""
    for title, options in (
        (f"open, --rate {RATE}", ["--rate", str(RATE), "--requests", str(RATE * SECONDS)]),
        ("closed, as many requests", ["--requests", str(RATE * SECONDS)]),
    ):
        with tempfile.TemporaryDirectory() as name, lab.start(Path(name) / "lab") as started:
            report = Path(name) / "out"
            process = subprocess.Popen(
                [str(Path(sys.executable).with_name("trafficsplit")), "verify", "--weight", "25",
                 "--host", started.host, "--users", str(USERS), "--test", "fixed", "--report",
                 str(report), *options],
                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            )  # fmt: skip
            stop_envoy(started.host, after=5.0)
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


def stop_envoy(host: str, after: float) -> None:
    """Stop the gateway that listens there for a while."""
    port = int(host.rsplit(":", 1)[1])
    (envoy,) = {
        c.pid
        for c in psutil.net_connections("tcp")
        if c.status == psutil.CONN_LISTEN and c.laddr.port == port and c.pid
    }
    time.sleep(after)
    psutil.Process(envoy).send_signal(signal.SIGSTOP)
    time.sleep(PAUSE)
    psutil.Process(envoy).send_signal(signal.SIGCONT)


if __name__ == "__main__":
    main()
