"""The verdict document: what a run found, as a type; verdict.json is this type as JSON.

The published schema (verdict.schema.json) is held against it by a test. Shares and weights are
fractions; mappings are by variant.
"""

from __future__ import annotations

import dataclasses
import datetime
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from trafficsplit import __version__
from trafficsplit.analysis.causes.explanation import Diagnosis
from trafficsplit.analysis.comparison import Comparison, compare, interval
from trafficsplit.analysis.diagnosis import diagnose
from trafficsplit.analysis.fixed import FixedTest, chi_square
from trafficsplit.analysis.fixed_power import power
from trafficsplit.analysis.gateways import OneGateway, compare_gateways
from trafficsplit.analysis.independence import Draws, Independence
from trafficsplit.analysis.judge import draws_of, replay
from trafficsplit.analysis.latency import quantile
from trafficsplit.analysis.proven import proven_by
from trafficsplit.analysis.run import Run
from trafficsplit.analysis.stationarity import change_in
from trafficsplit.analysis.user_draws import as_draws, interval_of
from trafficsplit.analysis.user_judge import replay_users
from trafficsplit.analysis.verdict import Judgement, Verdict
from trafficsplit.report.remarks import remarks
from trafficsplit.report.users import UsersSection, users_section

PROVEN_TO_SPEAK_OF = 20.0  # points: a wider tolerance that is proven says nothing
ROUNDING = 1e-9
QUANTILES = {"p50": 0.5, "p90": 0.9, "p99": 0.99, "p99.9": 0.999}
Quantiles = dict[str, float | None]
Interval = list[float]  # its low end and its high end


@dataclass(frozen=True)
class Evidence:
    """Natural logarithms of the evidence; None: infinite.

    `match` becomes a verdict at `threshold`, `mismatch` at `mismatch_threshold`.
    """

    match: float | None
    mismatch: float | None
    exactly_as_configured: float | None
    threshold: float
    mismatch_threshold: float


@dataclass(frozen=True)
class ChangeSection:
    """When the shares changed during the run, in seconds since its start and as times in UTC."""

    at: float
    earliest: float
    latest: float
    began: float
    at_time: str
    earliest_time: str
    latest_time: str
    began_time: str
    mixed_seconds: float
    before: Mapping[str, float]
    after: Mapping[str, float]


@dataclass(frozen=True)
class ChiSquare:
    """The fixed-sample tests. None: infinite; `power` is None if no deviation could be seen."""

    statistic: float | None
    dof: int
    p_value: float
    g_statistic: float | None
    g_p_value: float
    effect_size: float | None
    residuals: Mapping[str, float | None]
    method: str
    power: float | None


@dataclass(frozen=True)
class SenderSection:
    """How well the sending side kept up, with remarks for people."""

    client: str
    processes: int
    lost: int
    cpu: float
    lag: float
    rate: float
    achieved: float
    late: int
    remarks: list[str]


@dataclass(frozen=True)
class GatewaySection:
    """What one of several gateways did; `off` says that it surely does not split as configured."""

    name: str
    requests: int
    errors: int
    unidentified: int
    observed: Mapping[str, int]
    shares: Mapping[str, float | None]
    confidence: Mapping[str, Interval]
    mismatch_evidence: float | None
    off: bool


@dataclass(frozen=True)
class Homogeneity:
    """Pearson's test that all gateways split alike; None if it cannot be made."""

    statistic: float | None
    dof: int
    p_value: float | None


@dataclass(frozen=True)
class GatewaysSection:
    """Each of several gateways by itself."""

    each: list[GatewaySection]
    homogeneity: Homogeneity


@dataclass(frozen=True)
class VerdictDocument:
    """All that a run found. The names are those of verdict.json."""

    verdict: Verdict
    reason: str
    test: str
    expected: Mapping[str, float]
    observed: Mapping[str, int]
    shares: Mapping[str, float | None]
    confidence: Mapping[str, Interval]
    proven_within: float | None
    evidence: Evidence
    independence: Independence
    change: ChangeSection | None
    diagnosis: Diagnosis | None
    requests: int
    decided_after: int
    budget: int
    errors: int
    unidentified: int
    losses: Mapping[str, int]
    tolerance: float
    tolerances: Mapping[str, float]
    max_failing: float
    alpha: float
    mismatch_alpha: float
    chi_square: ChiSquare
    latency_ms: Mapping[str, Quantiles]
    latency_interval_ms: Mapping[str, dict[str, Interval | None]]
    comparison: list[Comparison]
    sender: SenderSection
    elapsed_seconds: float
    requests_per_second: float
    users: int
    unit: str
    settle_seconds: float
    host: str
    gateways: GatewaysSection | None
    of_users: UsersSection | None
    path: str
    started_at: str
    interrupted: str
    command: str
    version: str
    run_id: str
    phases: Mapping[str, float] = field(default_factory=dict)

    @property
    def lost(self) -> int:
        """Requests that say nothing about the split."""
        return self.errors + self.unidentified

    def as_plain(self) -> dict[str, Any]:
        """Return the document as data that JSON can hold."""
        plain = dataclasses.asdict(self)
        plain["verdict"] = str(self.verdict)
        plain["independence"]["draws"] = str(self.independence.draws)
        return plain

    def as_json(self) -> str:
        """Return the document as verdict.json has it, and as `--json` prints it."""
        return json.dumps(self.as_plain(), indent=2, ensure_ascii=False, allow_nan=False)


def document_of(
    run: Run, judgement: Judgement, phases: Mapping[str, float] | None = None
) -> VerdictDocument:
    """Return the verdict document of a run. `phases` are the seconds that each phase took."""
    question = run.question
    tally = run.tally
    subject = run.subject
    variants = list(tally.counts)
    draws = draws_of(run)
    drawn = as_draws(run)
    return VerdictDocument(
        verdict=judgement.verdict,
        reason=judgement.reason,
        test=question.test,
        expected={variant: question.split[variant] for variant in variants},
        observed=dict(tally.counts),
        shares={variant: drawn.tally.share(variant) for variant in variants},
        confidence={variant: list(interval_of(drawn, variant)) for variant in variants},
        proven_within=_proven_within(drawn, draws),
        evidence=_evidence(run),
        independence=draws,
        change=_change(drawn),
        diagnosis=diagnose(run, judgement, draws),
        requests=tally.requests,
        decided_after=run.ending.decided_after,
        budget=question.requests,
        errors=tally.errors,
        unidentified=tally.unidentified,
        losses=dict(run.counted.losses),
        tolerance=question.tolerance,
        tolerances={variant: question.tolerance_of(variant) for variant in variants},
        max_failing=question.max_failing,
        alpha=question.alpha,
        mismatch_alpha=question.alpha_of_mismatch,
        chi_square=_chi_square(drawn, chi_square(drawn.tally.counts, question.split)),
        latency_ms=_latency(run),
        latency_interval_ms=_latency_intervals(run),
        comparison=compare(run),
        sender=SenderSection(**dataclasses.asdict(run.sender), remarks=remarks(run)),
        elapsed_seconds=round(subject.elapsed, 3),
        requests_per_second=round(run.requests_per_second, 1),
        users=subject.users,
        unit=subject.unit,
        settle_seconds=subject.settle,
        host=subject.host,
        gateways=_gateways(drawn),
        of_users=users_section(run),
        path=subject.path,
        started_at=subject.started_at,
        interrupted=run.ending.interrupted,
        command=subject.command,
        version=__version__,
        run_id=subject.run_id,
        phases=dict(phases or {}),
    )


def _finite(value: float) -> float | None:
    """Return a number, None if it is infinite: JSON has no infinity."""
    if not math.isfinite(value):
        return None
    return value


def _proven_within(run: Run, draws: Independence) -> float | None:
    """Return the smallest tolerance that the counts prove; None if they are no draws."""
    if draws.draws is Draws.CLUSTERED:
        return None
    return proven_by(run)


def _evidence(run: Run) -> Evidence:
    test = replay(as_draws(run))
    if run.question.user_requests:
        of_users = replay_users(run)
        return Evidence(
            match=_finite(of_users.log_match),
            mismatch=_finite(of_users.log_mismatch),
            exactly_as_configured=_finite(test.log_exact()),
            threshold=of_users.threshold,
            mismatch_threshold=of_users.mismatch_threshold,
        )
    return Evidence(
        match=_finite(test.log_match),
        mismatch=_finite(test.log_mismatch),
        exactly_as_configured=_finite(test.log_exact()),
        threshold=test.threshold,
        mismatch_threshold=test.mismatch_threshold,
    )


def _gateways(run: Run) -> GatewaysSection | None:
    compared = compare_gateways(run)
    if compared is None:
        return None
    homogeneity = Homogeneity(compared.statistic, compared.dof, compared.p_value)
    return GatewaysSection(list(map(_gateway, compared.each)), homogeneity)


def _gateway(one: OneGateway) -> GatewaySection:
    tally = one.tally
    variants = list(one.confidence)
    return GatewaySection(
        name=one.name,
        requests=tally.requests,
        errors=tally.errors,
        unidentified=tally.unidentified,
        observed={variant: tally.counts.get(variant, 0) for variant in variants},
        shares={variant: tally.share(variant) for variant in variants},
        confidence={variant: list(ends) for variant, ends in one.confidence.items()},
        mismatch_evidence=_finite(one.log_mismatch),
        off=one.off,
    )


def _change(run: Run) -> ChangeSection | None:
    change = change_in(run)
    if change is None:
        return None
    began = datetime.datetime.fromisoformat(run.subject.started_at)
    return ChangeSection(
        at=change.at,
        earliest=change.earliest,
        latest=change.latest,
        began=change.began,
        at_time=_time_after(began, change.at),
        earliest_time=_time_after(began, change.earliest),
        latest_time=_time_after(began, change.latest),
        began_time=_time_after(began, change.began),
        mixed_seconds=change.mixed,
        before=dict(change.before),
        after=dict(change.after),
    )


def _time_after(began: datetime.datetime, seconds: float) -> str:
    moment = began + datetime.timedelta(seconds=seconds)
    return moment.isoformat(timespec="milliseconds")


def _chi_square(run: Run, test: FixedTest) -> ChiSquare:
    return ChiSquare(
        statistic=_finite(test.statistic),
        dof=test.dof,
        p_value=test.p_value,
        g_statistic=_finite(test.g_statistic),
        g_p_value=test.g_p_value,
        effect_size=_finite(test.effect_size),
        residuals={variant: _finite(r) for variant, r in test.residuals.items()},
        method=test.method,
        power=_power(run),
    )


def _power(run: Run) -> float | None:
    """Return the chance that the chi-square test had to see a deviation of one tolerance."""
    question = run.question
    n = run.tally.identified
    if len(question.split.positive) < 2 or not n:
        return None
    return round(power(question.split, question.tolerance, question.alpha, n), 6)


def _good_latencies(run: Run) -> dict[str, Mapping[int, int]]:
    """Return the latencies of 2xx answers, by variant."""
    latencies = {}
    for key, buckets in run.counted.latency.items():
        if key.status == "2xx" and key.variant:
            latencies[key.variant] = buckets
    return latencies


def _latency(run: Run) -> dict[str, Quantiles]:
    quantiles = {}
    for variant, buckets in _good_latencies(run).items():
        quantiles[variant] = {name: quantile(buckets, q) for name, q in QUANTILES.items()}
    return quantiles


def _latency_intervals(run: Run) -> dict[str, dict[str, Interval | None]]:
    """Return intervals of the quantiles that hold for all of a variant's together.

    Each is at alpha over the number of quantiles (Bonferroni).
    """
    alpha = run.question.alpha / len(QUANTILES)
    intervals: dict[str, dict[str, Interval | None]] = {}
    for variant, buckets in _good_latencies(run).items():
        intervals[variant] = {}
        for name, q in QUANTILES.items():
            ends = interval(buckets, q, alpha)
            intervals[variant][name] = list(ends) if ends else None
    return intervals


def proven_sentence(document: VerdictDocument) -> str:
    """Return which tolerance is proven, rounded up; empty if it says no more than the verdict."""
    proven = document.proven_within
    if proven is None:
        return ""
    points = _rounded_up(100 * proven)
    most = PROVEN_TO_SPEAK_OF
    if document.verdict is Verdict.MATCH:
        most = 100 * document.tolerance
    if points >= most:
        return ""
    each = " at each gateway" if document.gateways else ""
    return (
        f"Proven within {points:g} points: no share is farther from its weight{each}, and this "
        "holds whichever tolerance is asked for afterwards."
    )


def _rounded_up(value: float) -> float:
    """Return a number above 0 with two significant digits, rounded up."""
    unit = 10.0 ** (math.floor(math.log10(value)) - 1)
    return math.ceil(value / unit - ROUNDING) * unit


def further_lines(document: VerdictDocument) -> list[str]:
    """Return what else a person should know, a line each: a change of the split, what to do."""
    lines = []
    if document.change:
        lines.append(f"change: {change_sentence(document.change)}")
    if document.diagnosis:
        lines.append(f"diagnosis: {document.diagnosis.summary}")
    if 0 < document.decided_after < document.requests:
        lines.append(f"note: {after_the_verdict(document)}")
    lines += [f"note: {remark}." for remark in document.sender.remarks]
    return lines


def after_the_verdict(document: VerdictDocument) -> str:
    """Return a sentence on the requests that were sent after the verdict."""
    return (
        f"the verdict was known after {document.decided_after:,} requests; "
        f"{document.requests - document.decided_after:,} more were sent to find the cause "
        "(--no-diagnosis leaves them out)."
    )


def change_sentence(change: ChangeSection) -> str:
    """Return a sentence on when the split changed, and its shares before and after."""
    mixed = ""
    if change.mixed_seconds:
        mixed = f" until {change.began_time[11:23]}, mixed for {change.mixed_seconds:.2f} s"
    return (
        f"{_shares(change.after)} from {change.at_time[11:23]} on (between "
        f"{change.earliest_time[11:23]} and {change.latest_time[11:23]} UTC), "
        f"{_shares(change.before)} before{mixed}."
    )


def _shares(shares: Mapping[str, float]) -> str:
    return ", ".join(f"{variant} {100 * share:.1f} %" for variant, share in shares.items())
