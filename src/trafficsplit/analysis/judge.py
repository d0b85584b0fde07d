"""From a run to a verdict, with one sentence that a person can act on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import zip_longest
from typing import Protocol

from analysis.comparison import compare
from analysis.fixed import FixedTest, chi_square, standardised_residuals
from analysis.gateways import GatewayComparison, compare_gateways
from analysis.independence import Draws, Independence, independence
from analysis.planning import BUDGET_QUANTILE, fixed_size, requests_to_match
from analysis.question import Question
from analysis.run import Run
from analysis.sequential import MANY, SequentialTest
from analysis.split import Split
from analysis.stationarity import change_in
from analysis.tally import Tally
from analysis.verdict import Judgement, Verdict


class Watch(Protocol):
    """What looks at a run while it goes on, and says when the answer is known."""

    def look(self, batch: Sequence[Tally]) -> Verdict:
        """Add counts, in order of sending, a tally for each gateway.

        Any verdict but `inconclusive` ends the run.
        """
        ...

    @property
    def least_more(self) -> int:
        """No fewer further responses than this can change the verdict."""
        ...


class FixedWatch:
    """Ends a fixed-sample run early only where more requests can no longer change the verdict.

    So it is when more requests are lost than the whole run may lose, and when a variant of weight
    0 has answered. Nothing else of a fixed-sample test may be looked at before its end.
    """

    def __init__(self, question: Question) -> None:
        self._question = question
        self._lost = 0

    def look(self, batch: Sequence[Tally]) -> Verdict:
        """Add counts; the verdict so far."""
        tally = sum(batch, Tally())
        self._lost += tally.lost
        if unexpected(self._question.split, tally):
            return Verdict.MISMATCH
        if self._lost > self._question.max_failing * self._question.requests:
            return Verdict.FAILING
        return Verdict.INCONCLUSIVE

    @property
    def least_more(self) -> int:
        """Responses of expected variants never end a fixed-sample run early."""
        return MANY


def watch_of(question: Question) -> Watch:
    """What looks at a run that is to answer the question."""
    return FixedWatch(question) if question.test == "fixed" else SequentialTest.of(question)


def judge(run: Run) -> Judgement:
    """The verdict on a run, by the test that its question names (DESIGN.md 4).

    Clustered counts are never a match, nor a mismatch but where a variant of weight 0 answered,
    which no clustering excuses. A split that is kept better than chance is, with a remark. A canary
    that is worse than `--max-p99-ratio` or `--max-error-ratio` allow is failing, whatever its
    share.
    """
    if run.unreachable:
        return Judgement(Verdict.FAILING, run.unreachable)
    if run.unread:
        return Judgement(
            Verdict.INCONCLUSIVE,
            f"Whether the weights of {run.source} changed meanwhile is not known, since they could "
            f"not be read again: {run.unread}.",
        )
    if run.reread and any(
        abs(run.reread[v] - run.question.split[v]) > 1e-6
        for v in {*run.reread, *run.question.split}
    ):
        return Judgement(
            Verdict.INCONCLUSIVE,
            f"The weights of {run.source} changed while they were verified, from "
            f"{run.question.split} to {run.reread}: verify again.",
        )
    judged = _judge_split(run)
    worse = " ".join(_worse(run))
    if not worse:
        return judged
    if judged.verdict is Verdict.MISMATCH:
        return Judgement(judged.verdict, f"{judged.reason} {worse}")
    return Judgement(Verdict.FAILING, worse)


def _worse(run: Run) -> Iterator[str]:
    """Sentences on canaries that are worse than is allowed."""
    if run.max_p99_ratio is None and run.max_error_ratio is None:
        return
    for found in compare(run):
        if found.too_slow and found.p99_ratio:
            yield (
                f"{found.canary} is too slow: its p99 is {found.p99_ratio:.2f} times "
                f"{found.baseline}'s, more than --max-p99-ratio {run.max_p99_ratio:g} "
                f"(p = {show_p(found.p99_p_value)})."
            )
        if found.too_faulty:
            times = (
                f"{found.error_ratio:.2f} times {found.baseline}'s share"
                if found.error_ratio
                else f"and {found.baseline} never"
            )
            yield (
                f"{found.canary} fails too often: {times}, more "
                f"than --max-error-ratio {run.max_error_ratio:g} "
                f"(p = {show_p(found.errors_p_value)})."
            )


def _judge_split(run: Run) -> Judgement:
    judged = _judge_fixed(run) if run.question.test == "fixed" else _judge_sequential(run)
    ended_early = run.tally.requests < run.question.requests
    if judged.verdict is Verdict.FAILING or (
        judged.verdict is Verdict.INCONCLUSIVE and ended_early
    ):
        return judged
    # Also where the budget ran out: more requests would not help.
    found = draws_of(run)
    if found.draws is Draws.CLUSTERED and not unexpected(run.question.split, run.tally):
        advice = (
            "verify with --unit session, where each request is a new connection without cookies"
            if run.unit == "request"
            else "so the shares say little, however many requests are sent"
        )
        return Judgement(
            Verdict.INCONCLUSIVE, f"The draws are not independent: {found.reason}; {advice}."
        )
    if found.draws is Draws.EVEN and judged.verdict is Verdict.MATCH:
        return Judgement(judged.verdict, f"{judged.reason} Note: {found.reason}.")
    return judged


WORST_FIRST = (Draws.CLUSTERED, Draws.EVEN, Draws.INDEPENDENT, Draws.UNKNOWN)


def draws_of(run: Run) -> Independence:
    """What a run's responses are as draws.

    A split that changed once in the run looks clustered, as its shares come and go: where it was
    steady before and after, that is all there is to it.
    """
    # Each gateway may have a share of its own, and is told by its own order.
    each = [independence(gateway.order) for gateway in run.each_gateway]
    found = min(each, key=lambda one: WORST_FIRST.index(one.draws))
    if found.draws is Draws.CLUSTERED and not found.by_connection:
        change = change_in(run)
        if change is not None and change.steady:
            reason = "the split changed once, and was steady before and after"
            return replace(found, draws=Draws.INDEPENDENT, reason=reason)
    return found


def looks_at(run: Run) -> Iterator[SequentialTest]:
    """The sequential test on a run's counts, in order of sending: after each look, the same one."""
    test = SequentialTest.of(run.question)
    for batch in zip_longest(*(gateway.stretches for gateway in run.each_gateway)):
        test.look([stretch.tally if stretch else Tally() for stretch in batch])
        yield test


def replay(run: Run) -> SequentialTest:
    """The sequential test after all of a run's counts, in order of sending."""
    test = SequentialTest.of(run.question)
    for test in looks_at(run):  # noqa: B007
        pass
    return test


def _judge_sequential(run: Run) -> Judgement:
    question, tally = run.question, run.tally
    # What was reached while the run went on stands, whatever the last answers brought.
    verdict = Verdict(run.decided) if run.decided else replay(run).verdict
    if surprise := unexpected(question.split, tally):
        return Judgement(Verdict.MISMATCH, _surprise(question.split, surprise, tally))
    if verdict in (Verdict.MATCH, Verdict.MISMATCH):
        variant = _worst(question.split, tally)
        if verdict is Verdict.MATCH:
            reason = _match(run)
        else:
            reason = _at_gateways(run, compare_gateways(run)) or _mismatch(run, variant)
        return Judgement(verdict, reason)
    if failing := _failing(run, certain=verdict is Verdict.FAILING):
        return Judgement(Verdict.FAILING, failing)
    return Judgement(Verdict.INCONCLUSIVE, _undecided(run))


def _undecided(run: Run) -> str:
    """Why a sequential run ended without an answer."""
    question, tally = run.question, run.tally
    if tally.requests < question.requests:
        done = f"{tally.requests:,} of at most {question.requests:,} requests"
        return f"Only {done} were answered: {run.interrupted or 'the run ended early'}."
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
    variant = _worst(question.split, tally)
    share = f"{variant} got {100 * (tally.share(variant) or 0):.2f} %"
    if variant_lost := _hangs_on_losses(run):
        return (
            f"{tally.lost:,} requests were lost, and if they were all {variant_lost}'s the split "
            "might not match: mend the errors, then verify again."
        )
    return (
        f"{tally.requests:,} requests were not enough: {share}, and its weight is "
        f"{question.split[variant] * 100:g} ± {question.tolerance_of(variant) * 100:g} %. Such a "
        "share is near the edge of the tolerance: give more --requests, or another --tolerance."
    )


def _hangs_on_losses(run: Run) -> str:
    """The variant that the lost requests may have belonged to, where without them it would match.

    Empty where nothing was lost, or it would be undecided anyway.
    """
    if not run.tally.lost:
        return ""
    test = SequentialTest.of(run.question)
    for stretch in run.stretches:
        test.update(stretch.tally.counts)
    if test.verdict is not Verdict.MATCH:
        return ""
    zero = [variant for variant in run.question.split if run.question.split[variant] == 0]
    return zero[0] if zero else _worst(run.question.split, run.tally)


def _judge_fixed(run: Run) -> Judgement:
    """By chi-square, at the sample size that was set beforehand.

    `failing` where too many requests are lost; `mismatch` for any answer of a variant of weight 0,
    or a p-value below alpha; `inconclusive` where fewer requests were sent than planned, where
    they lack the power to see a deviation of one tolerance, or where the verdict hangs on what the
    lost ones would have been; otherwise `match`.
    """
    question, tally = run.question, run.tally
    if failing := _failing(run):
        return Judgement(Verdict.FAILING, failing)
    if surprise := unexpected(question.split, tally):
        return Judgement(Verdict.MISMATCH, _surprise(question.split, surprise, tally))
    if tally.requests < question.requests:
        done = f"{tally.requests:,} of {question.requests:,} requests"
        why = run.interrupted or "the run ended early"
        return Judgement(Verdict.INCONCLUSIVE, f"Only {done} were answered: {why}.")

    test = chi_square(tally.counts, question.split)
    gateways = compare_gateways(run)
    unlike = None if gateways is None else gateways.p_value
    if unlike is not None and unlike < question.chi_square_alpha:
        reason = _at_gateways(run, gateways) or "The gateways do not split alike"
        evidence = f"(homogeneity: p = {show_p(unlike)})."
        return Judgement(Verdict.MISMATCH, f"{reason.removesuffix('.')} {evidence}")
    if test.p_value < question.chi_square_alpha:
        variant = _worst(question.split, tally)
        reason = _mismatch(run, variant, f" (chi-square p = {show_p(test.p_value)})")
        return Judgement(Verdict.MISMATCH, reason)
    needed = fixed_size(question)
    if tally.requests < needed:
        return Judgement(
            Verdict.INCONCLUSIVE,
            f"No deviation was found (p = {show_p(test.p_value)}), but {tally.requests:,} requests "
            f"could have missed one of {points(question.tolerance)}: send {needed:,}.",
        )
    if variant := _fixed_hangs_on_losses(question, tally):
        return Judgement(
            Verdict.INCONCLUSIVE,
            f"{tally.lost:,} requests were lost, and if they were all {variant}'s the split would "
            f"not match: mend the errors, then verify again.",
        )
    return Judgement(Verdict.MATCH, _match(run, test))


def unexpected(split: Split, tally: Tally) -> dict[str, int]:
    """Counts of the variants that should not have answered at all."""
    return {v: count for v, count in tally.counts.items() if count and split[v] == 0}


def _failing(run: Run, *, certain: bool = False) -> str:
    """Why no split can be judged from what is left; empty where it can."""
    tally, losses = run.tally, run.losses
    if not tally.lost or (not certain and tally.lost <= run.question.max_failing * tally.requests):
        return ""
    kinds = []
    if tally.errors:
        kinds.append(f"{tally.errors:,} got no 2xx answer")
    if tally.unidentified:
        kinds.append(f"{tally.unidentified:,} answers named no variant")
    limit = f"{run.question.max_failing * 100:g} %"
    commonest = max(losses, key=lambda reason: losses[reason], default="")
    why = f" ({'mostly ' if len(losses) > 1 else ''}{commonest})" if commonest else ""
    return (
        f"Of {tally.requests:,} requests {' and '.join(kinds)}{why}, more than {limit}: "
        "no split can be judged from what is left."
    )


def _surprise(split: Split, surprise: Mapping[str, int], tally: Tally) -> str:
    variant, count = next(iter(surprise.items()))
    configured = "has weight 0" if variant in split else "is not configured"
    times = "once" if count == 1 else f"{count:,} times"
    return f"{variant} {configured}, but answered {times} in {tally.requests:,} requests."


def _mismatch(run: Run, variant: str, evidence: str = "") -> str:
    weight, share = run.question.split[variant], run.tally.share(variant) or 0.0
    more = "more" if share > weight else "less"
    return (
        f"{variant} gets {share * 100:.1f} % of {run.tally.identified:,} responses, "
        f"{points(abs(share - weight))} {more} than its {weight * 100:g} %{evidence}."
    )


def _at_gateways(run: Run, found: GatewayComparison | None) -> str:
    """Which of several gateways is not as configured; empty where none is singled out."""
    if found is None or not found.off:
        return ""
    split, others = run.question.split, [one for one in found.each if not one.off]
    parts = []
    for one in found.off:
        variant = _worst(split, one.tally)
        parts.append(
            f"{one.name} gives {variant} {100 * (one.tally.share(variant) or 0):.1f} % of "
            f"{one.tally.identified:,} responses and not its {100 * split[variant]:g} %"
        )
    rest = sum((one.tally for one in others), Tally())
    variant = _worst(split, found.off[0].tally)
    if rest.identified:
        who = "the other gateway gives" if len(others) == 1 else (
            f"the other {len(others)} gateways give")  # fmt: skip
        parts.append(f"{who} it {100 * (rest.share(variant) or 0):.1f} %")
    return "; ".join(parts) + "."


def _match(run: Run, test: FixedTest | None = None) -> str:
    question, tally = run.question, run.tally
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
    together = f" of {len(run.gateways)} gateways together" if run.gateways else ""
    found = f"The split is as configured in {tally.identified:,} responses{together}: {shares}"
    if test is None:
        return f"{found}, each within {points(question.tolerance)}."
    return (
        f"{found}; a deviation of {points(question.tolerance)} would have been seen (chi-square "
        f"p = {show_p(test.p_value)})."
    )


def _worst(split: Split, tally: Tally) -> str:
    """The variant whose share is oddest for its weight."""
    residuals = standardised_residuals(tally.counts, split)
    # The last of equals: of two variants, which mirror each other, the canary.
    return max(reversed(list(split)), key=lambda variant: round(abs(residuals[variant]), 6))


def _fixed_hangs_on_losses(question: Question, tally: Tally) -> str:
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
