"""When new weights came into force: seen by requests that go on while they are set.

A run of its own spans the change, on schedule, and its change-point is the time to effect.
"""

from __future__ import annotations

import contextlib
import datetime
import json
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

# One verification as a process of its own.
VERIFY = [sys.executable, "-c", "from trafficsplit.cli import main; main()", "verify"]
RATE, REQUESTS, LEAD = 1000, 3000, 1.0  # a second; in all; seconds before the change
PATIENCE = 15.0  # seconds until the first requests
LONGEST = 8.0  # seconds from the change: what a gateway that hangs may take of our time


@dataclass(frozen=True)
class Effect:
    """Seconds from the setting of weights until they were in force, with an interval.

    All three are None where the change is too small to be seen among so many requests. `errors` of
    `requests` were lost meanwhile.
    """

    seconds: float | None
    earliest: float | None
    latest: float | None
    requests: int
    errors: int

    def as_plain(self) -> dict[str, Any]:
        """For a file."""
        return asdict(self)

    def __str__(self) -> str:
        lost = f"{self.errors:,} of {self.requests:,} requests lost" if self.errors else (
            f"{self.requests:,} requests meanwhile, none lost"
        )  # fmt: skip
        if self.seconds is None or self.earliest is None or self.latest is None:
            return f"the change is too small to see when it came into force; {lost}"
        return (
            f"in force {_milliseconds(self.seconds)} after it was set (between "
            f"{_milliseconds(self.earliest)} and {_milliseconds(self.latest)}); {lost}"
        )


def observed(
    host: str, admin: str, variants: Iterable[str], change: Callable[[], object], report: Path
) -> Effect:
    """Make a change while requests go on, and see when it came into force.

    `admin` is the base URL of Envoy's administration. Raises what `change` raises.
    """
    # Nothing is expected of this run but its change-point; no variant may end it by answering.
    expected = ",".join(f"{variant}=1" for variant in variants)
    sent = _sent(admin)
    process = subprocess.Popen(
        [*VERIFY, "--host", host, "--weights", expected, "--report", str(report), "--rate",
         str(RATE), "--test", "fixed", "--requests", str(REQUESTS), "--max-failing", "99",
         "--users", "64", "--timeout", "2"],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        deadline = time.monotonic() + PATIENCE
        while _sent(admin) < sent + 10 and time.monotonic() < deadline and process.poll() is None:
            time.sleep(0.02)
        time.sleep(LEAD)
        set_at = datetime.datetime.now(datetime.UTC)
        change()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(LONGEST)
    finally:
        if process.poll() is None:  # it reports on what there is
            process.terminate()
            process.wait()
    try:
        verdict = json.loads((report / "verdict.json").read_text("utf-8"))
    except (OSError, ValueError):
        return Effect(None, None, None, 0, 0)
    found = verdict["change"]

    def after(name: str) -> float | None:
        if not found:
            return None
        return (datetime.datetime.fromisoformat(found[f"{name}_time"]) - set_at).total_seconds()

    return Effect(
        after("at"), after("earliest"), after("latest"), verdict["requests"], verdict["errors"]
    )


def _sent(admin: str) -> int:
    """Requests that the gateway has taken so far."""
    url = f"{admin}/stats?filter=http.gateway.downstream_rq_total"
    with urllib.request.urlopen(url, timeout=5) as response:
        return int(response.read().rpartition(b": ")[2] or 0)


def _milliseconds(seconds: float) -> str:
    return f"{seconds:.2f} s" if abs(seconds) >= 1 else f"{1000 * seconds:.0f} ms"
