"""When new weights came into force: seen by requests that go on while they are set.

A run of its own spans the change, on schedule, and its change-point is the time to effect.
"""

from __future__ import annotations

import contextlib
import datetime
import itertools
import json
import math
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from analysis.run import BEGUN

# One verification as a process of its own.
VERIFY = [sys.executable, "-c", "from trafficsplit.cli import main; main()", "verify"]
RATE, REQUESTS, LEAD = 1000, 3000, 1.0  # a second; in all; seconds before the change
PATIENCE = 15.0  # seconds until the first requests
LONGEST = 8.0  # seconds from the change: what a gateway that hangs may take of our time
SURE, TINY = 7.0, 1e-4  # log likelihood ratio; per cent, for a weight of 0
SMALLEST = 5.0  # per cent, of a change that can be seen
BROKEN = 0.1  # lost of all requests: no change is seen through that


@dataclass(frozen=True)
class Effect:
    """Seconds from the setting of weights until they were in force, with an interval.

    The three are None where the change is too small to be seen among so many requests. `errors` of
    `requests` were lost meanwhile.
    """

    seconds: float | None
    earliest: float | None
    latest: float | None
    requests: int
    errors: int
    mixed: float | None = None
    report: str = ""

    def as_plain(self) -> dict[str, Any]:
        """For a file."""
        return asdict(self)

    def __str__(self) -> str:
        lost = f"{self.errors:,} of {self.requests:,} requests lost" if self.errors else (
            f"{self.requests:,} requests meanwhile, none lost"
        )  # fmt: skip
        if self.seconds is None or self.earliest is None or self.latest is None:
            return f"when it came into force was not seen; {lost}"
        mixed = f", old and new mixed for {_milliseconds(self.mixed)}" if self.mixed else ""
        return (
            f"in force {_milliseconds(self.seconds)} after it was set (between "
            f"{_milliseconds(self.earliest)} and {_milliseconds(self.latest)}){mixed}; {lost}"
        )


def observed(
    options: Sequence[str],
    before: Mapping[str, float],
    after: Mapping[str, float],
    change: Callable[[], object],
    report: Path,
    patience: float,
) -> Effect:
    """Make a change while requests go on, and see when it came into force.

    `options` are verify's, for the gateway; `before` and `after` the weights. Requests go on until
    the new weights are seen, at most `patience` seconds from the change. Raises what `change`
    raises.
    """
    set_at: datetime.datetime | None = None
    requests = errors = 0
    began = time.monotonic()
    for number in itertools.count(1):
        directory = report if number == 1 else report.with_name(f"{report.name}-{number}")
        with _sending(options, before, directory) as process:
            _await_begin(process, directory)
            if set_at is None:
                time.sleep(LEAD)
                set_at, began = datetime.datetime.now(datetime.UTC), time.monotonic()
                change()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(LONGEST)
        try:
            verdict = json.loads((directory / "verdict.json").read_text("utf-8"))
        except (OSError, ValueError):
            break
        requests += verdict["requests"]
        errors += verdict["errors"]
        found = verdict["change"]
        if found and _towards(found, before, after):
            return _effect(found, set_at, requests, errors, directory)
        if _in_force(verdict["observed"], before, after):
            break  # since before this run
        if errors + verdict["unidentified"] > BROKEN * requests:
            break  # what is wrong is for the verification to say
        if time.monotonic() - began > patience or _too_small(before, after):
            break
    return Effect(None, None, None, requests, errors)


def _effect(
    found: Mapping[str, Any],
    set_at: datetime.datetime,
    requests: int,
    errors: int,
    directory: Path,
) -> Effect:
    def after(name: str) -> float:
        moment = datetime.datetime.fromisoformat(found[f"{name}_time"])
        # An estimate may come out before its cause, and what happened cannot.
        return max(round((moment - set_at).total_seconds(), 3), 0.0)

    return Effect(
        after("at"), after("earliest"), after("latest"), requests, errors,
        float(found["mixed_seconds"]), directory.name,
    )  # fmt: skip


@contextlib.contextmanager
def _sending(
    options: Sequence[str], variants: Iterable[str], report: Path
) -> Iterator[subprocess.Popen[bytes]]:
    """A run on schedule, of which nothing is expected: no variant may end it by answering."""
    (report / BEGUN).unlink(missing_ok=True)  # an earlier rollout's
    expected = ",".join(f"{variant}=1" for variant in variants)
    process = subprocess.Popen(
        [*VERIFY, *options, "--weights", expected, "--report", str(report), "--rate",
         str(RATE), "--test", "fixed", "--requests", str(REQUESTS), "--max-failing", "99",
         "--users", "64", "--timeout", "2"],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        yield process
    finally:
        if process.poll() is None:  # it reports on what there is
            process.terminate()
            process.wait()


def _await_begin(process: subprocess.Popen[bytes], directory: Path) -> None:
    deadline = time.monotonic() + PATIENCE
    while not (directory / BEGUN).exists() and time.monotonic() < deadline:
        if process.poll() is not None:
            return
        time.sleep(0.02)


def _towards(
    found: Mapping[str, Any], before: Mapping[str, float], after: Mapping[str, float]
) -> bool:
    """Whether a change went the way that it was to go."""
    moved = {v: found["after"].get(v, 0.0) - found["before"].get(v, 0.0) for v in after}
    return bool(sum(moved[v] * (after[v] - before.get(v, 0.0)) for v in after) > 0)


def _in_force(
    observed: Mapping[str, int], before: Mapping[str, float], after: Mapping[str, float]
) -> bool:
    """Whether counts are far likelier by the new weights than by the old."""
    ratio = sum(
        count * math.log(max(after.get(v, 0.0), TINY) / max(before.get(v, 0.0), TINY))
        for v, count in observed.items()
    )
    return ratio > SURE


def _too_small(before: Mapping[str, float], after: Mapping[str, float]) -> bool:
    """Whether a run cannot tell the weights apart."""
    return max(abs(after[v] - before.get(v, 0.0)) for v in after) < SMALLEST


def _milliseconds(seconds: float) -> str:
    return f"{seconds:.2f} s" if abs(seconds) >= 1 else f"{1000 * seconds:.0f} ms"
