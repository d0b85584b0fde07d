"""Ten million recorded rows: `analyze` beside what pyarrow and pandas need to read and count them.

Each in a process of its own, in turn; times as ratios of pandas', memory as the process's peak.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

ROWS = 10_000_000
TURNS = 3
PANDAS = """
import pandas
d = pandas.read_parquet(path)
print(d.groupby(["variant", "status"], observed=True, dropna=False).size().to_dict())
"""
# The columns that the count needs, and no more.
LEAN = """
import pandas
d = pandas.read_parquet(path, columns=["variant", "status"])
print(d.groupby(["variant", "status"], observed=True, dropna=False).size().to_dict())
"""
OURS = """
from pathlib import Path
from trafficsplit.analysis.judge import judge
from trafficsplit.offline.runs import Recordings
found = Recordings([Path(path)])
run = found.run(found.question())
print(judge(run), run.tally)
"""
TIMED = """
import resource, sys, time
path = {path!r}
{imports}
began = time.perf_counter()
{body}
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
print(time.perf_counter() - began, peak, file=sys.stderr)
"""
IMPORTS = {
    "pandas": "import pandas, pyarrow.parquet",
    "pandas, two columns": "import pandas, pyarrow.parquet",
    "analyze": "import trafficsplit.offline.runs, trafficsplit.analysis.judge, pyarrow.parquet",
}


def write(directory: Path, rows: int = ROWS) -> None:
    """A recording as `--record` would have written it, of a gateway at 75/25."""
    import pyarrow.parquet as parquet

    from trafficsplit.analysis.plain import question_as_plain
    from trafficsplit.analysis.planning import planned
    from trafficsplit.analysis.question import Question
    from trafficsplit.analysis.split import Split
    from trafficsplit.load.parquet import part_name, table_of

    random = np.random.default_rng(1)
    directory.mkdir()
    question = planned(Question(Split({"blue": 75, "green": 25}), 0.02))
    size = 1 << 16
    done = 0
    number = 0
    while done < rows:
        n = min(size, rows - done)
        sent = (1.8e15 + (done + np.arange(n)) * 100).astype(np.int64)
        order = np.argsort(np.arange(n) + random.exponential(8, n), kind="stable")  # as they ended
        columns: dict[str, Any] = {
            "number": (done + np.arange(n))[order],
            "sent": sent[order],
            "variant": ((random.random(n) < 0.25).astype(np.int16), ["blue", "green"]),
            "status": np.full(n, 200),
            "latency_us": random.lognormal(6.5, 0.6, n).astype(np.int32),
            "connection": random.integers(1, 65, n),
            "gateway": (np.zeros(n, np.int16), ["http://gateway"]),
            "bytes": random.integers(1200, 1300, n),
        }
        facts = {
            "host": "http://gateway",
            "path": "/color",
            "complete": done + n,
            "question": question_as_plain(question),
        }
        path = directory / part_name(0, number)
        parquet.write_table(table_of(columns, facts), path, compression="zstd", compression_level=1)
        done += n
        number += 1
        size = min(max(1 << 16, done // 32), 1 << 20)


def measured(name: str, body: str, path: Path) -> tuple[float, float]:
    """Seconds, and the peak of memory in MB."""
    program = TIMED.format(path=str(path), imports=IMPORTS[name], body=body)
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    seconds, peak = done.stderr.split()[-2:]
    return float(seconds), float(peak)


def main() -> None:
    """Print the table."""
    bodies = {"pandas": PANDAS, "pandas, two columns": LEAN, "analyze": OURS}
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "requests.parquet"
        began = time.perf_counter()
        write(path)
        size = sum(file.stat().st_size for file in path.iterdir()) / 2**20
        print(f"{ROWS:,} rows, {size:.0f} MB, written in {time.perf_counter() - began:.0f} s")
        found: dict[str, list[tuple[float, float]]] = {name: [] for name in bodies}
        for _ in range(TURNS):
            for name, body in bodies.items():
                found[name].append(measured(name, body, path))
    reference = sorted(seconds for seconds, _ in found["pandas"])[TURNS // 2]
    for name, runs in found.items():
        seconds = sorted(s for s, _ in runs)[TURNS // 2]
        peak = max(p for _, p in runs)
        print(
            f"{name:22} {seconds / reference:5.2f} × pandas  {seconds:6.2f} s  peak {peak:6.0f} MB"
        )


if __name__ == "__main__":
    main()
