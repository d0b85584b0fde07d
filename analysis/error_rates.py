"""How often is each verdict given, and after how many requests? By simulation.

    python analysis/error_rates.py --weights blue=75,green=25 --tolerance 2 --runs 200

Gateways with several true shares of the last variant are simulated; each is looked at again after
a hundredth more requests, until there is a verdict or too many were sent. A share at the edge of
the tolerance takes longest: a minute for a hundred runs.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from dataclasses import dataclass

import numpy as np

from trafficsplit import InputError, SequentialTest, Split, Verdict

MOST = 200_000  # requests of one run


@dataclass(frozen=True)
class Ended:
    """How one simulated run ended."""

    verdict: Verdict
    requests: int


def run(split: Split, tolerance: float, share: float, rng: np.random.Generator) -> Ended:
    """Simulate one run against a gateway that gives the last variant this share."""
    test = SequentialTest(split, tolerance=tolerance)
    *others, last = split
    rest = sum(split[variant] for variant in others)
    shares = [(1 - share) * split[variant] / rest for variant in others] + [share]
    n = 0
    while test.verdict is Verdict.INCONCLUSIVE and n < MOST:
        step = min(max(test.least_more, n // 100, 1), MOST - n)
        counts = rng.multinomial(step, shares)
        test.update({v: int(x) for v, x in zip([*others, last], counts, strict=True)})
        n += step
    return Ended(test.verdict, n)


def parsed(text: str) -> dict[str, float]:
    """Return numbers by name, from `blue=75,green=25`."""
    found = {}
    for pair in text.split(","):
        name, _, value = pair.partition("=")
        found[name.strip()] = float(value)
    return found


def main() -> int:
    """Print a table of the operating characteristics."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--weights", default="blue=75,green=25")
    parser.add_argument("--tolerance", type=float, default=2.0, help="percentage points [2]")
    parser.add_argument("--runs", type=int, default=50, help="of each true share [50]")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    try:
        split = Split(parsed(options.weights))
        tolerance = options.tolerance / 100
        SequentialTest(split, tolerance=tolerance)
        if options.runs < 1:
            raise ValueError(f"--runs is {options.runs}: give 1 or more")
    except (ValueError, InputError) as error:
        print(f"error_rates.py: {error}", file=sys.stderr)
        return 2
    last = list(split)[-1]
    rng = np.random.default_rng(options.seed)
    print(f"{'true share of ' + last:22} {'match':>8} {'mismatch':>9} {'requests, median':>17}")
    for offset in (0, 0.5, 1, 1.5, 2, 3, 5):
        share = split[last] + offset * tolerance
        ended = [run(split, tolerance, share, rng) for _ in range(options.runs)]
        match = sum(one.verdict is Verdict.MATCH for one in ended) / options.runs
        mismatch = sum(one.verdict is Verdict.MISMATCH for one in ended) / options.runs
        median = statistics.median(one.requests for one in ended)
        print(f"{share:22.2%} {match:8.1%} {mismatch:9.1%} {median:17,.0f}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
