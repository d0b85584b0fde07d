"""The truth of the claims, on simulated gateways: `make simulate`.

    python -m benchmarks.simulate [RUNS [TABLE…]]     wrong, requests, peers

At least 10,000 runs for figures that are quoted.

Wrong verdicts where they are likeliest, requests to a verdict beside Wald's limit, and what other
methods say of the same streams. Everything is seeded: the same figures come out again.
"""

from __future__ import annotations

import math
import multiprocessing
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from multiprocessing.pool import Pool

import numpy as np

from trafficsplit.analysis.evidence import divergence, edges
from trafficsplit.analysis.fixed import clopper_pearson
from trafficsplit.analysis.planning import planned, requests_to_match
from trafficsplit.analysis.question import Question
from trafficsplit.analysis.simulation import METHODS, Decision, gateways
from trafficsplit.analysis.split import Split
from trafficsplit.analysis.until_match import until_match
from trafficsplit.analysis.until_mismatch import until_mismatch
from trafficsplit.analysis.verdict import Verdict

RUNS = 10_000
PIECE = 250  # runs that one process does in a go


@dataclass(frozen=True)
class Row:
    """Runs of one method at one gateway."""

    question: Question
    shares: Mapping[str, float]
    most: int
    method: str = "sequential"


def canary(weight: float, tolerance: float) -> Question:
    """The question about two variants."""
    return planned(Question(Split({"blue": 1 - weight, "green": weight}), tolerance))


def green(share: float) -> dict[str, float]:
    """The shares of a gateway with two variants."""
    return {"blue": 1 - share, "green": share}


THREE = planned(Question(Split({"blue": 0.5, "green": 0.3, "red": 0.2}), 0.02))
EDGES = [
    *(
        Row(canary(w, t), green(w + sign * t), requests_to_match(canary(w, t), 0.999))
        for w, t in ((0.25, 0.02), (0.05, 0.02), (0.5, 0.05), (0.01, 0.005))
        for sign in (-1, 1)
    ),
    *(
        Row(THREE, {"blue": 0.5 - sign * 0.02, "green": 0.3 + sign * 0.02, "red": 0.2}, 33_000)
        for sign in (-1, 1)
    ),
]
SWEEP = {
    (0.25, 0.02): (
        *(0, 0.02, 0.05, 0.1, 0.15, 0.2, 0.22, 0.25, 0.28, 0.29),
        *(0.3, 0.35, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1),
    ),
    (0.05, 0.02): (0, 0.01, 0.02, 0.05, 0.08, 0.1, 0.2, 0.5, 1),
    (0.5, 0.05): (0, 0.2, 0.4, 0.5, 0.6, 0.8, 1),
    (0.01, 0.005): (0, 0.002, 0.01, 0.02, 0.03, 0.1, 0.5),
}
PEERS = (0.25, 0.27, 0.29, 0.30, 0.31, 0.33)


def piece(job: tuple[Row, int, int]) -> list[Decision]:
    """Some of a row's runs, with a seed of their own."""
    row, runs, seed = job
    streams = gateways(row.question, row.shares, most=row.most, runs=runs, seed=seed)
    return [METHODS[row.method](row.question, totals) for totals in streams]


def decisions(pool: Pool, rows: Sequence[Row], runs: int) -> Iterator[tuple[Row, list[Decision]]]:
    """The decisions of each row, in order."""
    sizes = [min(PIECE, runs - start) for start in range(0, runs, PIECE)]
    # The same seeds for every row: all methods see the same streams.
    jobs = [(row, size, 1000 + n) for row in rows for n, size in enumerate(sizes)]
    results = pool.imap(piece, jobs)
    for row in rows:
        yield row, [one for part in islice(results, len(sizes)) for one in part]


def interval(count: int, runs: int) -> str:
    """A frequency in per cent, with its exact 95 % interval."""
    low, high = clopper_pearson(count, runs, 0.05)
    return f"{100 * count / runs:6.2f} % [{100 * low:.2f}, {100 * high:.2f}]"


def wrong_verdicts(pool: Pool, runs: int) -> None:
    """At exactly one tolerance from the weight either verdict is a wrong one."""
    print(
        f"Wrong verdicts at one tolerance, looked at after every request, alpha 1 %, {runs:,} runs"
    )
    print(f"{'weights':14}{'tolerance':>10}{'share':>8}{'requests':>10}   {'match':28}mismatch")
    for row, found in decisions(pool, EDGES, runs):
        split = row.question.split
        weights = "/".join(f"{100 * w:g}" for w in split.weights.values())
        share = list(row.shares.values())[1]
        counts = Counter(d.verdict for d in found)
        print(
            f"{weights:14}{100 * row.question.tolerance:>9g} {100 * share:>8g}{row.most:>10,}   "
            f"{interval(counts[Verdict.MATCH], runs):28}{interval(counts[Verdict.MISMATCH], runs)}",
            flush=True,
        )
    print()


def requests_to_decision(pool: Pool, runs: int) -> None:
    """Medians, means and nine in ten beside Wald's limit, log(1/alpha)/KL, which bounds the mean.

    And what the planner promises; * where it is more than a tenth off, half a request aside.
    """
    print(f"Requests to the right verdict of {runs:,} runs, beside Wald's limit and the plan's")
    print(
        f"{'weight':>7}{'tolerance':>10}{'share':>7}  {'verdict':10}{'limit':>8}"
        f"{'median':>9}{'× limit':>9}{'mean':>9}{'× limit':>9}{'90 %':>9}"
        f"{'plan: median':>14}{'mean':>8}{'90 %':>8}"
    )
    rows = []
    for (weight, tolerance), truths in SWEEP.items():
        question = canary(weight, tolerance)
        for truth in truths:
            # Nearly all of the runs have ended by then.
            rows.append(Row(question, green(truth), int(walds_limit(question, truth) * 12) + 99))
    for row, found in decisions(pool, rows, runs):
        weight = row.question.split["green"]
        truth = row.shares["green"]
        verdict = Verdict.MATCH if truth == weight else Verdict.MISMATCH
        limit = walds_limit(row.question, truth)
        took = [d.requests for d in found if d.verdict is verdict]
        seen = [float(np.median(took)), float(np.mean(took)), float(np.quantile(took, 0.9))]
        plan = promises(row.question, row.shares, verdict)
        off = any(abs(a - b) > max(0.1 * a, 0.5) for a, b in zip(seen, plan, strict=True))
        print(
            f"{100 * weight:>7g}{100 * row.question.tolerance:>10g}{100 * truth:>7g}  {verdict:10}"
            f"{limit:>8,.0f}{seen[0]:>9,.0f}{seen[0] / limit:>7.2f} ×{seen[1]:>9,.0f}"
            f"{seen[1] / limit:>7.2f} ×{seen[2]:>9,.0f}{plan[0]:>14,.0f}{plan[1]:>8,.0f}"
            f"{plan[2]:>8,.0f}{' *' if off else ''}",
            flush=True,
        )
    print()


def promises(question: Question, shares: Mapping[str, float], verdict: Verdict) -> list[float]:
    """The planner's median, mean and nine in ten, for the sequential test by itself."""
    passage = until_match(question)
    if verdict is Verdict.MISMATCH:
        passage = until_mismatch(question, shares)
    if passage is None:
        return [math.inf] * 3
    return [passage.quantile(0.5), passage.mean, passage.quantile(0.9)]


def walds_limit(question: Question, truth: float) -> float:
    """Fewest requests, on average, that any sequential test with these error rates can do with."""
    weight = question.split["green"]
    band = edges(list(question.split.weights.values()), question.tolerance)
    # Two variants mirror each other: an edge of blue is one of green.
    shares = [e.share if e.variant == 1 else 1 - e.share for e in band]
    if truth == weight:
        slowest = min(divergence(weight, share) for share in shares)
        return math.log(1 / question.alpha) / slowest
    beyond = [share for share in shares if (share > weight) == (truth > weight)]
    return math.log(1 / question.alpha) / divergence(truth, beyond[0])


def peers(pool: Pool, runs: int) -> None:
    """How often each method calls a gateway's split fine, and after how many requests."""
    print(f"Called a match at weight 25 %, tolerance 2 points, {runs:,} runs (requests, median)")
    question = canary(0.25, 0.02)
    print(f"{'true share of green':20}" + "".join(f"{100 * share:>18g} %" for share in PEERS))
    for method in METHODS:
        most = {"peeked chi-square": 20_000, "curl loop": 100, "conformance": 5000}.get(
            method, question.requests
        )
        size = planned(Question(question.split, 0.02, test="fixed")).requests
        asked = question
        if method == "fixed":
            asked = Question(question.split, 0.02, requests=size, test="fixed")
            most = size
        rows = [Row(asked, green(share), most, method) for share in PEERS]
        cells = []
        for _, found in decisions(pool, rows, runs):
            matched = sum(d.verdict is Verdict.MATCH for d in found)
            took = np.median([d.requests for d in found])
            cells.append(f"{100 * matched / runs:9.2f} % ({took:,.0f})".rjust(20))
        print(f"{method:20}" + "".join(cells), flush=True)
    print()


TABLES = {"wrong": wrong_verdicts, "requests": requests_to_decision, "peers": peers}


def main(runs: int = RUNS, *tables: str) -> None:
    """The tables that are named, or all three."""
    with multiprocessing.get_context("spawn").Pool() as pool:
        for name in tables or TABLES:
            TABLES[name](pool, runs)


if __name__ == "__main__":
    main(int(sys.argv[1]) if sys.argv[1:] else RUNS, *sys.argv[2:])
