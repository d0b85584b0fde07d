"""The whole judge against simulated gateways: `python -m benchmarks.field [ROW …]`.

    python -m benchmarks.field [ROW …] [--runs N] [--jobs 2]     all rows, or some
    python -m benchmarks.field causes [--runs N] [--jobs 2]      the names of causes
    python -m benchmarks.field looks [--runs N]                  what a look costs

Each row is a kind of gateway, with a line for each situation: verdicts in per cent of the runs,
median and 90th percentile of the requests, what must hold, and whether it does. A frequency may be
two standard errors beyond its limit. `causes` are true causes, and the names that the diagnosis
gives them. Everything is seeded: the same figures come out again.
"""

from __future__ import annotations

import argparse
import multiprocessing
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor

from benchmarks.field.causes import print_causes
from benchmarks.field.looks import print_looks
from benchmarks.field.rows import ROWS
from benchmarks.field.table import print_rows

CAUSES = "causes"
LOOKS = "looks"


def main(arguments: Sequence[str]) -> int:
    """Print the rows that are asked for; return 1 where something does not hold."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.field")
    parser.add_argument(
        "rows", nargs="*", metavar="ROW", help=f"{', '.join(ROWS)}; {CAUSES} or {LOOKS}"
    )
    parser.add_argument("--runs", type=int, default=0, help="of each situation")
    parser.add_argument("--jobs", type=int, default=2, help="processes")
    options = parser.parse_args(arguments)
    rows = options.rows or list(ROWS)
    unknown = [row for row in rows if row not in {*ROWS, CAUSES, LOOKS}]
    if unknown:
        parser.error(
            f"there is no row {unknown[0]}: known are {', '.join(ROWS)}, {CAUSES}, {LOOKS}"
        )
    began = time.monotonic()
    if LOOKS in rows:
        print_looks(options.runs)
        rows.remove(LOOKS)
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(options.jobs, spawn) as pool:
        all_hold = print_rows(pool, [row for row in rows if row != CAUSES], options.runs)
        if CAUSES in rows:
            all_hold &= print_causes(pool, options.runs)
    print(f"{time.monotonic() - began:,.0f} s")
    return 0 if all_hold else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
