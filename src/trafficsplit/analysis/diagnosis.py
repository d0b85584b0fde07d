"""Why is the split not as configured? The likeliest of the named explanations, with advice.

Each explanation says which shares it would give. Those that the counts rule out are dropped, by the
evidence against "exactly these shares" (`analysis.evidence`). The others are ranked by likelihood,
and the first is the diagnosis only if the counts tell it apart from the next.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from scipy.special import xlogy

from trafficsplit.analysis.evidence import log_evidence_against_exact
from trafficsplit.analysis.gateways import GatewayComparison, OneGateway, compare_gateways
from trafficsplit.analysis.independence import Draws, Independence
from trafficsplit.analysis.run import Run
from trafficsplit.analysis.split import Split
from trafficsplit.analysis.verdict import Judgement, Verdict

FACTOR = 20.0  # an explanation stands out if it is this much likelier than the next
MOST_REPLICAS = 5  # of a gateway, of which some may have old weights
MOST_RIVALS = 2  # named beside the first
FEWEST = 20  # responses, below which nothing is said
CACHED = 0.02  # of the responses: more out of a cache are worth an explanation


@dataclass(frozen=True)
class Explanation:
    """One way in which the counts may have come about.

    `log_likelihood` says how much worse it explains the counts than the best conceivable shares, in
    nats: 0 or less. `advice` is a sentence for a person.
    """

    name: str
    advice: str
    log_likelihood: float = 0.0


@dataclass(frozen=True)
class Diagnosis:
    """The explanations that fit, the likeliest first, and what to make of them."""

    summary: str
    explanations: tuple[Explanation, ...] = ()


@dataclass(frozen=True)
class _Candidate:
    """An explanation that is still to be compared with the counts, by the shares that it gives."""

    name: str
    shares: Mapping[str, float]
    advice: str


def diagnose(run: Run, judgement: Judgement, draws: Independence) -> Diagnosis | None:
    """Return what may be wrong; None for a match, and without data enough to say anything."""
    if judgement.verdict is Verdict.MATCH or run.ending.unreachable:
        return None
    certain = tuple(_certain(run, draws))
    if certain:
        return Diagnosis(certain[0].advice, certain)
    if judgement.verdict is not Verdict.MISMATCH or run.tally.identified < FEWEST:
        return None
    return _by_likelihood(run)


def _by_likelihood(run: Run) -> Diagnosis:
    fitting = sorted(_fitting(run), key=lambda one: one.log_likelihood, reverse=True)
    if not fitting:
        return Diagnosis("None of the known explanations fits the shares that were seen.")
    first, *others = fitting
    least = first.log_likelihood - math.log(FACTOR)
    rivals = [other for other in others if other.log_likelihood > least]
    if not rivals:
        return Diagnosis(first.advice, tuple(fitting))
    names = "; or ".join(explanation.name for explanation in [first, *rivals[:MOST_RIVALS]])
    if len(rivals) > MOST_RIVALS:
        names += "; and others"
    return Diagnosis(f"The counts do not tell these apart: {names}.", tuple(fitting))


def _fitting(run: Run) -> Iterator[Explanation]:
    """Yield the explanations whose shares the counts do not rule out."""
    counts = run.tally.counts
    observed = {variant: count / run.tally.identified for variant, count in counts.items()}
    best = _log_likelihood(counts, observed)
    for candidate in _candidates(run):
        if _fits(counts, candidate.shares, run.question.alpha):
            likelihood = _log_likelihood(counts, candidate.shares) - best
            yield Explanation(candidate.name, candidate.advice, likelihood)


# --- by other signs than the shares ---


def _certain(run: Run, draws: Independence) -> Iterator[Explanation]:
    """Yield explanations for what was seen by other signs than the shares of all responses."""
    tally = run.tally
    if tally.lost > run.question.max_failing * max(tally.requests, 1):
        yield from _lost_variants(run)
    if draws.draws is Draws.CLUSTERED:
        yield Explanation(
            "sticky sessions",
            f"The draws are not independent ({draws.reason}): verify with --unit session, where "
            "every request is a new connection without cookies.",
        )
    gateways = compare_gateways(run)
    if gateways and gateways.off:
        yield _stale_gateways(run, gateways)
    if run.counted.cached > CACHED * max(tally.identified, 1):
        yield Explanation(
            "a cache in between",
            f"{run.counted.cached:,} responses came out of a cache (they have an Age, or say so): "
            "the counts show what the cache chose. Send requests past it, or switch it off for "
            "this path.",
        )


def _stale_gateways(run: Run, gateways: GatewayComparison) -> Explanation:
    """Return why gateways are off: they may not have heard of the new weights."""
    names = ", ".join(one.name for one in gateways.off)
    has = "has" if len(gateways.off) == 1 else "have"
    if run.previous is not None and _all_fit(gateways.off, run.previous, run.question.alpha):
        return Explanation(
            f"{names} still {has} the old weights",
            f"{names} still {has} the old weights ({run.previous}): see whether it is in sync "
            "(istioctl proxy-status).",
        )
    return Explanation(
        f"{names} {has} other weights",
        f"{names} {has} other weights than configured, the others do not: compare the gateways' "
        "configuration (istioctl proxy-status).",
    )


def _all_fit(gateways: Iterable[OneGateway], split: Split, alpha: float) -> bool:
    return all(_fits(one.tally.counts, split.weights, alpha) for one in gateways)


def _lost_variants(run: Run) -> Iterator[Explanation]:
    """Yield each variant whose weight is the share of what is lost, if the others keep their ratio.

    Answers that name no variant may be any variant's, and say nothing.
    """
    split = run.question.split
    tally = run.tally
    if tally.errors < tally.unidentified or tally.identified < FEWEST or len(split.positive) < 2:
        return
    for variant, weight in split.positive.items():
        answered = tally.counts.get(variant, 0)
        counts = {**tally.counts, variant: answered + tally.lost}
        shares = {name: split[name] for name in counts}
        if answered <= tally.lost and _fits(counts, shares, run.question.alpha):
            yield Explanation(
                f"{variant} is failing or ejected",
                f"What is lost is about {variant}'s share ({100 * tally.lost / tally.requests:.1f} "
                f"% of weight {100 * weight:g} %): see whether {variant}'s pods are up and ready.",
            )


# --- by the shares ---


def _candidates(run: Run) -> Iterator[_Candidate]:
    """Yield what is often wrong."""
    split = run.question.split
    yield from _old_weights(split, run.previous)
    yield from _all_to_one(run)
    yield from _swapped(split)
    yield from _equal_shares(split)


def _old_weights(split: Split, previous: Split | None) -> Iterator[_Candidate]:
    """Yield old weights at the whole gateway, and at some replicas of it."""
    if previous is None or all(previous[variant] == split[variant] for variant in split):
        return
    old = {variant: previous[variant] for variant in dict.fromkeys([*split, *previous])}
    yield _Candidate(
        f"the old weights are still in force ({previous})",
        old,
        f"The shares are those of the old weights ({previous}): the change has not reached "
        "the gateway. See whether the VirtualService was applied, in this cluster and "
        "namespace, and whether the gateway is in sync (istioctl proxy-status).",
    )
    yield from _stale_replicas(split, old)


def _stale_replicas(split: Split, old: Mapping[str, float]) -> Iterator[_Candidate]:
    """Yield k of N gateway replicas with old weights: mixtures of old and new."""
    seen: set[float] = set()
    for replicas in range(2, MOST_REPLICAS + 1):
        for stale in range(1, replicas):
            part = stale / replicas
            if part in seen:
                continue
            seen.add(part)
            have = "has" if stale == 1 else "have"
            yield _Candidate(
                f"{stale} of {replicas} gateway replicas still {have} the old weights",
                {variant: part * old[variant] + (1 - part) * split[variant] for variant in old},
                f"The shares are as if {stale} of {replicas} gateway replicas still had the old "
                "weights: compare their configuration (istioctl proxy-status), and verify each by "
                "itself.",
            )


def _all_to_one(run: Run) -> Iterator[_Candidate]:
    """Yield that one variant gets everything, unless it did by the old weights."""
    counts = run.tally.counts
    sole = max(counts, key=lambda variant: counts[variant])
    if run.previous is not None and run.previous[sole] == 1:
        return
    yield _Candidate(
        f"everything goes to {sole}",
        {variant: float(variant == sole) for variant in counts},
        f"Every response came from {sole}: the rollout never took effect, or another rule "
        "matches first. Or the gateway keeps this machine's address, or requests without its "
        "cookie, on one variant: verify from another address to find out.",
    )


def _swapped(split: Split) -> Iterator[_Candidate]:
    if len(split) != 2:
        return
    one, other = split
    if split[one] != split[other]:
        yield _Candidate(
            "the weights are swapped",
            {one: split[other], other: split[one]},
            f"The shares are the weights the other way round: {one} has {other}'s. See "
            "which subset, label or host each weight belongs to.",
        )


def _equal_shares(split: Split) -> Iterator[_Candidate]:
    equal = 1 / len(split)
    if any(weight != equal for weight in split.weights.values()):
        yield _Candidate(
            "the split is by replica count",
            dict.fromkeys(split, equal),
            "The variants share equally, as pods behind one Service do: the VirtualService does "
            "not apply to these requests. Compare its hosts, gateways and match with the host and "
            "the path of the requests.",
        )


def _fits(counts: Mapping[str, int], shares: Mapping[str, float], alpha: float) -> bool:
    """Return whether the counts do not rule these shares out."""
    if any(count and not shares.get(variant, 0.0) for variant, count in counts.items()):
        return False
    variants = list({**shares, **counts})
    x = np.array([counts.get(variant, 0) for variant in variants], dtype=float)
    split = Split({variant: shares.get(variant, 0.0) for variant in variants})
    w = np.array(list(split.weights.values()))
    return log_evidence_against_exact(x, w) < math.log(1 / alpha)


def _log_likelihood(counts: Mapping[str, int], shares: Mapping[str, float]) -> float:
    return float(sum(xlogy(count, shares.get(name, 0.0)) for name, count in counts.items()))
