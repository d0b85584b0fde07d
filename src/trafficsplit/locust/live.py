"""The run as it goes on: what the live page and Locust's tab show, and how it came to that.

Plain data only; `web` serves it.
"""

from __future__ import annotations

import csv
import io
import math
from collections import Counter as Multiset
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import gevent

from trafficsplit.analysis.latency import quantile
from trafficsplit.analysis.question import Question
from trafficsplit.analysis.run import LatencyKey
from trafficsplit.analysis.sequential import SequentialTest
from trafficsplit.locust.session import Session

Plain = dict[str, Any]
INTERVAL = 0.25  # seconds between points, at first; doubled whenever there are too many
MOST_POINTS = 400
QUANTILES = {"p50": 0.5, "p99": 0.99}


class History:
    """Points in time of one session, a bounded number of them."""

    def __init__(self) -> None:
        self.points: list[Plain] = []
        self._interval = INTERVAL
        self._began = math.nan
        self._latency: dict[str, Multiset[int]] = {}

    def note(self, session: Session, *, last: bool = False) -> None:
        """Add a point, when it is time, or the last one; and something was counted since."""
        counter = session.counter
        counter.flush()
        if counter.began != self._began:  # a new run, or a reset
            self.points = []
            self._interval = INTERVAL
            self._latency = {}
            self._began = counter.began
        tally = counter.counted_tally
        before = self.points[-1] if self.points else {"elapsed": 0.0, "responses": 0}
        elapsed = counter.elapsed
        due = elapsed - before["elapsed"] >= 0.9 * self._interval or last
        if not due or tally.identified == before["responses"]:
            return
        self.points.append(
            {
                "elapsed": elapsed,
                "responses": tally.identified,
                "shares": {v: tally.share(v) for v in tally.counts},
                "evidence": evidence(session),
                "latency": self._latency_since(session),
                "errors": tally.errors,
                "unidentified": tally.unidentified,
            }
        )
        if len(self.points) > MOST_POINTS:
            self.points = self.points[1::2]
            self._interval *= 2

    def _latency_since(self, session: Session) -> dict[str, dict[str, float | None]]:
        found = {}
        for variant, buckets in _good(session.counter.sums.latency).items():
            every = Multiset(buckets)
            found[variant] = _quantiles(every - self._latency.get(variant, Multiset()))
            self._latency[variant] = every
        return found


def _good(latency: Mapping[LatencyKey, Mapping[int, int]]) -> dict[str, Mapping[int, int]]:
    """Return the latencies of good answers, by variant."""
    return {k.variant: b for k, b in latency.items() if k.status == "2xx" and k.variant}


def _quantiles(buckets: Mapping[int, int]) -> dict[str, float | None]:
    return {name: quantile(buckets, q) for name, q in QUANTILES.items()}


def evidence(session: Session) -> dict[str, float | None] | None:
    """Return both kinds of it as fractions of what a verdict takes; None where there is none."""
    test = session.judging.test if session.judging else None
    if not isinstance(test, SequentialTest):
        return None
    logs = {"match": test.log_match, "mismatch": test.log_mismatch}
    return {name: _part(log, test.threshold) for name, log in logs.items()}


def _part(log: float, threshold: float) -> float | None:
    return max(log, 0.0) / threshold if math.isfinite(log) else None


def note_for_ever(session_of: Callable[[], Session], history: History) -> None:
    """Note points for ever. To be spawned."""
    while True:
        gevent.sleep(INTERVAL)
        session = session_of()
        if session.counter.began:
            history.note(session, last=session.finished)


def state(session: Session, history: History) -> Plain:
    """Return all that is shown. Shares, tolerances and confidence are fractions, latencies ms."""
    counter = session.counter
    question = session.plan.question
    tally = counter.tally
    shown: Plain = {
        "host": session.plan.host,
        "path": session.plan.load.request.path,
        "running": bool(counter.began) and not session.finished,
        "requests": tally.requests,
        "budget": question.requests if question else None,
        "requests_per_second": tally.requests / counter.elapsed if counter.elapsed else 0.0,
        "elapsed_seconds": counter.elapsed,
        "observed": dict(tally.counts),
        "shares": {v: tally.share(v) for v in tally.counts},
        "errors": tally.errors,
        "unidentified": tally.unidentified,
        "losses": dict(counter.sums.losses),
        "latency_ms": {v: _quantiles(b) for v, b in _good(counter.sums.latency).items()},
        "expected": {},
        "tolerances": {},
        "confidence": {},
        "evidence": evidence(session),
        "series": history.points,
    }
    if question is None:
        reason = "No split is expected: give --weight or --weights."
        return {"verdict": "", "reason": reason, **shown}
    return {**shown, **_expected(session, question, shown)}


def _expected(session: Session, question: Question, shown: Plain) -> Plain:
    """Return what is expected, and what is known of it so far."""
    run = session.run(question)
    variants = list(shown["observed"])
    verdict = str(session.verdict)
    reason = _so_far(shown)
    if session.notes.broken:
        verdict = ""
        reason = session.notes.broken
    elif session.finished:
        judgement = session.judged()
        assert judgement
        verdict = str(judgement.verdict)
        reason = judgement.reason
    elif session.notes.unreachable:
        verdict = "failing"
        reason = session.notes.unreachable
    return {
        "verdict": verdict,
        "reason": reason,
        "expected": {v: question.split[v] for v in variants},
        "tolerances": {v: question.tolerance_of(v) for v in variants},
        "confidence": {v: list(run.interval(v)) for v in variants},
    }


def _so_far(shown: Plain) -> str:
    if not shown["running"]:
        return "The run has not begun."
    found = shown["evidence"]
    if found is None:
        return "The fixed-sample test is looked at once, at the end."
    parts = []
    for name, part in found.items():
        parts.append(f"{name} reached" if part is None else f"{name} {100 * part:.0f} %")
    return f"Evidence so far, of what a verdict takes: {', '.join(parts)}."


TITLES = ("", "expected", "observed", "confidence", "responses", "p50, ms", "p99, ms")
KEYS = ("what", "expected", "observed", "confidence", "responses", "p50", "p99")


def rows(shown: Plain) -> list[dict[str, str]]:
    """Return the state as a table of text, a dict by `KEYS` each: for Locust's tab."""
    table = [_row(f"verdict: {shown['verdict'] or 'none'}", shown["requests"])]
    for variant, count in shown["observed"].items():
        latency = shown["latency_ms"].get(variant, {})
        ends = shown["confidence"].get(variant)
        row = _row(variant, count)
        row["expected"] = _percent(shown["expected"].get(variant))
        row["observed"] = _percent(shown["shares"][variant])
        row["confidence"] = f"{_percent(ends[0])} to {_percent(ends[1])}" if ends else ""
        row["p50"] = _milliseconds(latency.get("p50"))
        row["p99"] = _milliseconds(latency.get("p99"))
        table.append(row)
    table += [_row(name, shown[name]) for name in ("errors", "unidentified")]
    return table


def _row(what: str, responses: int) -> dict[str, str]:
    return {**dict.fromkeys(KEYS, ""), "what": what, "responses": f"{responses:,}"}


def _percent(fraction: float | None) -> str:
    return "" if fraction is None else f"{100 * fraction:.2f} %"


def _milliseconds(value: float | None) -> str:
    return "" if value is None else f"{value:.3g}"


def as_csv(history: History, variants: Sequence[str]) -> str:
    """Return the points, a line each."""
    text = io.StringIO()
    lines = csv.writer(text)
    columns = ["elapsed_seconds", "responses", "errors", "unidentified"]
    columns += ["evidence_for_match", "evidence_for_mismatch"]
    for variant in variants:
        columns += [f"{what} {variant}" for what in ("share", "p50_ms", "p99_ms")]
    lines.writerow(columns)
    for point in history.points:
        lines.writerow(_line(point, variants))
    return text.getvalue()


def _line(point: Plain, variants: Sequence[str]) -> list[Any]:
    found = point["evidence"] or {}
    line = [f"{point['elapsed']:.3f}", point["responses"], point["errors"], point["unidentified"]]
    line += [found.get("match"), found.get("mismatch")]
    for variant in variants:
        latency = point["latency"].get(variant, {})
        line += [point["shares"].get(variant), latency.get("p50"), latency.get("p99")]
    return line
