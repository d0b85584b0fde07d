"""The causes that would give exact shares: which shares each would give, and what to do.

Most are from bug reports of gateways and controllers. Causes whose shares are those of the
configuration, within the tolerance, explain nothing and are left out.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations

from trafficsplit.analysis.causes.weighing import (
    SUPPORT,
    Candidate,
    Weighing,
    differ,
    weigh,
)
from trafficsplit.analysis.question import Question
from trafficsplit.analysis.split import Split

Counts = Mapping[str, int]
Shares = dict[str, float]

OLD_WEIGHTS = "old weights"  # in the name of each cause by which a change may only be late
MOST_REPLICAS = 5  # of a gateway, of which some may have old weights
MOST_PODS = 3  # of a variant, for one of every other
STEP = 0.05  # people set splits in such steps
ALIKE = 1e-9  # shares that differ by less are the same
SLOWER = 1.3  # times as slow a variant has to be for its speed to show
WRONG_TOTAL = 10  # times as much as the right one


@dataclass(frozen=True)
class Facts:
    """What is known beside the counts.

    `previous` are the weights before the change, None where they are not known. `others` are the
    weights of other routes of the same source, by name. `speeds` are the mean latencies of the
    variants, in milliseconds, where they have answered.
    """

    question: Question
    previous: Split | None = None
    others: Mapping[str, Split] = field(default_factory=dict)
    speeds: Mapping[str, float] = field(default_factory=dict)

    @property
    def split(self) -> Split:
        """The configured weights."""
        return self.question.split


def weigh_causes(facts: Facts, counts: Counts, support: float = SUPPORT) -> Weighing:
    """Return which causes the counts do not rule out, and which of these they support."""
    return weigh(counts, candidates(facts, counts), support)


def candidates(facts: Facts, counts: Counts) -> list[Candidate]:
    """Return the causes that are possible.

    A usual one is left out where one that is known of here has the same shares, and one that is
    only conceivable where the counts could not tell it apart from a likely one. Conceivable ones
    of the same shares are asked together.
    """
    found = _explaining(facts, _known(facts))
    for candidate in _explaining(facts, _usual(facts, counts)):
        if not any(_same(candidate.shares, one.shares) for one in found):
            found.append(candidate)
    found += _explaining(facts, _stale_replicas(facts))
    asked: list[Candidate] = []
    for candidate in _explaining(facts, _conceivable(facts, counts)):
        if all(differ(candidate.shares, one.shares) for one in found):
            _ask_together(asked, candidate)
    return found + asked


def _ask_together(asked: list[Candidate], candidate: Candidate) -> None:
    """Add a candidate to those that are asked, as an alternative to one of the same shares."""
    for index, one in enumerate(asked):
        if _same(one.shares, candidate.shares):
            asked[index] = replace(
                one,
                name=f"{one.name}, or {candidate.name}",
                advice=f"{one.advice} Or else: {candidate.advice}",
                prior=max(one.prior, candidate.prior),
            )
            return
    asked.append(candidate)


def _explaining(facts: Facts, some: Iterable[Candidate]) -> list[Candidate]:
    """Return the candidates that would not give what is configured."""
    return [one for one in some if not _is_as_configured(one.shares, facts.question)]


def _known(facts: Facts) -> Iterator[Candidate]:
    yield from _old_weights(facts)
    yield from _of_other_routes(facts)


def _usual(facts: Facts, counts: Counts) -> Iterator[Candidate]:
    split = facts.split
    yield from _everything_to_one(facts, counts)
    yield from _swapped(split)
    yield from _equal_shares(split)
    yield from _wrong_total(split)
    yield from _nothing_to_one(split)
    yield from _renamed(split, counts)


def _conceivable(facts: Facts, counts: Counts) -> Iterator[Candidate]:
    yield from _simple_splits(facts.split, counts)
    yield from _by_pods(facts.split)
    yield from _by_speed(facts)


def _is_as_configured(shares: Mapping[str, float], question: Question) -> bool:
    split = question.split
    for variant in {**split.weights, **shares}:
        distance = abs(shares.get(variant, 0.0) - split[variant])
        if distance > question.tolerance_of(variant) or (distance and not split[variant]):
            return False
    return True


def _same(one: Mapping[str, float], other: Mapping[str, float]) -> bool:
    return all(abs(one.get(v, 0.0) - other.get(v, 0.0)) < ALIKE for v in {**one, **other})


def _in_words(shares: Mapping[str, float]) -> str:
    return ", ".join(f"{variant} {100 * share:.3g} %" for variant, share in shares.items())


# --- named ---


def _old_weights(facts: Facts) -> Iterator[Candidate]:
    previous = facts.previous
    if previous is None:
        return
    yield Candidate(
        f"the {OLD_WEIGHTS} are still in force ({previous})",
        _old_shares(facts.split, previous),
        f"The shares are those of the old weights ({previous}): the change has not reached the "
        "gateway, or not yet. See whether the VirtualService was applied, in this cluster and "
        "namespace, and whether the gateway is in sync (istioctl proxy-status); then verify again.",
        prior=0.3,
    )


def _old_shares(split: Split, previous: Split) -> Shares:
    return {variant: previous[variant] for variant in dict.fromkeys([*split, *previous])}


def _everything_to_one(facts: Facts, counts: Counts) -> Iterator[Candidate]:
    """Yield that one variant gets everything."""
    if not counts:
        return
    split = facts.split
    sole = max(counts, key=lambda variant: counts[variant])
    yield Candidate(
        f"everything goes to {sole}",
        {variant: float(variant == sole) for variant in {**split.weights, **counts}},
        _advice_on_everything(split, sole),
        prior=0.2,
    )


def _advice_on_everything(split: Split, sole: str) -> str:
    every = f"Every response came from {sole}"
    if sole not in split:
        return (
            f"{every}, which is not configured: another application answers, or the variants have "
            "other names in its answers than in the weights (--map, --variant-from)."
        )
    baseline = max(split, key=lambda variant: split[variant])
    keeps = (
        "Or the gateway keeps this machine's address, or requests without its cookie, on one "
        "variant, or a cache repeats it: does another address get another variant?"
    )
    if sole == baseline:
        others = " and ".join(variant for variant in split.positive if variant != sole)
        return (
            f"{every}: the rollout never took effect, another rule matches first, or {others} is "
            f"down and the gateway sends its share elsewhere. {keeps}"
        )
    return (
        f"{every}, which is to get {100 * split[sole]:g} %: it was promoted already, or a rule "
        f"that matches first (on a header, a cookie, a path) sends these requests there. {keeps}"
    )


def _swapped(split: Split) -> Iterator[Candidate]:
    """Yield that two variants have each other's weights."""
    pairs = list(combinations(split, 2))
    for one, other in pairs:
        if split[one] == split[other]:
            continue
        name = "the weights are swapped"
        if len(pairs) > 1:
            name = f"the weights of {one} and {other} are swapped"
        yield Candidate(
            name,
            {**split.weights, one: split[other], other: split[one]},
            f"The shares are the weights the other way round: {one} has {other}'s. See which "
            "subset, label or host each weight belongs to.",
            prior=0.1 / len(pairs),
        )


def _equal_shares(split: Split) -> Iterator[Candidate]:
    yield Candidate(
        "the split is by replica count",
        dict.fromkeys(split, 1 / len(split)),
        "The variants share equally, as pods behind one Service do where each has as many: the "
        "VirtualService does not apply to these requests. Compare its hosts, gateways and match "
        "with the host and the path of the requests. (Least connections share equally too, where "
        "the variants are as fast.)",
    )


def _of_other_routes(facts: Facts) -> Iterator[Candidate]:
    for name, other in facts.others.items():
        yield Candidate(
            f"the weights of another route are in force ({name})",
            _old_shares(facts.split, other),
            f"The shares are the weights of {name} ({other}): that route takes these requests. "
            "Compare its match, and the order of the rules, with the path, host and headers of the "
            "requests.",
            prior=0.2 / len(facts.others),
        )


def _wrong_total(split: Split) -> Iterator[Candidate]:
    """Yield that the canaries' weights count a tenth: 5 % become 0.5 %."""
    baseline = max(split, key=lambda variant: split[variant])
    shares = {v: weight / WRONG_TOTAL for v, weight in split.weights.items() if v != baseline}
    if not any(shares.values()):
        return
    shares[baseline] = 1 - sum(shares.values())
    yield Candidate(
        "the weights are taken of a wrong total",
        shares,
        f"Every canary gets a tenth of its weight ({_in_words(shares)}), as if the weights were "
        "taken of a total of 1,000 and not of 100: see how the gateway's configuration adds them "
        "up.",
        prior=0.05,
    )


def _nothing_to_one(split: Split) -> Iterator[Candidate]:
    """Yield that one of three or more gets nothing, and the others keep their ratio."""
    if len(split.positive) < 3:
        return
    for missing, weight in split.positive.items():
        rest = {variant: split[variant] / (1 - weight) for variant in split}
        yield Candidate(
            f"nothing goes to {missing}",
            {**rest, missing: 0.0},
            f"{missing} answers nothing, and the others share its weight by theirs: see whether "
            f"{missing} has pods, and whether the gateway has taken it out.",
            prior=0.05,
        )


def _renamed(split: Split, counts: Counts) -> Iterator[Candidate]:
    """Yield that a variant answers by another name."""
    strange = [variant for variant, count in counts.items() if count and variant not in split]
    silent = [variant for variant in split.positive if not counts.get(variant)]
    if len(strange) != 1:
        return
    for variant in silent:
        shares = {**split.weights, variant: 0.0, strange[0]: split[variant]}
        yield Candidate(
            f"{variant} answers as {strange[0]}",
            shares,
            f"{strange[0]} gets {variant}'s weight, and {variant} never answers: are they the "
            f"same (--map, or the names in --weights), or is {strange[0]} deployed in its place?",
        )


# --- asked ---


def _stale_replicas(facts: Facts) -> Iterator[Candidate]:
    """Yield k of N gateway replicas with old weights: mixtures of old and new.

    These lie close together, and any share in between fits one of them: it is a question. Those
    that are next to all the old weights are left out.
    """
    if facts.previous is None:
        return
    split = facts.split
    old = _old_shares(split, facts.previous)
    for stale, replicas in _fractions():
        part = stale / replicas
        shares = {variant: part * old[variant] + (1 - part) * split[variant] for variant in old}
        if not differ(shares, old):
            continue
        have = "has" if stale == 1 else "have"
        yield Candidate(
            f"some gateway replicas still have the {OLD_WEIGHTS}",
            shares,
            f"The shares are as if {stale} of {replicas} gateway replicas still {have} the old "
            "weights: is it so? Compare their configuration (istioctl proxy-status), and verify "
            "each by itself (--resolve).",
            prior=0.1 / replicas,
            asks=True,
        )


def _fractions() -> Iterator[tuple[int, int]]:
    """Yield k and N with k < N, and each fraction once, by the smallest numbers."""
    seen: set[float] = set()
    for replicas in range(2, MOST_REPLICAS + 1):
        for stale in range(1, replicas):
            if stale / replicas not in seen:
                seen.add(stale / replicas)
                yield stale, replicas


def _by_pods(split: Split) -> Iterator[Candidate]:
    """Yield that a weight counts for each pod of a variant, and not for all of them."""
    if len(split.positive) < 2:
        return
    for variant in split.positive:
        for pods in range(2, MOST_PODS + 1):
            weights = {**split.weights, variant: pods * split[variant]}
            shares = dict(Split(weights).weights)
            yield Candidate(
                f"the weights count per pod, and {variant} has {pods} times as many",
                shares,
                f"The shares are as if each weight counted for every pod, and {variant} had {pods} "
                "pods for one of each other variant: is it so? Then the gateway needs a weight per "
                "service.",
                prior=0.02,
                asks=True,
            )


def _by_speed(facts: Facts) -> Iterator[Candidate]:
    """Yield that variants get requests as fast as they answer, as by least connections.

    Their numbers of requests under way are then equal, or by weight, so that by Little's law the
    shares go as 1/latency.
    """
    speeds = facts.speeds
    split = facts.split
    if set(speeds) != set(split.positive) or len(speeds) < 2:
        return
    if max(speeds.values()) < SLOWER * min(speeds.values()):
        return
    for weights in (dict.fromkeys(speeds, 1.0), split.positive):
        shares = Split({variant: weights[variant] / speeds[variant] for variant in speeds})
        yield Candidate(
            "the faster variant gets more",
            {**dict.fromkeys(split, 0.0), **shares.weights},
            "The shares go with the speed of the answers, as where the variant with the fewest "
            "requests under way gets the next one: does the gateway balance by least connections "
            "or least requests?",
            prior=0.02,
            asks=True,
        )


def _simple_splits(split: Split, counts: Counts) -> Iterator[Candidate]:
    """Yield the split in steps of five per cent that is nearest to the counts."""
    n = sum(counts.values())
    if not n or len(counts) < 2 or other_variants(split, counts):
        return
    shares = _rounded({variant: count / n for variant, count in counts.items()})
    if not shares:
        return
    words = "/".join(f"{100 * share:.0f}" for share in shares.values())
    yield Candidate(
        f"a split of {words}",
        shares,
        f"The shares fit {words} ({_in_words(shares)}): is that what was configured before, or "
        "elsewhere?",
        prior=0.01,
        asks=True,
    )


def _rounded(shares: Mapping[str, float]) -> Shares:
    """Return shares in whole steps that sum to 1; empty where one that answers would get 0."""
    steps = {variant: round(share / STEP) for variant, share in shares.items()}
    if any(share and not steps[variant] for variant, share in shares.items()):
        return {}
    if sum(steps.values()) != round(1 / STEP):
        return {}
    return {variant: step * STEP for variant, step in steps.items()}


def other_variants(split: Split, counts: Counts) -> Sequence[str]:
    """Return the variants that answer, and are not configured."""
    return [variant for variant, count in counts.items() if count and variant not in split]
