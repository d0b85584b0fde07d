"""How many requests a question needs, before any is sent."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np
from scipy.special import erfcx, ndtr

from trafficsplit.analysis.evidence import Edge, Mixture, divergence, edges, log_ratios
from trafficsplit.analysis.fixed_power import sample_size
from trafficsplit.analysis.question import MOST_REQUESTS, Question
from trafficsplit.errors import InputError

BUDGET_QUANTILE = 0.999  # of runs that are as configured end within their budget
# What the mixture gains over its evidence on the likeliest path, in nats: the best of its points
# follows the fluctuations (half a nat by Wilks 1938), and the first passage counts (measured).
FLUCTUATION = 0.75
STAYING_SPARE = 1.05  # the share of the bets that is not on "no user ever changes"
USERS_SPARE = 1.5  # for a share that seems to change by chance, and is watched for longer then
TINY = 1e-9  # a share this near an edge is on it
NEVER = 1e15  # requests: a share too near an edge for the mixture's points shows after more


def planned(question: Question) -> Question:
    """Return the question with as many requests as it needs, if it does not say how many.

    Raises InputError if they are more than can be sent.
    """
    if question.requests:
        return question
    needed = budget(question)
    if question.test == "fixed":
        needed = fixed_size(question)
    if needed > MOST_REQUESTS:
        raise InputError(
            f"a tolerance of {question.tolerance * 100:g} points would take {needed:.0e} "
            "requests: give a larger --tolerance"
        )
    return replace(question, requests=needed)


def budget(question: Question) -> int:
    """Return the requests within which a gateway as configured is found so, 999 times in 1,000.

    Where a mismatch has an alpha of its own, as in a release, which one late step would hold up,
    late runs are as much rarer than that.
    """
    rarer = min(question.alpha_of_mismatch / question.alpha, 1)
    quantile = 1 - (1 - BUDGET_QUANTILE) * rarer
    if question.user_requests:
        users = math.ceil(users_to_match(question, quantile) * USERS_SPARE)
        return users * question.user_requests
    return requests_to_match(question, quantile)


def users_to_match(question: Question, quantile: float) -> int:
    """Return the `quantile` of users until `match` at a gateway that is as configured.

    At each gateway as many users are needed as of independent requests; and so many in all that
    hardly any can change version (`user_evidence`).
    """
    shares = requests_to_match(replace(question, gateways=1), quantile) * question.gateways
    staying = math.log(1 / question.alpha) / -math.log1p(-question.zero_tolerance)
    return max(shares, math.ceil(STAYING_SPARE * staying))


def fixed_size(question: Question) -> int:
    """Return the sample size at which the fixed test can see a deviation of one tolerance.

    It sees one with the question's power.
    """
    needed = _requests_for_zero(question)
    if len(question.split.positive) > 1:
        alpha = question.chi_square_alpha
        size = sample_size(question.split, question.tolerance, alpha, question.power)
        needed = max(needed, size)
    return needed


def _requests_for_zero(question: Question) -> int:
    """Return the requests that show a share of 0, or 1 if no variant is to have that."""
    if len(question.split) == 1 or len(question.split.positive) < len(question.split):
        return question.requests_for_zero
    return 1


@dataclass(frozen=True)
class _Walk:
    """Evidence against an edge as a random walk: the mean and the variance of a response's step.

    Its first passage of a threshold is inverse Gaussian (Wald 1947; Siegmund 1985, section III.3).
    """

    drift: float
    variance: float

    def chance_to_be_late(self, n: float, threshold: float) -> float:
        """Return the probability that it has not passed the threshold after n steps."""
        spread = math.sqrt(self.variance * n)
        near = (self.drift * n - threshold) / spread
        far = (self.drift * n + threshold) / spread
        # exp(2 drift threshold / variance) Φ(−far), as a product of which no factor overflows.
        back = float(erfcx(far / math.sqrt(2))) / 2 * math.exp(-near * near / 2)
        return max(1 - float(ndtr(near)) - back, 0.0)


def _walk(share: float, edge: Edge) -> _Walk:
    """Return the walk of the evidence for a true share of the edge's variant against the edge."""
    own, others = log_ratios(share, edge.share)
    step = own - others
    return _Walk(divergence(share, edge.share), step * step * share * (1 - share))


def requests_to_match(question: Question, quantile: float) -> int:
    """Return the `quantile` of requests until `match` at a gateway that is exactly as configured.

    The evidence against each edge is a random walk with drift KL(w‖e); its excess over the
    threshold log(1/α) is left out. The slowest edge decides. The tails are added up, since walks
    away from opposite edges are hardly ever late together.
    """
    weights = list(question.split.weights.values())
    needed = _requests_for_zero(question)
    walks = [_walk(weights[edge.variant], edge) for edge in edges(weights, question.tolerance)]
    if not walks:
        return needed
    threshold = math.log(1 / question.alpha)

    def is_enough(n: float) -> bool:
        late = sum(walk.chance_to_be_late(n, threshold) for walk in walks)
        return late <= 1 - quantile

    return max(needed, math.ceil(min(_least(is_enough), NEVER)))


def requests_to_mismatch(
    question: Question, shares: Mapping[str, float], quantile: float = 0.5
) -> int | None:
    """Return the `quantile` of requests until `mismatch` at a gateway with these true shares.

    None if every share is within its tolerance, or too near it ever to show. The first response of
    a variant of weight 0 shows at once (geometric). The mixture passes its threshold when its
    evidence along the likeliest path does; its spread is that of a random walk with the drift
    KL(q‖e) of the edge that shows first.
    """
    unexpected = sum(share for name, share in shares.items() if not question.split[name])
    if unexpected >= 1:
        return 1
    requests = _requests_to_deviation(question, shares, quantile)
    if unexpected > 0:
        requests = min(requests, math.log(1 - quantile) / math.log1p(-unexpected))
    if math.isinf(requests):
        return None
    return math.ceil(requests)


def _requests_to_deviation(
    question: Question, shares: Mapping[str, float], quantile: float
) -> float:
    """Return the requests until some share is shown to be beyond an edge; infinite if none is."""
    weights = list(question.split.weights.values())
    band = edges(weights, question.tolerance)
    q = np.array([shares.get(variant, 0.0) for variant in question.split])
    beyond = [edge for edge in band if _is_beyond(q[edge.variant], edge)]
    if not beyond:
        return math.inf
    mixture = Mixture(len(weights), band)
    threshold = math.log(1 / question.alpha)
    # If every response has the same variant, the path is known; otherwise it fluctuates.
    gain = FLUCTUATION if 0 < q.max() < 1 else 0.0
    typical = _least(lambda n: mixture.log_evidence(n * q) + gain >= threshold)
    first = max(beyond, key=lambda edge: divergence(float(q[edge.variant]), edge.share))
    share = float(q[first.variant])
    if not 0 < share < 1 or math.isinf(typical):
        return typical
    return typical * _spread(_walk(share, first), typical, quantile)


def _is_beyond(share: float, edge: Edge) -> bool:
    if edge.above:
        return share > edge.share + TINY
    return share < edge.share - TINY


def _spread(walk: _Walk, typical: float, quantile: float) -> float:
    """Return the `quantile` of a walk's first passage over its median.

    The threshold is where the walk is as a rule after `typical` steps.
    """
    threshold = typical * walk.drift
    middle = _least(lambda n: walk.chance_to_be_late(n, threshold) <= 0.5)
    late = _least(lambda n: walk.chance_to_be_late(n, threshold) <= 1 - quantile)
    return late / middle


def _least(holds: Callable[[float], bool]) -> float:
    """Return the least number from which on a condition holds, to half a request, or infinity."""
    low = 0.0
    high = 1.0
    while not holds(high):
        low = high
        high *= 2
        if high > NEVER:
            return math.inf
    while high - low > 0.5:
        middle = (low + high) / 2
        if holds(middle):
            high = middle
        else:
            low = middle
    return high
