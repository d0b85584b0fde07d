"""What Prometheus is told of verifications."""

from __future__ import annotations

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.support.gates import verification
from tests.support.runs import RUNS
from trafficsplit.analysis.judge import judge
from trafficsplit.gate.metrics import VERDICTS, Metrics
from trafficsplit.gate.verifications import Result
from trafficsplit.report.document import document_of

TARGET = "http://gateway/color"
Samples = dict[tuple[str, ...], float]


def result_of(name: str, at: float = 1_700_000_000.0) -> Result:
    """Return a verification that has ended as one of the runs did."""
    run = RUNS[name]
    verdict = document_of(run, judge(run)).as_plain()
    return Result(verification(), verdict, str(verdict["reason"]), at)


def samples(metrics: Metrics) -> Samples:
    """Return all values by name, and by labels in the order of their names, but the target's."""
    found: Samples = {}
    for family in text_string_to_metric_families(metrics.text().decode()):
        for sample in family.samples:
            labels = dict(sample.labels)
            assert labels.pop("target", TARGET) == TARGET
            found[sample.name, *(labels[name] for name in sorted(labels))] = sample.value
    return found


def test_the_latest_verification_is_shown() -> None:
    metrics = Metrics()
    metrics.take(result_of("ordinary"))
    found = samples(metrics)
    verdicts = {name: found["trafficsplit_verdict", name] for name in VERDICTS}
    assert verdicts == {
        "match": 1.0,
        "mismatch": 0.0,
        "inconclusive": 0.0,
        "failing": 0.0,
        "error": 0.0,
    }
    assert found["trafficsplit_weight", "green"] == 0.25
    assert found["trafficsplit_share", "green"] == 0.25
    assert found["trafficsplit_share_low", "green"] < 0.25
    assert found["trafficsplit_share_high", "green"] > 0.25
    assert found["trafficsplit_evidence", "match"] >= found[("trafficsplit_evidence_threshold",)]
    assert found["trafficsplit_requests_total", "blue"] == 6000
    assert found["trafficsplit_requests_total", "errors"] == 0
    assert found["trafficsplit_verifications_total", "match"] == 1
    assert found[("trafficsplit_finished_timestamp_seconds",)] == 1_700_000_000.0
    assert 0 < found["trafficsplit_latency_seconds", "0.5", "green"] < 0.1


def test_counters_add_up_and_gauges_are_the_latest() -> None:
    metrics = Metrics()
    for name in ("ordinary", "lossy", "ordinary"):
        metrics.take(result_of(name))
    metrics.take(result_of("lossy", 1_700_000_009.0))
    found = samples(metrics)
    assert found["trafficsplit_requests_total", "blue"] == 2 * 6000 + 2 * 60
    assert found["trafficsplit_requests_total", "errors"] == 18
    assert found["trafficsplit_verifications_total", "match"] == 2
    assert found["trafficsplit_verifications_total", "mismatch"] == 2
    assert found["trafficsplit_verdict", "match"] == 0
    assert found["trafficsplit_verdict", "mismatch"] == 1
    assert found[("trafficsplit_finished_timestamp_seconds",)] == 1_700_000_009.0


@pytest.mark.parametrize("name", RUNS)
def test_whatever_a_run_came_to_can_be_shown(name: str) -> None:
    metrics = Metrics()
    metrics.take(result_of(name))
    assert sum(samples(metrics)["trafficsplit_verdict", verdict] for verdict in VERDICTS) == 1


def test_one_that_came_to_nothing_is_an_error_and_has_no_figures() -> None:
    metrics = Metrics()
    metrics.take(Result(verification(), {}, "broken", 5.0))
    found = samples(metrics)
    assert found["trafficsplit_verdict", "error"] == 1
    assert found["trafficsplit_verifications_total", "error"] == 1
    assert not any(key[0] == "trafficsplit_share" for key in found)


def test_gates_do_not_share_their_metrics() -> None:
    one = Metrics()
    one.take(result_of("ordinary"))
    other = Metrics()
    assert not any(key[0] == "trafficsplit_verdict" for key in samples(other))
    other.running.set(3)
    assert samples(other)[("trafficsplit_running",)] == 3
