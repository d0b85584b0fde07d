"""How many requests a question needs, before any is sent."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache

from trafficsplit.analysis.first_passage import Passage
from trafficsplit.analysis.fixed_power import sample_size
from trafficsplit.analysis.held_back import held_back, not_before, seconds_held_back
from trafficsplit.analysis.question import MOST_REQUESTS, Question
from trafficsplit.analysis.special import bdtr
from trafficsplit.analysis.until_match import until_match
from trafficsplit.analysis.until_mismatch import NEVER, until_mismatch
from trafficsplit.analysis.user_evidence import fewest_dealt
from trafficsplit.errors import InputError

STAYING_SPARE = 1.05  # the share of the bets that is not on "no user ever changes"
USERS_SPARE = 1.5  # for a share that seems to change by chance, and is watched for longer then
BUDGET_QUANTILE = 0.9999  # of runs that are as configured end within their budget
SPARE_LOSSES = 3  # lost requests after which a weight of 0 is still a match within its budget


def planned(question: Question) -> Question:
    """Return the question with as many requests as it needs, if it does not say how many.

    Raises InputError if they are more than can be sent.
    """
    if question.requests:
        return question
    needed = budget(question)
    if question.test == "fixed":
        needed = fixed_size(question)
    needed = max(needed, question.least_requests)
    if needed > MOST_REQUESTS:
        raise InputError(
            f"a tolerance of {question.tolerance * 100:g} points would take {needed:.0e} "
            "requests: give a larger --tolerance"
        )
    return replace(question, requests=needed)


@lru_cache(maxsize=256)
def budget(question: Question) -> int:
    """Return the requests within which a gateway as configured is found so, 9,999 times in 10,000.

    With a weight of 0 a few requests may be lost meanwhile. Where a mismatch has an alpha of its
    own, as in a release, which one late step would hold up, late runs are as much rarer than that.
    """
    rarer = min(question.alpha_of_mismatch / question.alpha, 1)
    quantile = 1 - (1 - BUDGET_QUANTILE) * rarer
    if question.user_requests:
        users = math.ceil(users_to_match(question, quantile) * USERS_SPARE)
        return users * question.user_requests
    needed = requests_to_match(question, quantile)
    return max(needed, question.gateways * _requests_for_zero(question, SPARE_LOSSES))


def users_to_match(question: Question, quantile: float) -> int:
    """Return the `quantile` of users until `match` at a gateway that is as configured.

    As many are needed as of independent requests; and so many that hardly any can change version
    (`user_evidence`).
    """
    return max(_draws_to_match(question, quantile), _users_to_stay(question))


def _users_to_stay(question: Question) -> int:
    """Return the users of whom none changes version that show that hardly any does."""
    staying = math.log(1 / question.alpha) / -math.log1p(-question.zero_tolerance)
    return math.ceil(STAYING_SPARE * staying)


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


def requests_to_match(question: Question, quantile: float) -> int:
    """Return the `quantile` of requests until `match` at a gateway that is exactly as configured.

    Nothing is lost meanwhile; several gateways have as many requests each.
    """
    if question.user_requests:
        return users_to_match(question, quantile) * question.user_requests
    return _draws_to_match(question, quantile)


def _draws_to_match(question: Question, quantile: float) -> int:
    needed = question.gateways * _requests_for_zero(question)
    passage = _until_match(question)
    if passage is None:
        return needed
    return max(needed, _whole(passage.quantile(quantile)))


def mean_requests_to_match(question: Question) -> float:
    """Return the mean of what `requests_to_match` has a quantile of."""
    needed = question.gateways * _requests_for_zero(question)
    if question.user_requests:
        needed = max(needed, _users_to_stay(question))
    passage = _until_match(question)
    draws = float(needed) if passage is None else passage.mean_from(needed)
    return draws * max(question.user_requests, 1)


def requests_to_mismatch(
    question: Question, shares: Mapping[str, float], quantile: float = 0.5
) -> int | None:
    """Return the `quantile` of requests until `mismatch` at a gateway with these true shares.

    None if every share is within its tolerance, or too near it ever to show. The first response of
    a variant of weight 0 shows at once.
    """
    passage = _until_mismatch(question, shares)
    if passage is None:
        return None
    draws = passage.quantile(quantile)
    if math.isinf(draws):
        return None
    return _whole(draws) * max(question.user_requests, 1)


def mean_requests_to_mismatch(question: Question, shares: Mapping[str, float]) -> float | None:
    """Return the mean of what `requests_to_mismatch` has a quantile of; None if there is none."""
    passage = _until_mismatch(question, shares)
    if passage is None or math.isinf(passage.mean):
        return None
    return passage.mean * max(question.user_requests, 1)


def least_seconds_to_mismatch(question: Question, shares: Mapping[str, float]) -> float:
    """Return the seconds that a mismatch takes at least, at whatever rate of requests."""
    if question.user_requests or _is_surprise(question, shares):
        return 0.0
    return seconds_held_back(question, shares)


def _until_mismatch(question: Question, shares: Mapping[str, float]) -> Passage | None:
    passage = until_mismatch(question, shares)
    if passage is None or _is_surprise(question, shares):
        return passage
    if question.user_requests:
        return not_before(passage, fewest_dealt(question))
    return held_back(passage, question, shares)


def _is_surprise(question: Question, shares: Mapping[str, float]) -> bool:
    """Return whether a variant answers that is to get nothing."""
    return any(share > 0 and not question.split[variant] for variant, share in shares.items())


_until_match = lru_cache(maxsize=256)(until_match)


def _whole(requests: float) -> int:
    return math.ceil(min(requests, NEVER) - 1e-6)


def _requests_for_zero(question: Question, lost: int = 0) -> int:
    """Return the requests that show a share of 0, or 1 if no variant is to have that.

    With some lost, P(so many of the variant's own, or fewer, at τ₀) ≤ α (DESIGN.md 4, weight 0).
    """
    if len(question.split) > 1 and len(question.split.positive) == len(question.split):
        return 1
    n = question.requests_for_zero
    if not lost:
        return n
    low = n
    high = n * (lost + 1)  # each lost one costs no more than as many again
    while low < high:
        middle = (low + high) // 2
        if bdtr(float(lost), middle, question.zero_tolerance) <= question.alpha:
            high = middle
        else:
            low = middle + 1
    return high
