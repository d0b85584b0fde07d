"""`python -m benchmarks`: all of them, one after the other."""

from __future__ import annotations

import runpy

for name in ("reading", "updating", "phases", "clients", "scaling", "memory", "pause", "master"):
    print(f"# python -m benchmarks.{name}", flush=True)
    runpy.run_module(f"benchmarks.{name}", run_name="__main__")
    print(flush=True)
