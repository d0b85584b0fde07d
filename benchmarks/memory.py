"""Whether the Locust process grows: its resident memory from 10^4 to 2·10^6 requests."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil

from benchmarks.clients import targets
from tests.support.locusts import LOCUSTFILE

MARKS = (10_000, 50_000, 200_000, 500_000, 1_000_000, 2_000_000)


def main() -> None:
    """Print the memory at each mark."""
    with tempfile.TemporaryDirectory() as name, targets(Path(name)) as found:
        stats = Path(name) / "stats_stats.csv"
        command = [
            *(sys.executable, "-m", "locust", "-f", str(LOCUSTFILE), "--headless"),
            *("-u", "16", "-r", "16", "--host", found[0][1], "--weight", "25"),
            *("--test", "fixed", "--requests", str(MARKS[-1]), "--csv", str(Path(name) / "stats")),
            *("--loglevel", "ERROR", "--only-summary"),
        ]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        watched = psutil.Process(process.pid)
        left = list(MARKS)
        first = 0
        last = 0
        while process.poll() is None:
            memory = 0
            try:
                memory = watched.memory_info().rss
                row = stats.read_text().splitlines()[-1].split(",")
                sent = int(row[2])
            except (OSError, IndexError, ValueError, psutil.Error):
                sent = 0
            if memory:
                last = memory
            while len(left) > 1 and sent >= left[0]:
                print(f"{left.pop(0):>9,} requests   {memory / 2**20:7.1f} MiB", flush=True)
                first = first or memory
            time.sleep(0.05)
        print(f"{left.pop(0):>9,} requests   {last / 2**20:7.1f} MiB")
        print(f"growth {(last - first) / 1e6:.1f} MB", flush=True)


if __name__ == "__main__":
    main()
