"""The causes of lost requests: of which variant, and of what kind."""

from __future__ import annotations

from collections.abc import Iterator

from trafficsplit.analysis.causes.explanation import Explanation
from trafficsplit.analysis.causes.lost_to import EVERY_VARIANT, Lost, lost_to
from trafficsplit.analysis.causes.reasons import Kind, main_kind
from trafficsplit.analysis.hanging import why_hanging
from trafficsplit.analysis.run import Run
from trafficsplit.analysis.split import Split
from trafficsplit.analysis.tally import Tally

# What the reasons say whichever variant it is: a name, and what to do.
GENERAL = {
    Kind.FAULT: (
        "a fault is injected",
        "the gateway answers them itself on purpose: a VirtualService has a fault with abort for "
        "this route, or a fault filter has.",
    ),
    Kind.LIMITED: (
        "a rate limit",
        "the gateway limits the rate of requests: verify at a lower --rate, or without the limit.",
    ),
    Kind.DENIED: (
        "access is denied",
        "the gateway or the variants do not let these requests in: give what they ask for "
        "(--header), or look at the AuthorizationPolicy.",
    ),
}
# The same of one variant or all of them: `{they}` is "green is", `{them}` "green".
OF_VARIANTS = {
    Kind.OVERLOADED: (
        "the connection pools are full",
        "the gateway has no room for more requests to {them} (x-envoy-overloaded): see "
        "connectionPool and outlierDetection of the DestinationRule, or verify with fewer --users.",
    ),
    Kind.SLOW: (
        "{they} too slow",
        "{they} slower than the gateway's time-out or --timeout allows: see what {they} waiting "
        "for.",
    ),
    Kind.NO_PODS: (
        "no pods are ready",
        "no pod of {them} is ready, or the subset's labels select none: kubectl get endpoints.",
    ),
    Kind.NOT_CONNECTED: (
        "connections fail",
        "the gateway does not reach {them}, or is cut off: see whether the pods are up and stay "
        "up, on the right port, with the mTLS that the gateway speaks.",
    ),
}


def causes_of_losses(run: Run) -> Iterator[Explanation]:
    """Yield the cause of the losses of a run, where the counts or the reasons show it."""
    kind = main_kind(run.counted.losses)
    tally = run.tally
    whose = lost_to(run.question.split, Lost(tally, _named(run)))
    part = f"{tally.lost:,} of {tally.requests:,} requests are lost"
    stopped = hanging(run) if kind is Kind.SLOW and whose is None else ""
    if stopped:
        yield Explanation(
            "a gateway has stopped answering",
            f"{part}: {stopped} See whether its process and pods are alive, and what it waits for.",
        )
    elif kind in GENERAL:
        name, advice = GENERAL[kind]
        yield Explanation(name, f"{part}: {advice}")
    elif kind in OF_VARIANTS and not (kind is Kind.NOT_CONNECTED and _is_silent(tally, whose)):
        yield _of_kind(kind, whose, part)
    elif whose == EVERY_VARIANT:
        yield Explanation(
            "all variants fail",
            f"{part}, and not one variant's alone: they come from what all share, as the gateway, "
            "a fault that it injects before it chooses, or something that all variants need.",
        )
    elif whose:
        yield _failing(run.question.split, tally, whose, part)


def hanging(run: Run) -> str:
    """Return what has stopped answering in a run, a gateway or connections; empty: nothing."""
    if not run.counted.hanging:
        return ""
    names = [gateway.name for gateway in run.gateways]
    return why_hanging(run.counted.hanging, names, run.question, ended=True)


def _is_silent(tally: Tally, whose: str | None) -> bool:
    """Return whether the losses are of one variant, which never answers."""
    return bool(whose) and not tally.counts.get(whose or "", 0)


def _named(run: Run) -> dict[str, int]:
    """Return the errors that name their variant."""
    named: dict[str, int] = {}
    for key, buckets in run.counted.latency.items():
        if key.variant in run.question.split.positive and key.status != "2xx":
            named[key.variant] = named.get(key.variant, 0) + sum(buckets.values())
    return named


def _of_kind(kind: Kind, whose: str | None, part: str) -> Explanation:
    """Return the cause that the reasons show, of one variant where the counts say which."""
    name, advice = OF_VARIANTS[kind]
    they = f"{whose} is"
    them = whose or "a variant"
    if not whose:
        they = "variants are" if whose is None else "all variants are"
        them = "a variant" if whose is None else "every variant"
    name = name.format(they=they)
    if whose and whose not in name:
        name = f"{name} ({whose})"
    return Explanation(name, f"{part}, {_as(whose)}{advice.format(they=they, them=them)}")


def _as(whose: str | None) -> str:
    if whose is None:
        return "and "
    if whose == EVERY_VARIANT:
        return "not one variant's alone: "
    return f"about what {whose} lacks of its weight: "


def _failing(split: Split, tally: Tally, variant: str, part: str) -> Explanation:
    """Return that a variant is down, or that it fails some of its requests."""
    weight = 100 * split[variant]
    good = tally.counts.get(variant, 0)
    if not good:
        return Explanation(
            f"{variant} is down",
            f"{part}, about {variant}'s share (weight {weight:g} %), and it never answers: see "
            f"whether {variant}'s pods are up and ready, and which labels its subset selects.",
        )
    failing = 100 * tally.lost / (tally.lost + good)
    return Explanation(
        f"{variant} is failing",
        f"{part}, what {variant} lacks of its weight of {weight:g} %: it fails {failing:.0f} % of "
        f"its requests. See which of {variant}'s pods, and its log.",
    )
