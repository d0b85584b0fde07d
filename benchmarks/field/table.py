"""The table of rows: their runs, in several processes, and what is printed of them."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass

from benchmarks.field.clocked import simulate_clocked
from benchmarks.field.rows import ROWS
from benchmarks.field.simulation import Result, simulate, simulate_baseline
from benchmarks.field.situations import Measured, Situation, frequency
from trafficsplit.analysis.verdict import Verdict

FIRST_SEED = 1000
PIECES = 20  # into which the runs of a situation are cut at most

VERDICTS = (Verdict.MATCH, Verdict.MISMATCH, Verdict.INCONCLUSIVE, Verdict.FAILING)


@dataclass(frozen=True)
class Job:
    """Some runs of a situation: those of `seeds`."""

    row: str
    situation: int
    seeds: range


def work(job: Job) -> list[tuple[Result, Result | None]]:
    """Return how each run of a job ended, and the one that it is held against."""
    situation = ROWS[job.row].situations[job.situation]
    return [(run_of(situation, seed), beside(situation, seed)) for seed in job.seeds]


def run_of(situation: Situation, seed: int) -> Result:
    """Return how one run of a situation ended."""
    if situation.clock:
        return simulate_clocked(situation.setting, situation.clock, seed)
    return simulate(situation.setting, seed)


def beside(situation: Situation, seed: int) -> Result | None:
    """Return the run that one is held against."""
    if situation.baseline:
        return simulate_baseline(situation.setting, seed)
    if situation.beside:
        return simulate(situation.beside, seed)
    return None


def jobs_of(rows: Sequence[str], runs: int) -> Iterator[Job]:
    """Yield the jobs of some rows; `runs` of each situation, 0: as many as it says."""
    for row in rows:
        for number, situation in enumerate(ROWS[row].situations):
            for seeds in seeds_of(situation, runs):
                yield Job(row, number, seeds)


def seeds_of(situation: Situation, runs: int) -> Iterator[range]:
    """Yield the seeds of a situation's runs, in pieces; `runs` is as for `jobs_of`."""
    last = FIRST_SEED + (runs or situation.runs)
    step = max((last - FIRST_SEED) // PIECES, 1)
    for first in range(FIRST_SEED, last, step):
        yield range(first, min(first + step, last))


def line_of(situation: Situation, measured: Measured) -> tuple[str, bool]:
    """Return what is printed of a situation, and whether all holds that must."""
    runs = len(measured.results)
    parts = [f"{100 * measured.number(verdict) / runs:6.1f}" for verdict in VERDICTS]
    musts = []
    holds = True
    for must in situation.musts:
        good, seen = must.check(measured)
        holds &= good
        musts.append(f"{must.text}: {seen}{'' if good else ' (NO)'}")
    requests = f"{measured.quantile(0.5):>9,.0f}{measured.quantile(0.9):>9,.0f}"
    name = f"{situation.name:42}{runs:>6,}"
    word = "yes" if holds else "NO"
    return f"{name}{''.join(parts)}{requests}  {word:4}{'; '.join(musts)}", holds


def print_rows(pool: Executor, rows: Sequence[str], runs: int) -> bool:
    """Print the rows, each line once it is known; return whether all holds that must."""
    all_hold = True
    results = pool.map(work, jobs_of(rows, runs))
    for row in rows:
        began = time.monotonic()
        print(f"{row}: {ROWS[row].title}")
        print(
            f"{'':42}{'runs':>6}{'match':>6}{'mism.':>6}{'inc.':>6}{'fail.':>6}"
            f"{'median':>9}{'90 %':>9}  holds"
        )
        every = []
        for situation in ROWS[row].situations:
            pairs = []
            for _ in seeds_of(situation, runs):
                pairs += next(results)
            others = [other for _, other in pairs if other]
            measured = Measured([one for one, _ in pairs], others)
            every.append((situation, measured))
            line, holds = line_of(situation, measured)
            all_hold &= holds
            print(line, flush=True)
        print_together(every)
        print(f"{time.monotonic() - began:,.0f} s\n", flush=True)
    return all_hold


def print_together(every: Sequence[tuple[Situation, Measured]]) -> None:
    """Print bounds that several situations have, counted together."""
    counts: Counter[str] = Counter()
    runs: Counter[str] = Counter()
    situations: Counter[str] = Counter()
    for situation, measured in every:
        for must in situation.musts:
            if must.count:
                counts[must.text] += must.count(measured)
                runs[must.text] += len(measured.results)
                situations[must.text] += 1
    for text, number in situations.items():
        if number > 1:
            seen = frequency(counts[text], runs[text])
            print(f"{number} situations together, {runs[text]:,} runs: {text}: {seen}")
