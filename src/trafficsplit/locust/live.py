"""The state of a running load, and its history, as the live page and Locust's tab show them.

All of it is plain data, which `web` serves.
"""

from __future__ import annotations

import csv
import io
import math
from collections import Counter as Multiset
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import gevent

from trafficsplit.analysis.field_test import FieldTest
from trafficsplit.analysis.latency import quantile
from trafficsplit.analysis.question import Question
from trafficsplit.analysis.run import LatencyKey
from trafficsplit.analysis.sequential import SequentialTest
from trafficsplit.analysis.tally import Tally
from trafficsplit.analysis.user_draws import as_draws, interval_of
from trafficsplit.analysis.users import UserTest
from trafficsplit.locust.session import Session

Plain = dict[str, Any]
Quantiles = dict[str, float | None]  # latencies in milliseconds, by name
INTERVAL = 0.25  # seconds between points at first; doubled whenever there are too many
MOST_POINTS = 400
QUANTILES = {"p50": 0.5, "p99": 0.99}
# The titles of the columns in Locust's tab, by key.
COLUMNS = {
    "what": "",
    "expected": "expected",
    "observed": "observed",
    "confidence": "confidence",
    "responses": "responses",
    "p50": "p50, ms",
    "p99": "p99, ms",
}


class History:
    """The points in time of one session; their number is bounded."""

    def __init__(self) -> None:
        self.points: list[Plain] = []
        self._interval = INTERVAL
        self._began = math.nan
        self._latency: dict[str, Multiset[int]] = {}

    def note(self, session: Session, *, last: bool = False) -> None:
        """Add a point if it is time, or if it is the `last`, and if something was counted since."""
        counter = session.counter
        counter.flush()
        if counter.began != self._began:  # a new run, or a reset
            self._begin(counter.began)
        tally = counter.counted_tally
        elapsed = counter.elapsed
        is_due = elapsed - self._last("elapsed") >= 0.9 * self._interval
        if not (is_due or last) or tally.identified == self._last("responses"):
            return
        self.points.append(
            {
                "elapsed": elapsed,
                "responses": tally.identified,
                "shares": _shares(tally),
                "evidence": evidence(session),
                "latency": self._latency_since(session),
                "errors": tally.errors,
                "unidentified": tally.unidentified,
            }
        )
        if len(self.points) > MOST_POINTS:
            self.points = self.points[1::2]
            self._interval *= 2

    def _begin(self, began: float) -> None:
        """Forget the points of an earlier run."""
        self.points = []
        self._interval = INTERVAL
        self._latency = {}
        self._began = began

    def _last(self, key: str) -> float:
        """Return a number of the last point, 0 where there is none."""
        return float(self.points[-1][key]) if self.points else 0.0

    def _latency_since(self, session: Session) -> dict[str, Quantiles]:
        """Return the quantiles of the latencies since the last point, by variant."""
        quantiles = {}
        for variant, buckets in _good(session.counter.sums.latency).items():
            every = Multiset(buckets)
            quantiles[variant] = _quantiles(every - self._latency.get(variant, Multiset()))
            self._latency[variant] = every
        return quantiles


def _good(latency: Mapping[LatencyKey, Mapping[int, int]]) -> dict[str, Mapping[int, int]]:
    """Return the latencies of good answers, by variant."""
    good = {}
    for key, buckets in latency.items():
        if key.status == "2xx" and key.variant:
            good[key.variant] = buckets
    return good


def _shares(tally: Tally) -> dict[str, float | None]:
    return {variant: tally.share(variant) for variant in tally.counts}


def _quantiles(buckets: Mapping[int, int]) -> Quantiles:
    return {name: quantile(buckets, q) for name, q in QUANTILES.items()}


def evidence(session: Session) -> dict[str, float | None] | None:
    """Return the evidence for match and mismatch, as fractions of the evidence for a verdict.

    None instead of a fraction is infinite evidence. The result is None for a session without a
    sequential test.
    """
    test: object = session.judging.test if session.judging else None
    if isinstance(test, FieldTest):
        test = test.test
    if not isinstance(test, SequentialTest | UserTest):
        return None
    return {
        "match": _fraction(test.log_match, test.threshold),
        "mismatch": _fraction(test.log_mismatch, test.mismatch_threshold),
    }


def _fraction(log: float, threshold: float) -> float | None:
    return max(log, 0.0) / threshold if math.isfinite(log) else None


def note_for_ever(session_of: Callable[[], Session], history: History) -> None:
    """Add points to a history for ever. To be spawned."""
    while True:
        gevent.sleep(INTERVAL)
        session = session_of()
        if session.counter.began:
            history.note(session, last=session.finished)


def state(session: Session, history: History) -> Plain:
    """Return the state that is shown: shares, tolerances and confidence are fractions.

    Latencies are in milliseconds.
    """
    counter = session.counter
    question = session.plan.question
    tally = counter.tally
    latencies = _good(counter.sums.latency)
    shown: Plain = {
        "host": session.plan.host,
        "path": session.plan.load.request.path,
        "running": bool(counter.began) and not session.finished,
        "requests": tally.requests,
        "budget": question.requests if question else None,
        "requests_per_second": counter.rate,
        "elapsed_seconds": counter.elapsed,
        "observed": dict(tally.counts),
        "shares": _shares(tally),
        "errors": tally.errors,
        "unidentified": tally.unidentified,
        "losses": dict(counter.sums.losses),
        "latency_ms": {variant: _quantiles(latencies[variant]) for variant in latencies},
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
    """Return the question, and what is known of its answer so far."""
    drawn = as_draws(session.run(question))
    variants = list(shown["observed"])
    verdict = str(session.verdict)
    reason = _reason_so_far(shown)
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
        "expected": {variant: question.split[variant] for variant in variants},
        "tolerances": {variant: question.tolerance_of(variant) for variant in variants},
        "confidence": {variant: list(interval_of(drawn, variant)) for variant in variants},
    }


def _reason_so_far(shown: Plain) -> str:
    if not shown["running"]:
        return "The run has not begun."
    fractions = shown["evidence"]
    if fractions is None:
        return "The fixed-sample test is looked at once, at the end."
    parts = []
    for name, fraction in fractions.items():
        amount = "reached" if fraction is None else f"{100 * fraction:.0f} %"
        parts.append(f"{name} {amount}")
    return f"Evidence so far, of what a verdict takes: {', '.join(parts)}."


def rows(shown: Plain) -> list[dict[str, str]]:
    """Return the state as the rows of Locust's tab: texts by the keys of `COLUMNS`."""
    table = [_row(f"verdict: {shown['verdict'] or 'none'}", shown["requests"])]
    for variant, count in shown["observed"].items():
        latency = shown["latency_ms"].get(variant, {})
        interval = shown["confidence"].get(variant)
        row = _row(variant, count)
        row["expected"] = _percent(shown["expected"].get(variant))
        row["observed"] = _percent(shown["shares"][variant])
        if interval:
            low, high = interval
            row["confidence"] = f"{_percent(low)} to {_percent(high)}"
        row["p50"] = _milliseconds(latency.get("p50"))
        row["p99"] = _milliseconds(latency.get("p99"))
        table.append(row)
    table += [_row(name, shown[name]) for name in ("errors", "unidentified")]
    return table


def _row(what: str, responses: int) -> dict[str, str]:
    return {**dict.fromkeys(COLUMNS, ""), "what": what, "responses": f"{responses:,}"}


def _percent(fraction: float | None) -> str:
    return "" if fraction is None else f"{100 * fraction:.2f} %"


def _milliseconds(value: float | None) -> str:
    return "" if value is None else f"{value:.3g}"


def csv_of(history: History, variants: Sequence[str]) -> str:
    """Return the points of a history as CSV, a line each."""
    text = io.StringIO()
    lines = csv.writer(text)
    columns = ["elapsed_seconds", "responses", "errors", "unidentified"]
    columns += ["evidence_for_match", "evidence_for_mismatch"]
    for variant in variants:
        columns += [f"share {variant}", f"p50_ms {variant}", f"p99_ms {variant}"]
    lines.writerow(columns)
    for point in history.points:
        lines.writerow(_line(point, variants))
    return text.getvalue()


def _line(point: Plain, variants: Sequence[str]) -> list[Any]:
    fractions = point["evidence"] or {}
    line = [f"{point['elapsed']:.3f}", point["responses"], point["errors"], point["unidentified"]]
    line += [fractions.get("match"), fractions.get("mismatch")]
    for variant in variants:
        latency = point["latency"].get(variant, {})
        line += [point["shares"].get(variant), latency.get("p50"), latency.get("p99")]
    return line
