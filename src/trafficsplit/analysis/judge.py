"""From a run to a verdict, with one sentence that a person can act on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import zip_longest

from trafficsplit.analysis import sentences
from trafficsplit.analysis.comparison import Comparison, Limit, compare
from trafficsplit.analysis.fixed import chi_square
from trafficsplit.analysis.gateways import compare_gateways
from trafficsplit.analysis.hanging import why_hanging
from trafficsplit.analysis.independence import Draws, Independence, independence
from trafficsplit.analysis.meeting import why_names_do_not_meet
from trafficsplit.analysis.outcome import dealt_block, differing_replicas, outcome, why_held_back
from trafficsplit.analysis.planning import fixed_size
from trafficsplit.analysis.question import Question
from trafficsplit.analysis.run import Counted, Run
from trafficsplit.analysis.running import unexpected
from trafficsplit.analysis.sequential import SequentialTest
from trafficsplit.analysis.split import Split
from trafficsplit.analysis.stationarity import change_in
from trafficsplit.analysis.tally import Tally
from trafficsplit.analysis.user_judge import judge_users
from trafficsplit.analysis.verdict import Judgement, Verdict

SAME_WEIGHT = 1e-6  # weights that differ by less are the same


def judge(run: Run) -> Judgement:
    """Return the verdict on a run, by the test that its question names (DESIGN.md 4).

    Clustered counts are never a match; they are a mismatch only if a variant of weight 0 answered,
    which clusters do not explain. A split that is kept better than chance is a match, with a
    remark. A canary that is worse than `--max-p99-ratio` or `--max-error-ratio` allow is failing,
    whatever its share, and there is no match while that is open.
    """
    if run.ending.unreachable:
        return Judgement(Verdict.FAILING, run.ending.unreachable)
    unknown = why_names_do_not_meet(run) or _why_weights_are_unknown(run)
    if unknown:
        return Judgement(Verdict.INCONCLUSIVE, unknown)
    judged = _unless_it_hangs(run, _judge_split(run))
    if run.canary.are_unset:
        return judged
    comparisons = compare(run)
    worse = " ".join(_why_canaries_are_worse(run, comparisons))
    if not worse:
        return _unless_limits_are_open(run, judged, comparisons)
    if judged.verdict is Verdict.MISMATCH:
        return Judgement(judged.verdict, f"{judged.reason} {worse}")
    return Judgement(Verdict.FAILING, worse)


def _unless_it_hangs(run: Run, judged: Judgement) -> Judgement:
    """Return a judgement, but failing instead of a match where a gateway has stopped answering.

    Where there is one gateway, and it lost too many anyway, that is said with its reasons.
    """
    if judged.verdict is Verdict.MISMATCH or not run.counted.hanging:
        return judged
    if judged.verdict is Verdict.FAILING and len(run.gateways) == 1 and too_many_lost(run):
        return judged
    names = [gateway.name for gateway in run.gateways]
    hanging = why_hanging(run.counted.hanging, names, run.question, ended=True)
    if not hanging:
        return judged
    why = sentences.why_lost(run.counted.losses)
    return Judgement(Verdict.FAILING, f"{hanging.removesuffix('.')}{why}.")


def _why_weights_are_unknown(run: Run) -> str:
    """Return why the weights at the end may not be those that were verified, or empty."""
    source = run.source
    if source is None:
        return ""
    if source.unread:
        return sentences.source_unread(source)
    if source.moved:
        return sentences.gateway_moved(source)
    if source.reread is None or same_weights(source.reread, run.question.split):
        return ""
    return sentences.source_changed(source.name, run.question.split, source.reread)


def same_weights(one: Split, other: Split) -> bool:
    """Return whether two splits have the same weights."""
    return all(abs(one[v] - other[v]) <= SAME_WEIGHT for v in {*one, *other})


def _why_canaries_are_worse(run: Run, comparisons: Sequence[Comparison]) -> Iterator[str]:
    """Yield a sentence for each way in which a canary is worse than is allowed."""
    for comparison in comparisons:
        if comparison.p99_limit is Limit.EXCEEDED:
            yield sentences.too_slow(comparison, run.canary)
        if comparison.errors_limit is Limit.EXCEEDED:
            yield sentences.too_faulty(comparison, run.canary)


def _unless_limits_are_open(
    run: Run, judged: Judgement, comparisons: Sequence[Comparison]
) -> Judgement:
    """Return a judgement, but no match while a limit of the canary is not shown to be kept."""
    left_open = " ".join(sentences.limits_left_open(run, comparisons))
    if judged.verdict is not Verdict.MATCH or not left_open:
        return judged
    return Judgement(Verdict.INCONCLUSIVE, f"{judged.reason} {left_open}")


def _judge_split(run: Run) -> Judgement:
    """Judge shares, and whether the draws are independent enough to be judged at all."""
    if run.question.user_requests:
        return judge_users(run, draws_of(run))
    judge_shares = _judge_fixed if run.question.test == "fixed" else _judge_sequential
    judged = judge_shares(run)
    undecided = judged.verdict is Verdict.INCONCLUSIVE
    if judged.verdict is Verdict.FAILING or (undecided and run.ending.interrupted):
        return judged
    # Also if the budget has run out: more requests would not help.
    order = draws_of(run)
    if _is_no_draw(run, order) and not unexpected(run.question.split, run.tally):
        return Judgement(Verdict.INCONCLUSIVE, sentences.clustered(run, order))
    if judged.verdict is Verdict.MATCH:
        return Judgement(judged.verdict, f"{judged.reason}{_remark(run, order)}")
    return judged


def _remark(run: Run, order: Independence) -> str:
    """Return how a gateway keeps its split better than chance would, empty if it does not."""
    block = dealt_block(run)
    if block:
        return f" {sentences.dealt_in_blocks(block)}"
    if order.draws is Draws.EVEN:
        return f" Note: {order.reason}."
    return ""


def _is_no_draw(run: Run, order: Independence) -> bool:
    """Return whether a response is no draw: its connection is, or, at a fixed size, its turn."""
    if run.question.test == "fixed":
        return order.draws is Draws.CLUSTERED and not differing_replicas(run)
    return order.keeps_connections


WORST_FIRST = (Draws.CLUSTERED, Draws.EVEN, Draws.INDEPENDENT, Draws.UNKNOWN)


def draws_of(run: Run) -> Independence:
    """Return what the order of a run says about its responses as draws.

    A split that changed once in the run looks clustered, since its shares differ. If it was steady
    before and after, the change is the whole explanation, and the draws count as independent.
    """
    # Each gateway may have a share of its own, and is judged by its own order.
    each = [independence(gateway.order) for gateway in run.gateways]
    worst = min(each, key=lambda one: WORST_FIRST.index(one.draws))
    if worst.draws is Draws.CLUSTERED and not worst.keeps_connections:
        change = change_in(run)
        if change is not None and change.steady:
            reason = "the split changed once, and was steady before and after"
            return replace(worst, draws=Draws.INDEPENDENT, reason=reason)
    return worst


def looks_at(run: Run) -> Iterator[SequentialTest]:
    """Yield the sequential test after each look at a run's counts, in order of sending.

    It is the same object each time, with more counts.
    """
    test = SequentialTest.of(run.question)
    for batch in zip_longest(*(gateway.stretches for gateway in run.gateways)):
        test.look([stretch.tally if stretch else Tally() for stretch in batch])
        yield test


def replay(run: Run) -> SequentialTest:
    """Return the sequential test after all of a run's counts, in order of sending."""
    test = SequentialTest.of(run.question)
    for test in looks_at(run):  # noqa: B007 — the last one is wanted
        pass
    return test


def _judge_sequential(run: Run) -> Judgement:
    split = run.question.split
    surprise = unexpected(split, run.tally)
    if surprise:
        return Judgement(Verdict.MISMATCH, sentences.surprise(split, surprise, run.tally))
    # A verdict that was reached while the run went on stands, whatever the last answers were.
    verdict = run.ending.decided or outcome(run)
    if verdict is Verdict.MATCH:
        return Judgement(verdict, sentences.match(run))
    if verdict is Verdict.MISMATCH:
        return Judgement(verdict, _why_not(run))
    if too_many_lost(run):
        return Judgement(Verdict.FAILING, sentences.failing(run))
    if verdict is Verdict.FAILING:
        return Judgement(verdict, _why_failing(run))
    return Judgement(Verdict.INCONCLUSIVE, _why_undecided(run))


def _why_not(run: Run) -> str:
    """Return why a run is a mismatch: which gateway is off, or by how much a share is."""
    reason = sentences.at_gateways(run, compare_gateways(run))
    if reason:
        return reason
    if differing_replicas(run):
        return sentences.differing_replicas(run)
    return _since_when(run) or sentences.mismatch(
        run, sentences.oddest(run.question.split, run.tally)
    )


def _since_when(run: Run) -> str:
    """Return since when a gateway has been off, where all of its counts do not show it; or empty.

    Evidence that has started later may show it long before the sum of all does.
    """
    split = run.question.split
    if not run.question.tolerates(run.tally):
        return ""
    found = []
    for gateway in run.gateways:
        alone = replace(run, counted=Counted(stretches=gateway.stretches))
        change = change_in(alone)
        if change is not None:
            after = change.after
            offs = [(abs(after.get(name, 0.0) - split[name]), name) for name in split]
            # Of two that are off by as much, the one with the smaller weight.
            off, variant = max(offs, key=lambda pair: (round(pair[0], 9), -split[pair[1]]))
            found.append((off, sentences.mismatch_since(run, gateway.name, variant, change)))
    return max(found)[1] if found else ""


def _why_failing(run: Run) -> str:
    """Return why a run is failing of which not too many requests are lost in the end."""
    ending = run.ending
    if ending.lost_then > run.question.max_failing * ending.sent_then:
        return sentences.failing_at_first(run)
    return sentences.saved_by_losses(run)


def _why_undecided(run: Run) -> str:
    """Return why a run has no verdict."""
    if run.tally.requests >= run.question.requests or not run.ending.interrupted:
        held_back = why_held_back(run)
        if held_back:
            return held_back
    return sentences.undecided(run, _hangs_on_losses(run))


def too_many_lost(run: Run) -> bool:
    """Return whether too many requests are lost to judge the split by the others."""
    return run.tally.lost > run.question.max_failing * run.tally.requests


def _hangs_on_losses(run: Run) -> str:
    """Return the variant whose lost requests could make a mismatch of what would be a match.

    Empty if nothing was lost, or if the run would be undecided without the losses too.
    """
    if not run.tally.lost:
        return ""
    test = SequentialTest.of(run.question)
    for stretch in run.counted.stretches:
        test.update(stretch.tally.counts)
    if test.verdict is not Verdict.MATCH:
        return ""
    for variant, weight in run.question.split.weights.items():
        if weight == 0:
            return variant
    return sentences.oddest(run.question.split, run.tally)


def _judge_fixed(run: Run) -> Judgement:
    """Judge by chi-square, at the sample size that was set beforehand.

    It is `failing` if too many requests are lost; `mismatch` for any answer of a variant of weight
    0, or a p-value below alpha; `inconclusive` if fewer requests were sent than planned, if they
    lack the power to see a deviation of one tolerance, or if the verdict depends on the lost ones;
    otherwise `match`.
    """
    question = run.question
    tally = run.tally
    if too_many_lost(run):
        return Judgement(Verdict.FAILING, sentences.failing(run))
    surprise = unexpected(question.split, tally)
    if surprise:
        return Judgement(Verdict.MISMATCH, sentences.surprise(question.split, surprise, tally))
    if tally.requests < question.requests:
        return Judgement(Verdict.INCONCLUSIVE, sentences.ended_early(run))
    if differing_replicas(run):
        return Judgement(Verdict.MISMATCH, sentences.differing_replicas(run))
    return _mismatch_of_gateways(run) or _mismatch_of_sum(run) or _match_or_too_few(run)


def _mismatch_of_gateways(run: Run) -> Judgement | None:
    """Return a mismatch if the gateways do not split alike, by the test of their homogeneity."""
    gateways = compare_gateways(run)
    if gateways is None or gateways.p_value is None:
        return None
    if gateways.p_value >= run.question.chi_square_alpha:
        return None
    return Judgement(Verdict.MISMATCH, sentences.unlike_gateways(run, gateways))


def _mismatch_of_sum(run: Run) -> Judgement | None:
    """Return a mismatch if the counts of all gateways together do not fit the split."""
    question = run.question
    test = chi_square(run.tally.counts, question.split)
    if test.p_value >= question.chi_square_alpha:
        return None
    variant = sentences.oddest(question.split, run.tally)
    evidence = f" (chi-square p = {sentences.show_p(test.p_value)})"
    return Judgement(Verdict.MISMATCH, sentences.mismatch(run, variant, evidence))


def _match_or_too_few(run: Run) -> Judgement:
    """Return a match, unless a deviation could have been missed, or be among the lost requests.

    A split that changed during the run is none: it is not the one that is in force at its end.
    """
    change = None if dealt_block(run) else change_in(run)
    if change is not None:
        return Judgement(Verdict.INCONCLUSIVE, sentences.changed(run, change))
    question = run.question
    tally = run.tally
    test = chi_square(tally.counts, question.split)
    needed = fixed_size(question)
    if tally.requests < needed:
        return Judgement(Verdict.INCONCLUSIVE, sentences.too_little_power(run, test, needed))
    variant = _fixed_hangs_on_losses(question, tally)
    if variant:
        return Judgement(Verdict.INCONCLUSIVE, sentences.hangs_on_losses(tally.lost, variant))
    return Judgement(Verdict.MATCH, sentences.match(run, test))


def _fixed_hangs_on_losses(question: Question, tally: Tally) -> str:
    """Return a variant that would not match if all lost requests had been its own, or empty."""
    if not tally.lost:
        return ""
    for variant in question.split:
        counts = dict(tally.counts)
        counts[variant] = counts.get(variant, 0) + tally.lost
        if chi_square(counts, question.split).p_value < question.alpha:
            return variant
    return ""
