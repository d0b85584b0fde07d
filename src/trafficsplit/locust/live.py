"""The run as it goes on: what the live page and Locust's tab show, and how it came to that.

Plain data only; `load.web` serves it.
"""

from __future__ import annotations

import csv
import io
import math
from collections import Counter as Multiset
from typing import Any

import gevent

from analysis import SequentialTest
from analysis.latency import quantile
from load.session import Session

INTERVAL = 0.25  # seconds between points, at first; doubled whenever there are too many
MOST_POINTS = 400


class History:
    """Points in time of one session, a bounded number of them."""

    def __init__(self) -> None:
        self.points: list[dict[str, Any]] = []
        self._interval = INTERVAL
        self._began = math.nan
        self._latency: dict[str, Multiset[int]] = {}

    def note(self, session: Session, *, last: bool = False) -> None:
        """Add a point, when it is time, or the last one; and something was counted since."""
        counter = session.counter
        counter.flush()
        if counter.began != self._began:  # a new run, or a reset
            self.points, self._interval, self._latency = [], INTERVAL, {}
            self._began = counter.began
        tally = counter.counted
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
            self.points, self._interval = self.points[1::2], 2 * self._interval

    def _latency_since(self, session: Session) -> dict[str, dict[str, float | None]]:
        found = {}
        for key, buckets in session.counter.latency.items():
            if key.status == "2xx" and key.variant:
                new = buckets - self._latency.get(key.variant, Multiset())
                found[key.variant] = {"p50": quantile(new, 0.5), "p99": quantile(new, 0.99)}
                self._latency[key.variant] = buckets.copy()
        return found


def evidence(session: Session) -> dict[str, float | None] | None:
    """Both kinds of it as fractions of what a verdict takes; None with the fixed-sample test."""
    test = session.watch
    if not isinstance(test, SequentialTest):
        return None
    logs = {"match": test.log_match, "mismatch": test.log_mismatch}
    return {
        name: max(log, 0.0) / test.threshold if math.isfinite(log) else None
        for name, log in logs.items()
    }


def watch(session_of: Any, history: History) -> None:
    """Note points for ever. To be spawned."""
    while True:
        gevent.sleep(INTERVAL)
        session = session_of()
        if session.counter.began:
            history.note(session, last=session.finished)


def state(session: Session, history: History) -> dict[str, Any]:
    """All that is shown. Shares, tolerances and confidence are fractions, latencies ms."""
    counter, question = session.counter, session.question
    tally = counter.tally
    shown: dict[str, Any] = {
        "host": session.host,
        "path": session.load["path"],
        "running": bool(counter.began) and not session.finished,
        "requests": tally.requests,
        "budget": question.requests if question else None,
        "requests_per_second": tally.requests / counter.elapsed if counter.elapsed else 0.0,
        "elapsed_seconds": counter.elapsed,
        "observed": dict(tally.counts),
        "shares": {v: tally.share(v) for v in tally.counts},
        "errors": tally.errors,
        "unidentified": tally.unidentified,
        "losses": dict(counter.losses),
        "latency_ms": {
            key.variant: {n: quantile(b, q) for n, q in (("p50", 0.5), ("p99", 0.99))}
            for key, b in counter.latency.items()
            if key.status == "2xx" and key.variant
        },
        "expected": {},
        "tolerances": {},
        "confidence": {},
        "evidence": evidence(session),
        "series": history.points,
    }
    verdict, reason = "", "No split is expected: give --weight or --weights."
    if question:
        variants = list(tally.counts)
        run = session.run(question)
        shown["expected"] = {v: question.split[v] for v in variants}
        shown["tolerances"] = {v: question.tolerance_of(v) for v in variants}
        shown["confidence"] = {v: list(run.interval(v)) for v in variants}
        if session.finished:
            judgement = session.judged()
            assert judgement
            verdict, reason = str(judgement.verdict), judgement.reason
        elif session.unreachable:
            verdict, reason = "failing", session.unreachable
        else:
            verdict, reason = str(session.verdict), _so_far(shown)
    return {"verdict": verdict, "reason": reason, **shown}


def _so_far(shown: dict[str, Any]) -> str:
    if not shown["running"]:
        return "The run has not begun."
    found = shown["evidence"]
    if found is None:
        return "The fixed-sample test is looked at once, at the end."
    parts = [
        f"{name} {'reached' if f is None else f'{100 * f:.0f} %'}" for name, f in found.items()
    ]
    return f"Evidence so far, of what a verdict takes: {', '.join(parts)}."


TITLES = ("", "expected", "observed", "confidence", "responses", "p50, ms", "p99, ms")
KEYS = ("what", "expected", "observed", "confidence", "responses", "p50", "p99")


def rows(shown: dict[str, Any]) -> list[dict[str, str]]:
    """The state as a table of text, a dict by `KEYS` each: for Locust's tab."""
    table = [
        (f"verdict: {shown['verdict'] or 'none'}", "", "", "", f"{shown['requests']:,}", "", "")
    ]
    for variant, count in shown["observed"].items():
        latency = shown["latency_ms"].get(variant, {})
        ends = shown["confidence"].get(variant)
        table.append(
            (
                variant,
                _percent(shown["expected"].get(variant)),
                _percent(shown["shares"][variant]),
                f"{_percent(ends[0])} to {_percent(ends[1])}" if ends else "",
                f"{count:,}",
                _milliseconds(latency.get("p50")),
                _milliseconds(latency.get("p99")),
            )
        )
    table += [(name, "", "", "", f"{shown[name]:,}", "", "") for name in ("errors", "unidentified")]
    return [dict(zip(KEYS, row, strict=True)) for row in table]


def _percent(fraction: float | None) -> str:
    return "" if fraction is None else f"{100 * fraction:.2f} %"


def _milliseconds(value: float | None) -> str:
    return "" if value is None else f"{value:.3g}"


def as_csv(history: History, variants: list[str]) -> str:
    """The points, a line each."""
    text = io.StringIO()
    lines = csv.writer(text)
    lines.writerow(
        ["elapsed_seconds", "responses", "errors", "unidentified"]
        + ["evidence_for_match", "evidence_for_mismatch"]
        + [f"{what} {v}" for v in variants for what in ("share", "p50_ms", "p99_ms")]
    )
    for point in history.points:
        found = point["evidence"] or {}
        line = [f"{point['elapsed']:.3f}", point["responses"], point["errors"]]
        line += [point["unidentified"], found.get("match"), found.get("mismatch")]
        for v in variants:
            latency = point["latency"].get(v, {})
            line += [point["shares"].get(v), latency.get("p50"), latency.get("p99")]
        lines.writerow(line)
    return text.getvalue()
