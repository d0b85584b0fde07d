"""`python -m benchmarks [NAME …]`: all of them, or some; what they print is kept in results/.

A test holds the README's figures against that.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

RESULTS = Path(__file__).with_name("results")
ALL = (
    *("reading", "updating", "phases", "recorded", "clients"),
    *("scaling", "memory", "pause", "master", "field_canary"),
)


def main(names: list[str]) -> None:
    """Run them one after the other: each has the machine for itself."""
    RESULTS.mkdir(exist_ok=True)
    for name in names or ALL:
        print(f"# python -m benchmarks.{name}", flush=True)
        process = subprocess.Popen(
            [sys.executable, "-m", f"benchmarks.{name}"], stdout=subprocess.PIPE, text=True
        )
        lines = []
        assert process.stdout
        for line in process.stdout:
            print(line, end="", flush=True)
            lines.append(line)
        if process.wait() == 0:
            (RESULTS / f"{name}.txt").write_text("".join(lines), "utf-8")
        print(flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
