"""Runs that no load has made, for tests of what is made of a run."""

from __future__ import annotations

import dataclasses
from typing import Any

from trafficsplit.analysis.latency import bucket_of
from trafficsplit.analysis.planning import planned
from trafficsplit.analysis.question import Question
from trafficsplit.analysis.run import Counted, Ending, LatencyKey, Run, Stretch, Subject
from trafficsplit.analysis.split import Split
from trafficsplit.analysis.tally import Tally

CANARY = Split({"blue": 75, "green": 25})


def made(
    counts: dict[str, int],
    *,
    split: Split = CANARY,
    test: str = "sequential",
    errors: int = 0,
    unidentified: int = 0,
    requests: int = 0,
    **ending: Any,
) -> Run:
    """Return a run whose counts came in two equal halves, with these fields of its ending."""
    question = planned(Question(split, split.default_tolerance, requests=requests, test=test))
    first = {v: n // 2 for v, n in counts.items()}
    rest = {v: n - first[v] for v, n in counts.items()}
    counted = Counted(
        stretches=[
            Stretch(0, 1, Tally(first, errors=errors // 2)),
            Stretch(1, 2, Tally(rest, errors=errors - errors // 2, unidentified=unidentified)),
        ],
        latency={LatencyKey("green", "2xx"): {bucket_of(900): 3, bucket_of(70_000): 1}},
        losses={"HTTP 503": errors} if errors else {},
    )
    subject = Subject(
        host="http://gateway",
        path="/color",
        users=4,
        started_at="2026-01-01T00:00:00.000Z",
        elapsed=2.0,
    )
    return Run(question, subject, counted, Ending(**ending))


def having(run: Run, **changes: Any) -> Run:
    """Return a run with other fields, each put into the part that has it.

    `having(run, elapsed=3.0)` has another `subject`, with this `elapsed`.
    """
    parts: dict[str, Any] = {}
    for name in ("subject", "counted", "ending", "canary"):
        part = getattr(run, name)
        own = {field.name for field in dataclasses.fields(part)} & changes.keys()
        if own:
            parts[name] = dataclasses.replace(part, **{n: changes.pop(n) for n in own})
    return dataclasses.replace(run, **parts, **changes)


RUNS = {
    "ordinary": made({"blue": 6000, "green": 2000}),
    "three": made({"v1": 50, "v2": 30, "v3": 20}, split=Split({"v1": 5, "v2": 3, "v3": 2})),
    "rollback": made({"blue": 4603}, split=Split({"blue": 1, "green": 0})),
    "lossy": made({"blue": 60, "white": 20}, errors=9),
    "unreachable": made({}, unreachable="nobody there"),
    "one request": made({"green": 1}),
}
