"""All that is changed in Locust itself, in one place: what, and why."""

from __future__ import annotations

import math
import sys
from typing import Any

import locust.argument_parser
import locust.runners
import locust.stats

REPORT_INTERVAL = 0.5  # seconds between a worker's reports; Locust's own are 3 s


def apply() -> None:
    """Apply the patches that every run needs. Doing so again changes nothing."""
    # A verdict that is known should not have to wait for a worker's next report.
    locust.runners.WORKER_REPORT_INTERVAL = REPORT_INTERVAL
    # Locust rounds latencies to whole milliseconds, and most gateways answer within one.
    locust.stats.bucket_response_time = two_digits  # type: ignore[assignment]


def isolate() -> None:
    """Keep the files and modules of the user's own directory out of a process of ours.

    `~/.locust.conf` and `./locust.conf` are for the runs that people start themselves; and Locust
    puts the working directory first on `sys.path`, where a user's `requests.py` would take the
    place of the library.
    """
    parser: Any = locust.argument_parser
    parser.DEFAULT_CONFIG_FILES = []
    sys.path[:] = [entry for entry in sys.path if entry]


def two_digits(milliseconds: float) -> float:
    """Return a latency to two significant digits, as Locust has them, but below 10 ms too."""
    if milliseconds <= 0:
        return 0
    digits = 1 - math.floor(math.log10(milliseconds))
    rounded = round(milliseconds, digits)
    return int(rounded) if digits <= 0 else rounded
