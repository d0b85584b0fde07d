"""The report directory: what a run found, for people and for machines."""

from __future__ import annotations

import datetime
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from analysis import Judgement, Run, chi_square, power, replay
from analysis.comparison import compare, interval
from analysis.diagnosis import Diagnosis, diagnose
from analysis.gateways import compare_gateways
from analysis.independence import Independence
from analysis.judge import draws_of
from analysis.latency import quantile
from analysis.stationarity import change_in
from trafficsplit import __version__

QUANTILES = {"p50": 0.5, "p90": 0.9, "p99": 0.99, "p99.9": 0.999}
ON_SCHEDULE = 0.99  # of the rate, and it is kept
BUSY, LATE = 0.9, 0.02  # of a core; seconds
LONG_ENOUGH = 1.0  # seconds, for these two to mean something


def verdict_object(
    run: Run, judgement: Judgement, phases: Mapping[str, float] | None = None
) -> dict[str, Any]:
    """The contents of verdict.json (trafficsplit/verdict.schema.json; DESIGN.md 5)."""
    question, tally = run.question, run.tally
    test = chi_square(tally.counts, question.split)
    variants = list(tally.counts)
    draws = draws_of(run)
    return {
        "verdict": str(judgement.verdict),
        "reason": judgement.reason,
        "test": question.test,
        "expected": {variant: question.split[variant] for variant in variants},
        "observed": dict(tally.counts),
        "shares": {variant: tally.share(variant) for variant in variants},
        "confidence": {variant: list(run.interval(variant)) for variant in variants},
        "evidence": _evidence(run),
        "independence": _independence(draws),
        "change": _change(run),
        "diagnosis": _diagnosis(diagnose(run, judgement, draws)),
        "requests": tally.requests,
        "budget": question.requests,
        "errors": tally.errors,
        "unidentified": tally.unidentified,
        "losses": dict(run.losses),
        "tolerance": question.tolerance,
        "tolerances": {variant: question.tolerance_of(variant) for variant in variants},
        "max_failing": question.max_failing,
        "alpha": question.alpha,
        "chi_square": {
            "statistic": _finite(test.statistic),
            "dof": test.dof,
            "p_value": test.p_value,
            "g_statistic": _finite(test.g_statistic),
            "g_p_value": test.g_p_value,
            "effect_size": _finite(test.effect_size),
            "residuals": {v: _finite(r) for v, r in test.residuals.items()},
            "method": test.method,
            "power": _power(run),
        },
        "latency_ms": _latency(run),
        "latency_interval_ms": _latency_intervals(run),
        "comparison": [vars(found) for found in compare(run)],
        "sender": {**vars(run.sender), "remarks": remarks(run)},
        "elapsed_seconds": round(run.elapsed, 3),
        "requests_per_second": round(run.requests_per_second, 1),
        "users": run.users,
        "unit": run.unit,
        "settle_seconds": run.settle,
        "host": run.host,
        "gateways": _gateways(run),
        "path": run.path,
        "started_at": run.started_at,
        "interrupted": run.interrupted,
        "phases": {name: round(seconds, 3) for name, seconds in (phases or {}).items()},
        "command": run.command,
        "version": __version__,
    }


def _evidence(run: Run) -> dict[str, float | None]:
    test = replay(run)
    return {
        "match": _finite(test.log_match),
        "mismatch": _finite(test.log_mismatch),
        "exactly_as_configured": _finite(test.log_exact()),
        "threshold": test.threshold,
    }


def _gateways(run: Run) -> dict[str, Any] | None:
    """What each of several gateways did, None where there is one."""
    found = compare_gateways(run)
    if found is None:
        return None
    each = [
        {
            "name": one.name,
            "requests": one.tally.requests,
            "errors": one.tally.errors,
            "unidentified": one.tally.unidentified,
            "observed": {v: one.tally.counts.get(v, 0) for v in one.confidence},
            "shares": {v: one.tally.share(v) for v in one.confidence},
            "confidence": {v: list(ends) for v, ends in one.confidence.items()},
            "mismatch_evidence": _finite(one.log_mismatch),
            "off": one.off,
        }
        for one in found.each
    ]
    test = {"statistic": found.statistic, "dof": found.dof, "p_value": found.p_value}
    return {"each": each, "homogeneity": test}


def _independence(found: Independence) -> dict[str, Any]:
    return {**vars(found), "draws": str(found.draws)}


def _change(run: Run) -> dict[str, Any] | None:
    change = change_in(run)
    if change is None:
        return None
    times = {name: getattr(change, name) for name in ("at", "earliest", "latest", "began")}
    began = datetime.datetime.fromisoformat(run.started_at)
    clock = {
        f"{name}_time": (began + datetime.timedelta(seconds=seconds)).isoformat(
            timespec="milliseconds"
        )
        for name, seconds in times.items()
    }
    return {
        **times,
        **clock,
        "mixed_seconds": change.mixed,
        "before": dict(change.before),
        "after": dict(change.after),
    }


def _diagnosis(found: Diagnosis | None) -> dict[str, Any] | None:
    if found is None:
        return None
    return {"summary": found.summary, "explanations": [vars(e) for e in found.explanations]}


def _finite(value: float) -> float | None:
    """JSON knows no infinity."""
    return value if math.isfinite(value) else None


def _power(run: Run) -> float | None:
    """The chance that the chi-square test had to see a deviation of one tolerance."""
    question, n = run.question, run.tally.identified
    if len(question.split.positive) < 2 or not n:
        return None
    return round(power(question.split, question.tolerance, question.alpha, n), 6)


def _latency(run: Run) -> dict[str, dict[str, float | None]]:
    return {
        key.variant: {name: quantile(buckets, q) for name, q in QUANTILES.items()}
        for key, buckets in run.latency.items()
        if key.status == "2xx" and key.variant
    }


def _latency_intervals(run: Run) -> dict[str, dict[str, list[float] | None]]:
    """Simultaneous for the quantiles of a variant: each at alpha over their number."""
    alpha = run.question.alpha / len(QUANTILES)
    return {
        key.variant: {
            name: list(ends) if (ends := interval(buckets, q, alpha)) else None
            for name, q in QUANTILES.items()
        }
        for key, buckets in run.latency.items()
        if key.status == "2xx" and key.variant
    }


def remarks(run: Run) -> list[str]:
    """What the sending side could not do: nothing of it may pass for the gateway's doing."""
    sender, found = run.sender, []
    if sender.lost:
        some = "a worker was" if sender.lost == 1 else f"{sender.lost} workers were"
        found.append(
            f"{some} lost, with what had not yet been told: these requests are not counted"
        )
    if run.unrecorded:
        found.append(f"the recording is not whole: {run.unrecorded}")
    if sender.rate and sender.achieved < ON_SCHEDULE * sender.rate:
        found.append(
            f"{sender.achieved:,.0f} requests a second were sent and not {sender.rate:,.0f}: "
            "give more --users, or a slower --rate"
        )
    elif sender.late:
        found.append(
            f"{sender.late:,} requests had to wait for a free connection, which their latency "
            "contains: more --users would show what the gateway alone does"
        )
    if run.elapsed >= LONG_ENOUGH and (sender.cpu > BUSY or sender.lag > LATE):
        found.append(
            f"the client itself was busy ({100 * sender.cpu:.0f} % of a core, its event loop up to "
            f"{1000 * sender.lag:.1f} ms late): latencies contain its own"
        )
    return found


def further_lines(verdict: Mapping[str, Any]) -> list[str]:
    """What else a person should know, in a line each: a change of the split, and what to do."""
    lines = []
    if change := verdict["change"]:
        lines.append(f"change: {change_sentence(change)}")
    if diagnosis := verdict["diagnosis"]:
        lines.append(f"diagnosis: {diagnosis['summary']}")
    lines += [f"note: {remark}." for remark in verdict["sender"]["remarks"]]
    return lines


def change_sentence(change: Mapping[str, Any]) -> str:
    """When the split changed, from what to what."""
    sides = [
        ", ".join(f"{v} {100 * share:.1f} %" for v, share in change[side].items())
        for side in ("before", "after")
    ]
    clock = [change[f"{name}_time"][11:23] for name in ("at", "earliest", "latest")]
    mixed = ""
    if change["mixed_seconds"]:
        mixed = f" until {change['began_time'][11:23]}, mixed for {change['mixed_seconds']:.2f} s"
    return (
        f"{sides[1]} from {clock[0]} on (between {clock[1]} and {clock[2]} UTC), {sides[0]} "
        f"before{mixed}."
    )


def write_verdict(verdict: Mapping[str, Any], directory: Path) -> None:
    """Write verdict.json. Raises OSError."""
    (directory / "verdict.json").write_text(as_json(verdict) + "\n", "utf-8")


def as_json(verdict: Mapping[str, Any]) -> str:
    """The verdict as `--json` prints it."""
    return json.dumps(verdict, indent=2, ensure_ascii=False, allow_nan=False)
