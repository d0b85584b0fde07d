"""From a question and a tally to a verdict, by the fixed-sample test."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from analysis.fixed import FixedTest, chi_square
from analysis.question import Question
from analysis.split import Split
from analysis.tally import Tally
from analysis.verdict import Judgement, Verdict


def decided_early(question: Question, tally: Tally) -> bool:
    """Whether more requests up to the plan can no longer change the verdict.

    So it is when more requests have failed than the whole run may fail, and when a variant of
    weight 0 has answered. Nothing else of a fixed-sample test may be looked at before its end.
    """
    return tally.lost > question.max_failing * question.requests or bool(
        unexpected(question.split, tally)
    )


def unexpected(split: Split, tally: Tally) -> dict[str, int]:
    """Counts of the variants that should not have answered at all."""
    return {v: count for v, count in tally.counts.items() if count and split[v] == 0}


def judge_fixed(
    question: Question,
    tally: Tally,
    *,
    unreachable: str = "",
    interrupted: str = "",
    losses: Mapping[str, int] = MappingProxyType({}),
) -> Judgement:
    """The verdict of the chi-square test (DESIGN.md 4, `--test fixed`).

    `unreachable` says why the gateway could not be asked at all, `interrupted` what ended the run
    before its plan, `losses` counts the reasons of what is lost.

    `failing` where too many requests are lost; `mismatch` for any answer of a variant of weight 0,
    or a p-value below alpha; `inconclusive` where fewer requests were sent than planned, where
    they lack the power to see a deviation of one tolerance, or where the verdict hangs on what the
    lost ones would have been; otherwise `match`.
    """
    if unreachable:
        return Judgement(Verdict.FAILING, unreachable)
    if failing := _failing(question, tally, losses):
        return Judgement(Verdict.FAILING, failing)
    if surprise := unexpected(question.split, tally):
        variant, count = next(iter(surprise.items()))
        return Judgement(Verdict.MISMATCH, _surprise(question.split, variant, count, tally))
    if tally.requests < question.requests:
        done = f"{tally.requests:,} of {question.requests:,} requests"
        why = interrupted or "the run ended early"
        return Judgement(Verdict.INCONCLUSIVE, f"Only {done} were answered: {why}.")

    test = chi_square(tally.counts, question.split)
    if test.p_value < question.alpha:
        return Judgement(Verdict.MISMATCH, _mismatch(question, tally, test))
    needed = question.needed
    if tally.requests < needed:
        return Judgement(
            Verdict.INCONCLUSIVE,
            f"No deviation was found (p = {show_p(test.p_value)}), but {tally.requests:,} requests "
            f"could have missed one of {points(question.tolerance)}: send {needed:,}.",
        )
    if variant := _hangs_on_losses(question, tally):
        return Judgement(
            Verdict.INCONCLUSIVE,
            f"{tally.lost:,} requests were lost, and if they were all {variant}'s the split would "
            f"not match: mend the errors, then verify again.",
        )
    return Judgement(Verdict.MATCH, _match(question, tally, test))


def _failing(question: Question, tally: Tally, losses: Mapping[str, int]) -> str:
    """Why no split can be judged from what is left; empty where it can."""
    if not tally.requests:
        return ""
    if tally.lost <= question.max_failing * tally.requests:
        return ""
    kinds = []
    if tally.errors:
        kinds.append(f"{tally.errors:,} got no 2xx answer")
    if tally.unidentified:
        kinds.append(f"{tally.unidentified:,} answers named no variant")
    limit = f"{question.max_failing * 100:g} %"
    commonest = max(losses, key=lambda reason: losses[reason], default="")
    why = f" ({'mostly ' if len(losses) > 1 else ''}{commonest})" if commonest else ""
    return (
        f"Of {tally.requests:,} requests {' and '.join(kinds)}{why}, more than {limit}: "
        "no split can be judged from what is left."
    )


def _surprise(split: Split, variant: str, count: int, tally: Tally) -> str:
    configured = "has weight 0" if variant in split else "is not configured"
    times = "once" if count == 1 else f"{count:,} times"
    return f"{variant} {configured}, but answered {times} in {tally.requests:,} requests."


def _mismatch(question: Question, tally: Tally, test: FixedTest) -> str:
    variant = _worst(question, test)
    weight, share = question.split[variant], tally.share(variant) or 0.0
    more = "more" if share > weight else "less"
    return (
        f"{variant} gets {share * 100:.1f} % of {tally.identified:,} responses, "
        f"{points(abs(share - weight))} {more} than its {weight * 100:g} % "
        f"(chi-square p = {show_p(test.p_value)})."
    )


def _match(question: Question, tally: Tally, test: FixedTest) -> str:
    split = question.split
    if len(split.positive) == 1:
        variant = next(iter(split.positive))
        return (
            f"All {tally.identified:,} responses came from {variant}: any other variant's share "
            f"is below {question.zero_tolerance * 100:g} %."
        )
    shares = ", ".join(
        f"{variant} {(tally.share(variant) or 0) * 100:.1f} % (weight {weight * 100:g} %)"
        for variant, weight in split.positive.items()
    )
    return (
        f"The split is as configured in {tally.identified:,} responses: {shares}; a deviation of "
        f"{points(question.tolerance)} would have been seen (chi-square p = "
        f"{show_p(test.p_value)})."
    )


def _worst(question: Question, test: FixedTest) -> str:
    # The last of equals: of two variants, which mirror each other, the canary.
    return max(reversed(list(question.split)), key=lambda variant: abs(test.residuals[variant]))


def _hangs_on_losses(question: Question, tally: Tally) -> str:
    """A variant that would not match if all lost requests had been its own; empty if none."""
    if not tally.lost:
        return ""
    for variant in question.split:
        counts = dict(tally.counts)
        counts[variant] = counts.get(variant, 0) + tally.lost
        if chi_square(counts, question.split).p_value < question.alpha:
            return variant
    return ""


def points(fraction: float) -> str:
    """A difference of shares, in percentage points."""
    value = f"{fraction * 100:.2g}" if fraction < 0.1 else f"{fraction * 100:.1f}"
    return f"{value} point" if value == "1" else f"{value} points"


def show_p(p: float) -> str:
    """A p-value with two significant digits."""
    return f"{p:.2g}" if p > 1e-300 else "less than 1e-300"
