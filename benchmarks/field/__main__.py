"""The whole judge against simulated gateways: `python -m benchmarks.field [ROW …]`.

    python -m benchmarks.field [ROW …] [--runs N] [--jobs 2]

Each row is a kind of gateway, with a line for each situation: verdicts in per cent of the runs,
median and 90th percentile of the requests, what must hold, and whether it does. A frequency may be
two standard errors beyond its limit. Everything is seeded: the same figures come out again.
"""

from __future__ import annotations

import argparse
import multiprocessing
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor

from benchmarks.field.rows import ROWS
from benchmarks.field.table import print_rows


def main(arguments: Sequence[str]) -> int:
    """Print the rows that are asked for; return 1 where something does not hold."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.field")
    parser.add_argument("rows", nargs="*", metavar="ROW", help=f"of {', '.join(ROWS)}")
    parser.add_argument("--runs", type=int, default=0, help="of each situation")
    parser.add_argument("--jobs", type=int, default=2, help="processes")
    options = parser.parse_args(arguments)
    rows = options.rows or list(ROWS)
    unknown = [row for row in rows if row not in ROWS]
    if unknown:
        parser.error(f"there is no row {unknown[0]}: known are {', '.join(ROWS)}")
    began = time.monotonic()
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(options.jobs, spawn) as pool:
        all_hold = print_rows(pool, rows, options.runs)
    print(f"{time.monotonic() - began:,.0f} s")
    return 0 if all_hold else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
