"""What Prometheus is told of verifications: the latest of each target."""

from __future__ import annotations

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


class Metrics:
    """Counters and gauges in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        registry = self.registry
        at = ("target",)
        self._verifications = Counter(
            "trafficsplit_verifications", "Verifications that have ended.", (*at, "verdict"),
            registry=registry,
        )  # fmt: skip
        self._verdict = Gauge(
            "trafficsplit_verdict", "1 for the latest verdict.", (*at, "verdict"), registry=registry
        )
        self._weight = Gauge(
            "trafficsplit_weight", "The configured weight.", (*at, "variant"), registry=registry
        )
        self._share = Gauge("trafficsplit_share", "The share.", (*at, "variant"), registry=registry)
        self._low = Gauge(
            "trafficsplit_share_low",
            "Lower end of its interval.",
            (*at, "variant"),
            registry=registry,
        )
        self._high = Gauge(
            "trafficsplit_share_high",
            "Upper end of its interval.",
            (*at, "variant"),
            registry=registry,
        )
        self._evidence = Gauge(
            "trafficsplit_evidence", "Natural logarithm; a verdict at the threshold.",
            (*at, "verdict"), registry=registry,
        )  # fmt: skip
        self._threshold = Gauge(
            "trafficsplit_evidence_threshold",
            "What it must reach.",
            at,
            registry=registry,
        )
        self._requests = Counter(
            "trafficsplit_requests", "Requests sent.", (*at, "outcome"), registry=registry
        )
        self._latency = Gauge(
            "trafficsplit_latency_seconds", "Latency of the latest verification.",
            (*at, "variant", "quantile"), registry=registry,
        )  # fmt: skip
        self._finished = Gauge(
            "trafficsplit_finished_timestamp_seconds",
            "When it ended.",
            at,
            registry=registry,
        )
        self.running = Gauge(
            "trafficsplit_running", "Verifications that run or wait.", (), registry=registry
        )

    def take(self, result: Result) -> None:
        """A verification has ended."""
        at = result.verification.target
        self._verifications.labels(at, result.name).inc()
        for verdict in VERDICTS:
            self._verdict.labels(at, verdict).set(verdict == result.name)
        self._finished.labels(at).set(result.at)
        found = result.verdict
        if not found:
            return
        for variant, weight in found["expected"].items():
            self._weight.labels(at, variant).set(weight)
        for variant, share in found["shares"].items():
            if share is not None:
                self._share.labels(at, variant).set(share)
                low, high = found["confidence"][variant]
                self._low.labels(at, variant).set(low)
                self._high.labels(at, variant).set(high)
        for name in ("match", "mismatch"):
            value = found["evidence"][name]
            self._evidence.labels(at, name).set(float("inf") if value is None else value)
        self._threshold.labels(at).set(found["evidence"]["threshold"])
        for variant, count in found["observed"].items():
            self._requests.labels(at, variant).inc(count)
        for outcome in ("errors", "unidentified"):
            self._requests.labels(at, outcome).inc(found[outcome])
        for variant, quantiles in found["latency_ms"].items():
            for name, value in quantiles.items():
                if value is not None:
                    quantile = f"{float(name.removeprefix('p')) / 100:g}"
                    self._latency.labels(at, variant, quantile).set(value / 1000)

    def text(self) -> bytes:
        """As Prometheus reads it."""
        return generate_latest(self.registry)
