"""Causes that show in something else than the shares of all responses.

A change of the split, gateways that differ, connections that keep a variant, a cache: with one of
these the shares of all responses say nothing by themselves.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from trafficsplit.analysis.causes.candidates import Facts, weigh_causes
from trafficsplit.analysis.causes.explanation import Explanation
from trafficsplit.analysis.causes.weighing import SUPPORT, fits, is_supported
from trafficsplit.analysis.gateways import GatewayComparison, OneGateway, compare_gateways
from trafficsplit.analysis.independence import Draws, Independence
from trafficsplit.analysis.outcome import dealt_block, differing_replicas
from trafficsplit.analysis.run import Run
from trafficsplit.analysis.split import Split
from trafficsplit.analysis.stationarity import Change, change_in
from trafficsplit.analysis.tally import Tally

CACHED = 0.02  # of the responses: more out of a cache are worth an explanation
UNLIKE = 1e-4  # the probability, by chance, of gateways that differ as much
RESOLUTION = 0.2  # Cohen's h from the weights, up to which a gateway counts as fine beside others
NEARLY_ALL = 0.98  # of the responses
AGREEMENT = 0.15  # of responses in order of sending, beyond chance: more come in clusters


def causes_by_signs(run: Run, draws: Independence, facts: Facts) -> Iterator[Explanation]:
    """Yield causes that are certain by other signs than the shares, the plainest first."""
    if run.counted.cached > CACHED * max(run.tally.identified, 1):
        yield _cached(run)
    change = change_in(run)
    if change is not None and change.steady and not _is_of_kept_connections(draws, change):
        yield _changed(run, change)
    gateways = compare_gateways(run)
    if gateways is not None:
        yield from _unlike_gateways(run, gateways, facts)
    elif change is None and not draws.keeps_connections and differing_replicas(run):
        yield _unlike_replicas(run)
    if _is_no_draw(run, draws):
        yield from _clustered(run, draws)


def _cached(run: Run) -> Explanation:
    return Explanation(
        "a cache in between",
        f"{run.counted.cached:,} of {run.tally.identified:,} responses came out of a cache (their "
        "headers say so, or they repeat another request's id): the counts show what the cache "
        "chose. Send requests past it, or switch it off for this path.",
    )


# --- a change ---


def tally_after(run: Run, change: Change) -> Tally:
    """Return the counts since a change."""
    after = [one.tally for one in run.counted.stretches if one.start >= change.at]
    return sum(after, Tally())


def _is_of_kept_connections(draws: Independence, change: Change) -> bool:
    """Return whether a change is one that connections make, each of which keeps its variant.

    Where everything goes from one variant to another, connections keep theirs on either side.
    """
    if not draws.keeps_connections:
        return False
    return any(max(shares.values()) < NEARLY_ALL for shares in (change.before, change.after))


def _changed(run: Run, change: Change) -> Explanation:
    """Return that the split changed, and whether to what is configured, or from it."""
    split = run.question.split
    after = tally_after(run, change)
    when = f"The shares changed {change.at:.1f} s after the start"
    is_possible = fits(after.counts, split.weights)
    if is_possible and run.question.tolerates(after):
        return Explanation(
            "the change came into force during the run",
            f"{when}, to those that are configured: it was not in force yet when the run began. "
            f"Verify again, or with --settle {change.at + 1:.0f}s.",
        )
    one_by_one = all(max(shares.values()) > NEARLY_ALL for shares in (change.before, change.after))
    to = "" if is_possible else ", to others than configured"
    return Explanation(
        "the shares changed during the run",
        f"{when}{to}: were the weights set meanwhile, or was the gateway reloaded? Verify again "
        "when they are settled.",
        certain=not one_by_one,  # a cache, or a gateway that deals in blocks, looks like that too
    )


# --- gateways ---


def _unlike_gateways(run: Run, gateways: GatewayComparison, facts: Facts) -> Iterator[Explanation]:
    """Yield that some gateways are off and the others are not, or that they differ at least.

    Where all of them are off alike, the cause is not theirs.
    """
    off = gateways.off
    others = [one for one in gateways.each if not one.off]
    if off and others and all(_is_as_configured(one, facts.split) for one in others):
        yield _stale_gateways(run, off, facts)
    elif gateways.p_value is not None and gateways.p_value < UNLIKE:
        yield Explanation(
            "the gateways differ",
            "The gateways do not split alike: compare their configuration (istioctl proxy-status), "
            "and verify each by itself.",
        )


def _is_as_configured(gateway: OneGateway, split: Split) -> bool:
    return is_as_configured(gateway.tally.counts, split)


def is_as_configured(counts: Mapping[str, int], split: Split, support: float = SUPPORT) -> bool:
    """Return whether the counts support the configured weights, if only coarsely."""
    weights = split.weights
    return fits(counts, weights) and is_supported(counts, weights, support, RESOLUTION)


def _stale_gateways(run: Run, off: list[OneGateway], facts: Facts) -> Explanation:
    """Return why gateways are off: they may not have heard of the new weights."""
    names = ", ".join(one.name for one in off)
    has = "has" if len(off) == 1 else "have"
    if run.previous is not None and _all_fit(off, run.previous):
        return Explanation(
            f"{names} still {has} the old weights",
            f"{names} still {has} the old weights ({run.previous}), the others do not: see whether "
            "it is in sync (istioctl proxy-status).",
        )
    tally = sum((one.tally for one in off), Tally())
    found = weigh_causes(facts, tally.counts).found
    why = "compare the gateways' configuration (istioctl proxy-status)."
    if found is not None:
        why = f"{found.candidate.name}. {why.capitalize()}"
    return Explanation(
        f"{names} {has} other weights",
        f"{names} {has} other weights than configured, and the others fit: {why}",
    )


def _all_fit(gateways: Iterable[OneGateway], split: Split) -> bool:
    return all(fits(one.tally.counts, split.weights) for one in gateways)


# --- order ---


def _is_no_draw(run: Run, draws: Independence) -> bool:
    """Return whether clusters of responses are a cause: not of users, nor of blocks of a split."""
    if draws.draws is not Draws.CLUSTERED or run.question.user_requests:
        return False
    return draws.by_connection or not dealt_block(run)


def _clustered(run: Run, draws: Independence) -> Iterator[Explanation]:
    """Yield that requests come in clusters, with advice that fits where the clusters are."""
    alone = draws.by_connection and run.subject.users == 1  # its order is that of its connection
    if draws.keeps_connections or alone:
        yield _sticky(run, draws)
    elif draws.by_connection and not _agree_in_order(draws):
        yield _unlike_replicas(run)
    else:
        yield Explanation(
            "draws in clusters",
            "The draws are not independent: one variant comes after another in order of sending. "
            "New connections would not help: does the gateway deal in blocks, or does a cache "
            "repeat its answers?",
        )


def _agree_in_order(draws: Independence) -> bool:
    return draws.correlation is not None and draws.correlation > AGREEMENT


def _sticky(run: Run, draws: Independence) -> Explanation:
    if run.subject.unit != "request":
        return Explanation("sticky sessions", f"The draws are not independent: {draws.reason}.")
    return Explanation(
        "sticky sessions",
        f"The draws are not independent: {draws.reason}. Is that on purpose? Then --unit session "
        "makes every request a new connection without cookies, and --unit user counts users.",
    )


def _unlike_replicas(run: Run) -> Explanation:
    """Return that connections get unlike shares, as from several gateways behind one address."""
    stale = ""
    if run.previous is not None:
        stale = f" Do some of them still have the old weights ({run.previous})?"
    return Explanation(
        "the gateways differ",
        "Connections get other shares than each other, as where some of several gateways behind "
        f"one address have other weights.{stale} Compare their configuration (istioctl "
        "proxy-status), and verify each by itself (--resolve).",
    )
