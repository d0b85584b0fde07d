"""CPU a request from 1 to 1,000 users, and what a second process brings.

Two processes against one: both have half of the requests, so that on free cores they would be done
in the time that the dearer of them takes. Here the target has one of two cores, so the ratio is
from CPU time: twice what one process spends a request over what both spend.
"""

from __future__ import annotations

import statistics
import tempfile
from pathlib import Path

from benchmarks.clients import FEW, ROUNDS, TARGET_CORE, Cost, locust, pinned, targets

USERS = (1, 8, 20, 64, 200, 1000)
REQUESTS = 80_000


def main() -> None:
    """Print microseconds a request by users, and the ratio for two processes."""
    with tempfile.TemporaryDirectory() as name, pinned(TARGET_CORE), targets(Path(name)) as found:
        directory = Path(name)
        url = found[0][1]
        rounds = [{users: micros(url, users, directory) for users in USERS} for _ in range(ROUNDS)]
        for users in USERS:
            middle = statistics.median(one[users] for one in rounds)
            ratio = statistics.median(one[users] / one[20] for one in rounds)
            print(f"{users:>5} users {middle:6.1f} µs a request, {ratio:.2f} × that at 20")
        ratios = []
        for _ in range(ROUNDS):
            alone = micros(url, 16, directory)
            both = micros(url, 16, directory, "--processes", "2")
            ratios.append(2 * alone / both)
        print(f"two processes on free cores: {statistics.median(ratios):.2f} × one (by CPU time)")


def micros(url: str, users: int, directory: Path, *more: str) -> float:
    """CPU of one run a request, without its start."""

    def cost(requests: int) -> Cost:
        return locust("engine", url, users, requests, directory, *more)

    whole = cost(REQUESTS)
    start = cost(max(FEW, users))
    return 1e6 * (whole.cpu - start.cpu) / (whole.requests - start.requests)


if __name__ == "__main__":
    main()
