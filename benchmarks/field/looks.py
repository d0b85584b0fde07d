"""What a look of the judge costs, and whether that grows with the run."""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np

from benchmarks.field.requests import CLOSES, Load
from benchmarks.field.rows import asked
from benchmarks.field.simulation import Setting, Simulated, simulate_with
from benchmarks.field.worlds import EachGateway, World, green
from trafficsplit.load.counting import Counter

RUNS = 10
MILLISECONDS = 1000


class WatchedCounter(Counter):
    """A counter that measures what it takes to add requests up, and to let the judge look.

    `looks_taken` are after how many requests that was, and the CPU time in seconds.
    """

    looks_taken: list[tuple[int, float]]

    def flush(self) -> None:
        """Add up and judge the requests that have ended."""
        began = time.process_time()
        super().flush()
        self.__dict__.setdefault("looks_taken", []).append((self.sent, time.process_time() - began))


SETTINGS: dict[str, tuple[World, Load, int]] = {
    "25 %, kept connections": (green(0.25), Load(), 1),
    "25 %, each connection closed": (green(0.25), Load(lasts=CLOSES), 1),
    "25 %, sessions": (green(0.25), Load(sessions=True), 1),
    "25 %, 8 gateways": (EachGateway([green(0.25)] * 8), Load(gateways=8), 8),
    "27 %, to the end of the budget": (green(0.27), Load(), 1),
    "60 %": (green(0.6), Load(), 1),
}


def print_looks(runs: int) -> None:
    """Print the looks of some kinds of runs, and their CPU."""
    print(f"looks of the judge, means of {runs or RUNS} runs; CPU in ms")
    print(
        f"{'':34}{'requests':>10}{'looks':>8}{'a look':>9}{'first half':>12}{'last half':>11}"
        f"{'a request, µs':>15}"
    )
    for name, (world, load, gateways) in SETTINGS.items():
        print(_line_of(name, Setting(asked(gateways=gateways), world, load), runs or RUNS))


def _line_of(name: str, setting: Setting, runs: int) -> str:
    requests = 0
    early: list[float] = []
    late: list[float] = []
    began = time.process_time()
    for seed in range(runs):
        simulated = Simulated(setting, WatchedCounter)
        requests += simulate_with(simulated, seed).requests
        assert isinstance(simulated.counter, WatchedCounter)
        taken = simulated.counter.looks_taken
        middle = taken[-1][0] / 2
        early += [seconds for sent, seconds in taken if sent <= middle]
        late += [seconds for sent, seconds in taken if sent > middle]
    each = (time.process_time() - began) / requests * 1e6
    looks = len(early + late) / runs
    return (
        f"{name:34}{requests / runs:>10,.0f}{looks:>8,.0f}{_mean(early + late):>9.2f}"
        f"{_mean(early):>12.2f}{_mean(late):>11.2f}{each:>15.1f}"
    )


def _mean(seconds: Sequence[float]) -> float:
    return float(np.mean(seconds)) * MILLISECONDS if seconds else 0.0
