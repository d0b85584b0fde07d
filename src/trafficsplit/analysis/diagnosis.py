"""Why is the split not as configured? The cause that the counts support, with advice.

A cause is named only if the counts support it against everything else, "something else" included
(`analysis.causes.weighing`). Otherwise the summary says which causes the counts leave open, and
asks.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

from trafficsplit.analysis.causes.candidates import Facts, other_variants, weigh_causes
from trafficsplit.analysis.causes.explanation import Diagnosis, Explanation
from trafficsplit.analysis.causes.of_losses import causes_of_losses
from trafficsplit.analysis.causes.signs import causes_by_signs
from trafficsplit.analysis.causes.weighing import Weighed, Weighing
from trafficsplit.analysis.dependence import dependence
from trafficsplit.analysis.independence import Independence
from trafficsplit.analysis.latency import middle_of
from trafficsplit.analysis.plain import moment_of
from trafficsplit.analysis.run import Run
from trafficsplit.analysis.verdict import Judgement, Verdict

LATELY = 30.0  # seconds: weights that were set so shortly before may not be in force yet
MOST_RIVALS = 2  # named beside the first
FEWEST = 20  # responses, below which the shares say nothing
FEWEST_LATENCIES = 20  # of each variant, below which its speed is not known
NOTHING_FITS = "None of the known causes fits the shares that were seen."


def diagnose(run: Run, judgement: Judgement, draws: Independence) -> Diagnosis | None:
    """Return what may be wrong; None for a match, and without data enough to say anything."""
    if judgement.verdict is Verdict.MATCH or run.ending.unreachable:
        return None
    facts = facts_of(run)
    signs = tuple(_signs(run, judgement, draws, facts))
    if signs:
        first = signs[0]
        return Diagnosis(first.advice, signs, first.name if first.certain else "")
    if run.question.user_requests:  # causes of shares are compared by independent requests
        return None
    if judgement.verdict is not Verdict.MISMATCH or run.tally.identified < FEWEST:
        return None
    found = _by_shares(facts, _as_independent(run))
    late = set_lately(run)
    return replace(found, summary=f"{found.summary} {late}") if late else found


def set_lately(run: Run) -> str:
    """Return that the weights were set shortly before the run, and may not be in force; or empty.

    A control plane with much to do takes seconds.
    """
    source = run.source
    if source is None or not source.set_at or not run.subject.started_at:
        return ""
    age = moment_of(run.subject.started_at) - moment_of(source.set_at)
    seconds = age.total_seconds()
    if not 0 <= seconds <= LATELY:
        return ""
    return (
        f"The weights of {source.name} had been set {seconds:.0f} s before: those of before may "
        f"still be in force. Verify again, or with --settle {LATELY:.0f}s."
    )


def facts_of(run: Run) -> Facts:
    """Return what is known of a run beside its counts."""
    return Facts(run.question, run.previous, run.others, _speeds(run))


def _signs(
    run: Run, judgement: Judgement, draws: Independence, facts: Facts
) -> Sequence[Explanation]:
    """Return the causes that show in something else than the shares."""
    found: list[Explanation] = []
    tally = run.tally
    failing = judgement.verdict is Verdict.FAILING
    if tally.lost and (failing or tally.lost > run.question.max_failing * tally.requests):
        found += causes_of_losses(run)
    return [*found, *causes_by_signs(run, draws, facts)]


def _as_independent(run: Run) -> Mapping[str, int]:
    """Return the counts of as many independent draws as say what a run's responses do.

    The responses of a user count as one draw.
    """
    scale = max(dependence(gateway.order).scale for gateway in run.gateways)
    scale = max(scale, run.question.user_requests)
    counts = run.tally.counts
    if scale <= 1:
        return counts
    return {variant: math.ceil(count / scale) for variant, count in counts.items()}


def _speeds(run: Run) -> Mapping[str, float]:
    """Return the mean latency of each variant that has answered often enough, in milliseconds."""
    speeds = {}
    for key, buckets in run.counted.latency.items():
        number = sum(buckets.values())
        if key.variant and key.status == "2xx" and number >= FEWEST_LATENCIES:
            total = sum(middle_of(bucket) * count for bucket, count in buckets.items())
            speeds[key.variant] = total / number
    return speeds


def _by_shares(facts: Facts, counts: Mapping[str, int]) -> Diagnosis:
    weighing = weigh_causes(facts, counts)
    explanations = tuple(map(_explanation, weighing.fitting))
    found = weighing.found
    if found is None:
        return Diagnosis(_open(other_variants(facts.split, counts), weighing), explanations)
    cause = "" if found.candidate.asks else found.candidate.name
    return Diagnosis(found.candidate.advice, explanations, cause)


def _explanation(one: Weighed) -> Explanation:
    candidate = one.candidate
    certain = one.supported and not candidate.asks
    return Explanation(candidate.name, candidate.advice, one.log_likelihood, certain)


def _open(strange: Sequence[str], weighing: Weighing) -> str:
    """Return what the counts leave open; `strange` are variants that are not configured."""
    if not weighing.fitting and strange:
        return (
            f"{' and '.join(strange)} answered, which is not configured: does another version run "
            "behind the gateway, or has a variant another name in its answers (--map)?"
        )
    if not weighing.fitting:
        return NOTHING_FITS
    names = list(dict.fromkeys(one.candidate.name for one in weighing.rivals))
    shown = "; or ".join(names[: MOST_RIVALS + 1])
    if len(names) > MOST_RIVALS + 1:
        shown += "; and others"
    return f"The counts do not tell these apart: {shown}; or something else."
