"""The results of verifications for Prometheus: the latest of each target."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    disable_created_metrics,
    generate_latest,
)

from trafficsplit.gate.verifications import Result

disable_created_metrics()  # they add a gauge for each counter, of no use here

VERDICTS = ("match", "mismatch", "inconclusive", "failing", "error")
# Name, help and labels of every gauge; each has the label `target` too.
GAUGES = {
    "verdict": ("trafficsplit_verdict", "1 for the latest verdict.", "verdict"),
    "weight": ("trafficsplit_weight", "The configured weight.", "variant"),
    "share": ("trafficsplit_share", "The share.", "variant"),
    "low": ("trafficsplit_share_low", "Lower end of its interval.", "variant"),
    "high": ("trafficsplit_share_high", "Upper end of its interval.", "variant"),
    "evidence": (
        "trafficsplit_evidence",
        "Natural logarithm; a verdict at the threshold.",
        "verdict",
    ),
    "threshold": ("trafficsplit_evidence_threshold", "What it must reach."),
    "latency": (
        "trafficsplit_latency_seconds",
        "Latency of the latest verification.",
        "variant",
        "quantile",
    ),
    "finished": ("trafficsplit_finished_timestamp_seconds", "When it ended."),
}
COUNTERS = {
    "verifications": ("trafficsplit_verifications", "Verifications that have ended.", "verdict"),
    "requests": ("trafficsplit_requests", "Requests sent.", "outcome"),
}
REFUSALS = ("trafficsplit_refusals", "Calls of controllers that were refused.")


class Metrics:
    """The counters and gauges of one gate, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._gauges = {
            key: Gauge(name, text, ("target", *labels), registry=self.registry)
            for key, (name, text, *labels) in GAUGES.items()
        }
        self._counters = {
            key: Counter(name, text, ("target", *labels), registry=self.registry)
            for key, (name, text, *labels) in COUNTERS.items()
        }
        self._refusals = Counter(*REFUSALS, ("status",), registry=self.registry)
        self.running = Gauge(
            "trafficsplit_running", "Verifications that run or wait.", (), registry=self.registry
        )

    def count_refusal(self, status: int) -> None:
        """Count a call that was refused, by its HTTP status."""
        self._refusals.labels(str(status)).inc()

    def _set(self, key: str, value: float, *labels: str) -> None:
        self._gauges[key].labels(*labels).set(value)

    def take(self, result: Result) -> None:
        """Count a verification that has ended, and show its result."""
        target = result.verification.target
        self._counters["verifications"].labels(target, result.name).inc()
        for verdict in VERDICTS:
            self._set("verdict", verdict == result.name, target, verdict)
        self._set("finished", result.at, target)
        if result.verdict:
            self._take_shares(target, result.verdict)
            self._take_evidence(target, result.verdict)
            self._take_requests(target, result.verdict)
            self._take_latency(target, result.verdict)

    def _take_shares(self, target: str, verdict: Mapping[str, Any]) -> None:
        for variant, weight in verdict["expected"].items():
            self._set("weight", weight, target, variant)
        for variant, share in verdict["shares"].items():
            if share is not None:
                low, high = verdict["confidence"][variant]
                self._set("share", share, target, variant)
                self._set("low", low, target, variant)
                self._set("high", high, target, variant)

    def _take_evidence(self, target: str, verdict: Mapping[str, Any]) -> None:
        evidence = verdict["evidence"]
        for name in ("match", "mismatch"):
            value = evidence[name]
            self._set("evidence", math.inf if value is None else value, target, name)
        self._set("threshold", evidence["threshold"], target)

    def _take_requests(self, target: str, verdict: Mapping[str, Any]) -> None:
        for variant, count in verdict["observed"].items():
            self._counters["requests"].labels(target, variant).inc(count)
        for outcome in ("errors", "unidentified"):
            self._counters["requests"].labels(target, outcome).inc(verdict[outcome])

    def _take_latency(self, target: str, verdict: Mapping[str, Any]) -> None:
        for variant, quantiles in verdict["latency_ms"].items():
            for name, milliseconds in quantiles.items():
                if milliseconds is not None:
                    quantile = f"{float(name.removeprefix('p')) / 100:g}"
                    self._set("latency", milliseconds / 1000, target, variant, quantile)

    def text(self) -> bytes:
        """Return all metrics in the text format of Prometheus."""
        return generate_latest(self.registry)
