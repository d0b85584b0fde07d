"""The verdict's sentences: one line each that a person can act on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from trafficsplit.analysis.comparison import (
    CLEARLY,
    Comparison,
    Limit,
    baseline_of,
    least_answers,
)
from trafficsplit.analysis.fixed import FixedTest, standardised_residuals
from trafficsplit.analysis.gateways import GatewayComparison, OneGateway
from trafficsplit.analysis.independence import Independence
from trafficsplit.analysis.planning import BUDGET_QUANTILE, requests_to_match
from trafficsplit.analysis.question import Question
from trafficsplit.analysis.run import CanaryLimits, Gateway, Run, SourceReading
from trafficsplit.analysis.split import Split
from trafficsplit.analysis.stationarity import Change
from trafficsplit.analysis.tally import Tally

NEAR_THE_EDGE = 0.5  # of the tolerance, on either side of it
DISPERSED = 1.5  # a dispersion from which on it is said


def points(fraction: float) -> str:
    """Return a difference of shares, in percentage points."""
    value = f"{fraction * 100:.1f}"
    if fraction < 0.1:
        value = f"{fraction * 100:.2g}"
    if value == "1":
        return "1 point"
    return f"{value} points"


def show_p(p: float) -> str:
    """Return a p-value with two significant digits."""
    if p <= 1e-300:
        return "less than 1e-300"
    return f"{p:.2g}"


def oddest(split: Split, tally: Tally) -> str:
    """Return the variant whose share is farthest from its weight, in standard deviations."""
    residuals = standardised_residuals(tally.counts, split)
    # The last of equals: of two variants, which mirror each other, the canary.
    return max(reversed(list(split)), key=lambda variant: round(abs(residuals[variant]), 6))


def _per_cent(tally: Tally, variant: str) -> float:
    return 100 * (tally.share(variant) or 0.0)


# --- match and mismatch ---


def match(run: Run, test: FixedTest | None = None) -> str:
    """Return that the split matches; `test` is the fixed-sample test, if that is the judge."""
    question = run.question
    tally = run.tally
    positive = question.split.positive
    if len(positive) == 1:
        variant = next(iter(positive))
        return (
            f"All {tally.identified:,} responses came from {variant}: any other variant's share "
            f"is below {question.zero_tolerance * 100:g} %{_though_lost(tally)}."
        )
    shares = ", ".join(
        f"{variant} {_per_cent(tally, variant):.1f} % (weight {weight * 100:g} %)"
        for variant, weight in positive.items()
    )
    together = ""
    if run.counted.gateways:
        together = f" of {len(run.counted.gateways)} gateways, and at each of them"
    sentence = f"The split is as configured in {tally.identified:,} responses{together}: {shares}"
    if test is None:
        return f"{sentence}, each within {points(question.tolerance)}{_though_lost(tally)}."
    return (
        f"{sentence}; a deviation of {points(question.tolerance)} would have been seen (chi-square "
        f"p = {show_p(test.p_value)})."
    )


def _though_lost(tally: Tally) -> str:
    """Return that a match holds whichever variants the lost requests were for; empty if none is."""
    if not tally.lost:
        return ""
    number = "one lost request" if tally.lost == 1 else f"{tally.lost:,} lost requests"
    return f", even if the {number} had been any variant's"


def mismatch(run: Run, variant: str, evidence: str = "") -> str:
    """Return by how much a variant's share is off its weight.

    `evidence` ends the sentence, as ` (chi-square p = 0.001)` does.
    """
    weight = run.question.split[variant]
    share = run.tally.share(variant) or 0.0
    more = "more" if share > weight else "less"
    return (
        f"{variant} gets {share * 100:.1f} % of {run.tally.identified:,} responses, "
        f"{points(abs(share - weight))} {more} than its {weight * 100:g} %{evidence}."
    )


def mismatch_since(run: Run, gateway: str, variant: str, change: Change) -> str:
    """Return what a variant has got since a change, at one gateway; its name is empty for one."""
    where = f"{gateway} gives {variant}" if len(run.gateways) > 1 else f"{variant} gets"
    return (
        f"Since {change.at:.1f} s {where} {100 * change.after.get(variant, 0.0):.1f} % and not its "
        f"{100 * run.question.split[variant]:g} % ({100 * change.before.get(variant, 0.0):.1f} % "
        "before)."
    )


def surprise(split: Split, counts: Mapping[str, int], tally: Tally) -> str:
    """Return which variant answered though it is to get nothing, and how often."""
    variant, count = next(iter(counts.items()))
    configured = "has weight 0" if variant in split else "is not configured"
    times = "once" if count == 1 else f"{count:,} times"
    return f"{variant} {configured}, but answered {times} in {tally.requests:,} requests."


def at_gateways(run: Run, gateways: GatewayComparison | None) -> str:
    """Return which of several gateways is not as configured; empty if none is singled out."""
    if gateways is None or not gateways.off:
        return ""
    split = run.question.split
    parts = [_gateway_that_is_off(split, one) for one in gateways.off]
    others = [one for one in gateways.each if not one.off]
    rest = sum((one.tally for one in others), Tally())
    if rest.identified:
        gives = "the other gateway gives"
        if len(others) > 1:
            gives = f"the other {len(others)} gateways give"
        variant = oddest(split, gateways.off[0].tally)
        parts.append(f"{gives} it {_per_cent(rest, variant):.1f} %")
    return "; ".join(parts) + "."


def _gateway_that_is_off(split: Split, one: OneGateway) -> str:
    variant = oddest(split, one.tally)
    return (
        f"{one.name} gives {variant} {_per_cent(one.tally, variant):.1f} % of "
        f"{one.tally.identified:,} responses and not its {100 * split[variant]:g} %"
    )


def unlike_gateways(run: Run, gateways: GatewayComparison) -> str:
    """Return that gateways differ, by the test of their homogeneity."""
    reason = at_gateways(run, gateways) or "The gateways do not split alike"
    p_value = 1.0 if gateways.p_value is None else gateways.p_value
    return f"{reason.removesuffix('.')} (homogeneity: p = {show_p(p_value)})."


# --- failing ---


def failing(run: Run) -> str:
    """Return how many requests were lost, and the commonest reason."""
    tally = run.tally
    kinds = []
    if tally.errors:
        kinds.append(f"{tally.errors:,} got no 2xx answer")
    if tally.unidentified:
        kinds.append(f"{tally.unidentified:,} answers named no variant")
    return (
        f"Of {tally.requests:,} requests {' and '.join(kinds)}{why_lost(run.counted.losses)}, more "
        f"than {run.question.max_failing * 100:g} %: no split can be judged from what is left."
    )


def failing_at_first(run: Run) -> str:
    """Return how many requests had been lost when that was too many, and how many were in all."""
    ending = run.ending
    tally = run.tally
    return (
        f"Of the first {ending.sent_then:,} requests {ending.lost_then:,} were lost"
        f"{why_lost(run.counted.losses)}, more than {run.question.max_failing * 100:g} %: no split "
        f"can be judged from what was left. In the end it was {tally.lost:,} of {tally.requests:,}."
    )


def why_lost(losses: Mapping[str, int]) -> str:
    """Return the commonest reason of lost requests in brackets; empty if none is known."""
    if not losses:
        return ""
    commonest = max(losses, key=lambda reason: losses[reason])
    if len(losses) == 1:
        return f" ({commonest})"
    return f" (mostly {commonest})"


def too_slow(one: Comparison, limits: CanaryLimits) -> str:
    """Return by how much a canary is too slow."""
    return (
        f"{one.canary} is too slow: its p99 is {one.p99_ratio or 0:.2f} times "
        f"{one.baseline}'s, more than --max-p99-ratio {limits.max_p99_ratio:g} "
        f"(p = {show_p(one.p99_p_value)})."
    )


def too_faulty(one: Comparison, limits: CanaryLimits) -> str:
    """Return by how much more often a canary fails."""
    times = f"and {one.baseline} never"
    if one.error_ratio:
        times = f"{one.error_ratio:.2f} times {one.baseline}'s share"
    return (
        f"{one.canary} fails too often: {times}, more than --max-error-ratio "
        f"{limits.max_error_ratio:g} (p = {show_p(one.errors_p_value)})."
    )


# --- inconclusive ---


def limits_left_open(run: Run, comparisons: Sequence[Comparison]) -> Iterator[str]:
    """Yield a sentence for each limit of a canary that is neither exceeded nor shown to be kept."""
    compared = {one.canary for one in comparisons}
    baseline = baseline_of(run.question)
    for variant in run.question.split.positive:
        if variant not in compared and variant != baseline:
            yield (
                f"It is not shown that {variant} is no worse than {baseline}: no latencies of both "
                "are known."
            )
    for one in comparisons:
        if one.p99_limit is Limit.OPEN:
            yield _p99_left_open(one, run)
        if one.errors_limit is Limit.OPEN:
            yield _errors_left_open(one, run)


def _p99_left_open(one: Comparison, run: Run) -> str:
    """Return why a canary may be too slow."""
    limit = run.canary.max_p99_ratio or 1.0
    least = least_answers(run.question.alpha)
    together = ""
    if one.dispersion > DISPERSED:
        together = (
            f" (slow answers come together: {one.dispersion:.1f} of them say as much as one alone)"
        )
    why = (
        f"it could still be more than {CLEARLY * limit:g} times, by {one.answers:,} and "
        f"{one.baseline_answers:,} answers{together}"
    )
    measured = one.p99_ratio or 0.0
    if min(one.answers, one.baseline_answers) < least:
        why = (
            f"{one.answers:,} and {one.baseline_answers:,} answers, with {measured:.2f} times, are "
            f"too few: {least:,} each are the least"
        )
    elif measured > limit:
        why = f"it is {measured:.2f} times, which may be chance{together}"
    return (
        f"It is not shown that {one.canary}'s p99 is at most {limit:g} times {one.baseline}'s "
        f"(--max-p99-ratio): {why}."
    )


def _errors_left_open(one: Comparison, run: Run) -> str:
    """Return why a canary may fail too often."""
    limit = run.canary.max_error_ratio or 1.0
    requests = one.answers + one.canary_errors
    why = f"{one.canary_errors:,} errors in {requests:,} of its requests may be chance"
    if one.unnamed_errors:
        why = (
            f"{one.unnamed_errors:,} errors name no variant, and they may all have been "
            f"{one.canary}'s"
        )
    elif not one.canary_errors:
        why = f"{requests:,} of its requests are too few"
    return (
        f"It is not shown that {one.canary} fails at most {limit:g} times as often as "
        f"{one.baseline} (--max-error-ratio): {why}."
    )


def source_unread(source: SourceReading) -> str:
    """Return that it is not known whether the weights changed meanwhile."""
    return (
        f"Whether the weights of {source.name} changed meanwhile is not known, since they could "
        f"not be read again: {source.unread}."
    )


def gateway_moved(source: SourceReading) -> str:
    """Return that the gateway's addresses changed while it was verified."""
    return (
        f"The gateway of {source.name} changed its addresses while it was verified ({source.moved}"
        "): verify again."
    )


def source_changed(name: str, before: Split, after: Split) -> str:
    """Return that the weights changed while they were verified."""
    return (
        f"The weights of {name} changed while they were verified, from {before} to {after}: "
        "verify again."
    )


def clustered(run: Run, order: Independence) -> str:
    """Return that draws are not independent, and what to do."""
    advice = "so the shares say little, however many requests are sent"
    if run.subject.unit == "request" and order.by_connection:
        advice = (
            "verify with --unit session, where each request is a new connection without cookies"
        )
    return f"The draws are not independent: {order.reason}; {advice}."


def changed(run: Run, change: Change) -> str:
    """Return that the split changed in mid-run, and that what came since is not enough."""
    before = Tally(run.tally.counts)
    variant = oddest(run.question.split, before)
    return (
        f"The split changed in mid-run, after {change.at:.1f} s: {variant} got "
        f"{100 * change.before.get(variant, 0.0):.1f} % before and "
        f"{100 * change.after.get(variant, 0.0):.1f} % since, which is no verdict by itself: "
        "verify again."
    )


def too_short(run: Run, switches: int) -> str:
    """Return that the variants took turns too seldom to tell their shares from a turn's length."""
    if run.counted.cached:
        return (
            f"{run.counted.cached:,} of {run.tally.identified:,} responses came out of a cache, "
            "which gives one answer again and again: send requests past it."
        )
    times = "never" if not switches else f"only {switches:,} times"
    return (
        f"The variant changed {times} in {run.tally.identified:,} responses within "
        f"{run.subject.elapsed:.1f} s: that may be one turn of a gateway that deals in blocks, or "
        "of a cache. Give more --requests, or a lower --rate."
    )


def dependent(run: Run, scale: float) -> str:
    """Return by how much the responses say less than independent ones."""
    return (
        f"Successive responses come from the same variant more often than by chance, so that "
        f"{run.tally.identified:,} say no more than {run.tally.identified / scale:,.0f} "
        "independent ones: a cache, or a gateway that deals in turns. Give more --requests, or "
        "send them past the cache."
    )


def differing_replicas(run: Run) -> str:
    """Return that replicas behind one address have other weights than each other."""
    return (
        f"The gateways behind {run.subject.host or 'the address'} differ: connections get other "
        "shares from one another, by more than the tolerance allows."
    )


def saved_by_losses(run: Run) -> str:
    """Return which variant fails, where the shares are as configured if all losses are its own."""
    split = run.question.split
    tally = run.tally
    variant = min(split.positive, key=lambda name: (tally.share(name) or 0.0) - split[name])
    counted = tally.counts.get(variant, 0)
    return (
        f"{variant} fails: it answered {counted:,} of {tally.requests:,} requests, far fewer than "
        f"its {split[variant] * 100:g} %, and the {tally.lost:,} that were lost make up for it"
        f"{why_lost(run.counted.losses)}."
    )


def dealt_in_blocks(block: int) -> str:
    """Return the remark that a gateway deals its split in blocks."""
    return (
        f"Note: the gateway deals the split in blocks of {block:,} responses, within which one "
        "variant comes after the other, and so keeps it better than chance would."
    )


def ended_early(run: Run) -> str:
    """Return how many of the planned requests were answered, and why no more."""
    most = "at most " if run.question.test == "sequential" else ""
    done = f"{run.tally.requests:,} of {most}{run.question.requests:,} requests"
    return f"Only {done} were answered: {run.ending.interrupted or 'the run ended early'}."


def undecided(run: Run, losses_of: str) -> str:
    """Return why a sequential run ended without an answer.

    `losses_of` is the variant whose lost requests are the reason, empty if they are not.
    """
    question = run.question
    tally = run.tally
    if tally.requests < question.requests:
        return ended_early(run)
    if not tally.identified:
        return "No response named a variant."
    likely = requests_to_match(question, BUDGET_QUANTILE)
    if tally.requests < likely:
        usual = requests_to_match(question, 0.5)
        return (
            f"{tally.requests:,} requests were not enough: a match within "
            f"{points(question.tolerance)} takes {usual:,} as a rule, and hardly ever more than "
            f"{likely:,}."
        )
    if losses_of:
        return (
            f"{tally.lost:,} requests were lost, and if they were all {losses_of}'s the split "
            "might not match: fix the errors, then verify again."
        )
    return f"{tally.requests:,} requests were not enough: {_least_certain(run)}"


def _least_certain(run: Run) -> str:
    """Return where the oddest share is; with several gateways, at the one that is farthest off."""
    question = run.question
    if not run.counted.gateways:
        return _where_it_is(question, run.tally)

    def distance(gateway: Gateway) -> float:
        variant = oddest(question.split, gateway.tally)
        return abs((gateway.tally.share(variant) or 0.0) - question.split[variant])

    farthest = max(run.counted.gateways, key=distance)
    return f"at {farthest.name} {_where_it_is(question, farthest.tally)}"


def _where_it_is(question: Question, tally: Tally) -> str:
    """Return where the oddest share is: in the band, near its edge, or beyond it."""
    variant = oddest(question.split, tally)
    weight = question.split[variant]
    tolerance = question.tolerance_of(variant)
    where = (
        f"{variant} got {_per_cent(tally, variant):.2f} %, and its weight is {weight * 100:g} ± "
        f"{tolerance * 100:g} %."
    )
    beyond = abs((tally.share(variant) or 0.0) - weight) - tolerance
    if abs(beyond) <= tolerance * NEAR_THE_EDGE:
        return (
            f"{where} Such a share is near the edge of the tolerance: give more --requests, or "
            "another --tolerance."
        )
    if beyond < 0:
        return f"{where} Give more --requests."
    return (
        f"{where} That is {points(beyond)} beyond the tolerance, but not yet certain: give more "
        "--requests."
    )


def too_little_power(run: Run, test: FixedTest, needed: int) -> str:
    """Return that a fixed-sample test could have missed a deviation."""
    return (
        f"No deviation was found (p = {show_p(test.p_value)}), but {run.tally.requests:,} requests "
        f"could have missed one of {points(run.question.tolerance)}: send {needed:,}."
    )


def hangs_on_losses(lost: int, variant: str) -> str:
    """Return that the verdict depends on which variant the lost requests were for."""
    return (
        f"{lost:,} requests were lost, and if they were all {variant}'s the split would not match: "
        "fix the errors, then verify again."
    )
