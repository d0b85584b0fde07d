"""All changes to Locust itself, each with its reason."""

from __future__ import annotations

import math
import sys
from typing import Any

import locust.argument_parser
import locust.runners
import locust.stats

REPORT_INTERVAL = 0.5  # seconds between a worker's reports; Locust's own value is 3


def apply() -> None:
    """Apply the patches that every run needs; applied again they change nothing."""
    # A verdict that is known should not have to wait for a worker's next report.
    locust.runners.WORKER_REPORT_INTERVAL = REPORT_INTERVAL
    # Locust rounds latencies to whole milliseconds, and most gateways answer within one.
    locust.stats.bucket_response_time = two_digits  # type: ignore[assignment]
    # Its greenlet that writes CSV files may have a turn after they are closed, and raises then.
    locust.stats.StatsCSVFileWriter.close_files = _flush_files  # type: ignore[assignment]


def _flush_files(writer: locust.stats.StatsCSVFileWriter) -> None:
    """Write out the CSV files; the end of the process, which is near, closes them."""
    writer.requests_flush()
    writer.stats_history_flush()
    writer.failures_flush()
    writer.exceptions_flush()


def isolate() -> None:
    """Keep the files and modules of the user's own directory out of a child of ours.

    `~/.locust.conf` and `./locust.conf` are for the runs that people start themselves. Locust puts
    the working directory first on `sys.path`, where a user's `requests.py` would replace the
    library.
    """
    parser: Any = locust.argument_parser
    parser.DEFAULT_CONFIG_FILES = []
    sys.path[:] = [entry for entry in sys.path if entry]


def two_digits(milliseconds: float) -> float:
    """Return a latency with two significant digits; Locust has fewer below 10 ms."""
    if milliseconds <= 0:
        return 0
    digits = 1 - math.floor(math.log10(milliseconds))
    rounded = round(milliseconds, digits)
    if digits <= 0:
        return int(rounded)
    return rounded
