"""Why is the split not as configured? The likeliest of the named explanations, with advice.

Each explanation says which shares it would give. Those that the data rule out are dropped: by the
evidence against "exactly these shares" (`analysis.evidence`). What is left is ranked by
likelihood; it speaks only where the data tell the explanations apart.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from scipy.special import xlogy

from trafficsplit.analysis.evidence import log_evidence_against_exact
from trafficsplit.analysis.gateways import GatewayComparison, compare_gateways
from trafficsplit.analysis.independence import Draws, Independence
from trafficsplit.analysis.run import Run
from trafficsplit.analysis.split import Split
from trafficsplit.analysis.verdict import Judgement, Verdict

# An explanation stands out when it is this much likelier than the next.
FACTOR = 20.0
MOST_REPLICAS = 5
MOST_RIVALS = 2  # named beside the first
FEWEST = 20  # responses, below which nothing is said


@dataclass(frozen=True)
class Explanation:
    """One way in which the counts may have come about.

    `log_likelihood` is relative to the best conceivable shares (0): how much worse it explains
    the counts. `advice` is a sentence for a person.
    """

    name: str
    advice: str
    log_likelihood: float


@dataclass(frozen=True)
class Diagnosis:
    """The explanations that fit, the likeliest first, and what to make of them."""

    summary: str
    explanations: tuple[Explanation, ...] = ()


def diagnose(run: Run, judgement: Judgement, draws: Independence) -> Diagnosis | None:
    """What may be wrong; None for a match, and where there is too little to say anything of."""
    if judgement.verdict is Verdict.MATCH or run.ending.unreachable:
        return None
    certain = list(_certain(run, draws))
    if certain:
        return Diagnosis(certain[0].advice, tuple(certain))
    if judgement.verdict is not Verdict.MISMATCH or run.tally.identified < FEWEST:
        return None
    fitting = sorted(_fitting(run), key=lambda e: e.log_likelihood, reverse=True)
    if not fitting:
        return Diagnosis("None of the known explanations fits the shares that were seen.")
    first = fitting[0]
    rivals = [
        other
        for other in fitting[1:]
        if first.log_likelihood - other.log_likelihood < math.log(FACTOR)
    ]
    if not rivals:
        return Diagnosis(first.advice, tuple(fitting))
    names = "; or ".join(explanation.name for explanation in [first, *rivals[:MOST_RIVALS]])
    if len(rivals) > MOST_RIVALS:
        names += "; and others"
    return Diagnosis(f"The counts do not tell these apart: {names}.", tuple(fitting))


def _certain(run: Run, draws: Independence) -> Iterator[Explanation]:
    """What was seen by other signs than the shares."""
    tally = run.tally
    if tally.lost > run.question.max_failing * max(tally.requests, 1):
        yield from _lost_variant(run)
    if draws.draws is Draws.CLUSTERED:
        yield Explanation(
            "sticky sessions",
            f"The draws are not independent ({draws.reason}): verify with --unit session, where "
            "every request is a new connection without cookies.",
            0.0,
        )
    gateways = compare_gateways(run)
    if gateways and gateways.off:
        yield _stale(run, gateways)
    if run.counted.cached > 0.02 * max(tally.identified, 1):
        yield Explanation(
            "a cache in between",
            f"{run.counted.cached:,} responses came out of a cache (they have an Age, or say so): "
            "what was counted is the cache's choice, so ask past it, or switch it off here.",
            0.0,
        )


def _stale(run: Run, gateways: GatewayComparison) -> Explanation:
    """Gateways that are off, as one that has not heard of the new weights is."""
    names = ", ".join(one.name for one in gateways.off)
    has = "has" if len(gateways.off) == 1 else "have"
    old = run.previous
    if old is not None and all(
        _fits(one.tally.counts, {v: old[v] for v in old}, run.question.alpha)
        for one in gateways.off
    ):
        return Explanation(
            f"{names} still {has} the old weights",
            f"{names} still {has} the old weights ({old}): see whether it is in sync "
            "(istioctl proxy-status).",
            0.0,
        )
    return Explanation(
        f"{names} {has} other weights",
        f"{names} {has} other weights than configured, the others do not: compare the gateways' "
        "configuration (istioctl proxy-status).",
        0.0,
    )


def _lost_variant(run: Run) -> Iterator[Explanation]:
    """A variant whose weight is the share of what is lost, while the others keep their ratio."""
    split, tally = run.question.split, run.tally
    if tally.errors < tally.unidentified or tally.identified < FEWEST or len(split.positive) < 2:
        return  # answers that name nobody are everybody's
    for variant, weight in split.positive.items():
        others = {v: n for v, n in tally.counts.items() if v != variant}
        lost = tally.lost + tally.counts.get(variant, 0)
        if tally.counts.get(variant, 0) > 0.5 * lost:
            continue
        shares = {v: split[v] for v in others} | {variant: weight}
        counts = {**others, variant: lost}
        if _fits(counts, shares, run.question.alpha):
            yield Explanation(
                f"{variant} is failing or ejected",
                f"What is lost is about {variant}'s share ({100 * tally.lost / tally.requests:.1f} "
                f"% of weight {100 * weight:g} %): see whether {variant}'s pods are up and ready.",
                0.0,
            )


def _fitting(run: Run) -> Iterator[Explanation]:
    counts, alpha = run.tally.counts, run.question.alpha
    best = _log_likelihood(counts, {v: n / run.tally.identified for v, n in counts.items()})
    for name, shares, advice in _candidates(run):
        if _fits(counts, shares, alpha):
            yield Explanation(name, advice, _log_likelihood(counts, shares) - best)


def _candidates(run: Run) -> Iterator[tuple[str, dict[str, float], str]]:
    """Names, shares and advice of everything that is often wrong."""
    split, previous = run.question.split, run.previous
    variants = list(split)
    weights = {v: split[v] for v in variants}
    sole = max(run.tally.counts, key=lambda v: run.tally.counts[v])
    if previous is not None and any(previous[v] != split[v] for v in variants):
        old = {v: previous[v] for v in {*variants, *previous}}
        yield (
            f"the old weights are still in force ({previous})",
            old,
            f"The shares are those of the old weights ({previous}): the change has not reached "
            "the gateway. See whether the VirtualService was applied, in this cluster and "
            "namespace, and whether the gateway is in sync (istioctl proxy-status).",
        )
        yield from _stale_replicas(weights, old)
    if not (previous and previous[sole] == 1):
        yield (
            f"everything goes to {sole}",
            {v: float(v == sole) for v in run.tally.counts},
            f"Every response came from {sole}: the rollout never took effect, or another rule "
            "matches first. Or the gateway keeps this machine's address, or requests without its "
            "cookie, on one variant: ask from another address to tell.",
        )
    if len(variants) == 2:
        one, other = variants
        if split[one] != split[other]:
            yield (
                "the weights are swapped",
                {one: split[other], other: split[one]},
                f"The shares are the weights the other way round: {one} has {other}'s. Look at "
                "which subset, label or host each weight stands beside.",
            )
    equal = {v: 1 / len(variants) for v in variants}
    if any(weights[v] != equal[v] for v in variants):
        yield (
            "the split is by replica count",
            equal,
            "The variants share equally, as pods behind one Service do: the VirtualService does "
            "not apply to these requests. Compare its hosts, gateways and match with the host and "
            "path that were asked.",
        )


def _stale_replicas(
    weights: Mapping[str, float], old: Mapping[str, float]
) -> Iterator[tuple[str, dict[str, float], str]]:
    """k of N gateway replicas with old weights: mixtures of old and new."""
    seen: set[float] = set()
    for replicas in range(2, MOST_REPLICAS + 1):
        for stale in range(1, replicas):
            part = stale / replicas
            if part in seen:
                continue
            seen.add(part)
            have = "has" if stale == 1 else "have"
            yield (
                f"{stale} of {replicas} gateway replicas still {have} the old weights",
                {v: part * old[v] + (1 - part) * weights.get(v, 0.0) for v in old},
                f"The shares are as if {stale} of {replicas} gateway replicas still had the old "
                "weights: compare their configuration (istioctl proxy-status), and ask each.",
            )


def _fits(counts: Mapping[str, int], shares: Mapping[str, float], alpha: float) -> bool:
    """Whether the counts do not rule these shares out."""
    variants = list({**shares, **counts})
    x = np.array([counts.get(v, 0) for v in variants], dtype=float)
    if any(n and not shares.get(v, 0.0) for v, n in counts.items()):
        return False
    w = np.array(list(Split({v: shares.get(v, 0.0) for v in variants}).weights.values()))
    return log_evidence_against_exact(x, w) < math.log(1 / alpha)


def _log_likelihood(counts: Mapping[str, int], shares: Mapping[str, float]) -> float:
    return float(sum(xlogy(n, shares.get(v, 0.0)) for v, n in counts.items()))
