"""What Prometheus is told of verifications: the latest of each target."""

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

disable_created_metrics()  # a gauge each, of no use to anyone

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


class Metrics:
    """Counters and gauges in a registry of their own."""

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
        self.running = Gauge(
            "trafficsplit_running", "Verifications that run or wait.", (), registry=self.registry
        )

    def _set(self, key: str, value: float, *labels: str) -> None:
        self._gauges[key].labels(*labels).set(value)

    def take(self, result: Result) -> None:
        """A verification has ended."""
        at = result.verification.target
        self._counters["verifications"].labels(at, result.name).inc()
        for verdict in VERDICTS:
            self._set("verdict", verdict == result.name, at, verdict)
        self._set("finished", result.at, at)
        if result.verdict:
            self._take_shares(at, result.verdict)
            self._take_evidence(at, result.verdict)
            self._take_requests(at, result.verdict)
            self._take_latency(at, result.verdict)

    def _take_shares(self, at: str, found: Mapping[str, Any]) -> None:
        for variant, weight in found["expected"].items():
            self._set("weight", weight, at, variant)
        for variant, share in found["shares"].items():
            if share is not None:
                low, high = found["confidence"][variant]
                self._set("share", share, at, variant)
                self._set("low", low, at, variant)
                self._set("high", high, at, variant)

    def _take_evidence(self, at: str, found: Mapping[str, Any]) -> None:
        evidence = found["evidence"]
        for name in ("match", "mismatch"):
            value = evidence[name]
            self._set("evidence", math.inf if value is None else value, at, name)
        self._set("threshold", evidence["threshold"], at)

    def _take_requests(self, at: str, found: Mapping[str, Any]) -> None:
        for variant, count in found["observed"].items():
            self._counters["requests"].labels(at, variant).inc(count)
        for outcome in ("errors", "unidentified"):
            self._counters["requests"].labels(at, outcome).inc(found[outcome])

    def _take_latency(self, at: str, found: Mapping[str, Any]) -> None:
        for variant, quantiles in found["latency_ms"].items():
            for name, milliseconds in quantiles.items():
                if milliseconds is not None:
                    quantile = f"{float(name.removeprefix('p')) / 100:g}"
                    self._set("latency", milliseconds / 1000, at, variant, quantile)

    def text(self) -> bytes:
        """Return all of it, as Prometheus reads it."""
        return generate_latest(self.registry)
