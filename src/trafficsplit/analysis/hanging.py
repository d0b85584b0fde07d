"""Gateways that stop answering: what little is lost in all may be all there was at the end.

A connection that waits for an answer sends nothing else, so a gateway that hangs loses few of many
requests, and the living ones take over. Therefore losses are judged by gateway, by connection, and
in time (DESIGN.md 4, "Losses").
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from trafficsplit.analysis.losses import Hanging
from trafficsplit.analysis.question import Question
from trafficsplit.analysis.special import bdtrc

LEAST_FAILING = 1e-4  # a fraction: where none may be lost, one in so many still may be chance
FALLEN = 0.5  # the fraction of lost requests that the last ones are tested for
STUCK = 0.4  # the fraction of users from which on it is no chance that they are stuck


@dataclass(frozen=True)
class Suffix:
    """The last `number` of some requests, `lost` of which were lost.

    `log_evidence` is the logarithm of the likelihood ratio of "half of these are lost" to "no more
    are lost than is allowed".
    """

    number: int = 0
    lost: int = 0
    log_evidence: float = 0.0


def worst_suffix(lost: Sequence[bool], allowed: float) -> Suffix:
    """Return the last few that speak most for a gateway that has begun to lose (CUSUM, Page 1954).

    Read from the end, the likelihood ratio is a martingale where no more than the fraction
    `allowed` are lost: at a time that does not depend on them its maximum reaches x with a
    probability of at most 1/x.
    """
    if not any(lost) or allowed >= FALLEN:
        return Suffix()
    allowed = max(allowed, LEAST_FAILING)
    of_lost = math.log(FALLEN / allowed)
    of_answered = math.log((1 - FALLEN) / (1 - allowed))
    steps = np.where(np.asarray(lost, dtype=bool)[::-1], of_lost, of_answered)
    evidence = np.cumsum(steps)
    best = int(np.argmax(evidence))
    if evidence[best] <= 0:
        return Suffix()
    number = best + 1
    return Suffix(number, sum(lost[len(lost) - number :]), float(evidence[best]))


def why_hanging(
    gateways: Sequence[Hanging], names: Sequence[str], question: Question, *, ended: bool
) -> str:
    """Return why a run is failing because a gateway has stopped answering; empty if none has.

    `names` are those of the gateways. A run that has `ended` is failing for a gateway that did not
    answer to the end, for users that are stuck, for the last few requests that were lost, or for
    more losses at one gateway, with what they kept back, than `max_failing`. A run that goes on is
    failing only for what is certain however often it is looked at: the gateway may answer yet.
    """
    for gateway, name in zip(gateways, names, strict=True):
        reason = _why_one_hangs(gateway, name, question, len(gateways), ended=ended)
        if reason:
            return reason
    return ""


def _why_one_hangs(
    gateway: Hanging, name: str, question: Question, of_gateways: int, *, ended: bool
) -> str:
    if not gateway.lost and not gateway.silent:
        return ""
    if ended and gateway.silent:
        return _silent(gateway, name)
    if ended and gateway.stuck >= max(2.0, STUCK * gateway.users):
        return _stuck(gateway, name)
    alpha = question.alpha_of_mismatch / of_gateways
    requests = worst_suffix(gateway.latest, question.max_failing)
    if requests.log_evidence >= _threshold(gateway.requests, alpha, ended=ended):
        return f"{_of(requests)} to {name} got no good answer: it does not answer as it did before."
    if ended:
        return _why_it_loses_too_many(gateway, name, question, alpha, of_gateways)
    return ""


def _threshold(number: int, alpha: float, *, ended: bool) -> float:
    """Return the evidence that the last few of `number` have to have.

    At the end there is one look, whose error is squared because losses come in bursts. Before it,
    every one of them may be where the losses began and where it is looked at: the errors of all
    starts k, alpha/(k (k + 1)), add up to alpha.
    """
    if ended:
        return 2 * math.log(1 / alpha)
    return math.log(max(number, 1) * (number + 1) / alpha)


def _why_it_loses_too_many(
    gateway: Hanging, name: str, question: Question, alpha: float, of_gateways: int
) -> str:
    """Return that more than is allowed is lost at one gateway, with what was kept back."""
    allowed = question.max_failing
    missing = gateway.lost + gateway.kept_back
    sent = gateway.requests + gateway.kept_back
    if missing <= allowed * sent:
        return ""
    if gateway.kept_back and _is_certain(gateway.hung, gateway.connections, allowed, alpha):
        return (
            f"{gateway.hung:,} of {gateway.connections:,} connections to {name} lost their answer, "
            f"and did not send {gateway.kept_back:,} requests while they waited: with these, "
            f"{missing:,} of {sent:,} got none, more than {allowed * 100:g} %."
        )
    if of_gateways > 1 and _is_certain(gateway.lost, gateway.requests, allowed, alpha):
        return (
            f"Of {gateway.requests:,} requests to {name} {gateway.lost:,} got no good answer, more "
            f"than {allowed * 100:g} %."
        )
    return ""


def _is_certain(lost: int, number: int, allowed: float, alpha: float) -> bool:
    """Return whether so many lost ones are not chance, by the binomial distribution."""
    if lost == 0 or number == 0 or lost <= allowed * number:
        return False
    return float(bdtrc(lost - 1, number, allowed)) <= alpha


def _silent(gateway: Hanging, name: str) -> str:
    requests = "one request" if gateway.unanswered == 1 else f"{gateway.unanswered:,} requests"
    if gateway.answered < 0:
        return f"{name} has never answered: {requests} waited in vain."
    return (
        f"{name} has not answered since {gateway.answered:.1f} s after the start: for "
        f"{gateway.silent:.1f} s {requests} waited in vain."
    )


def _stuck(gateway: Hanging, name: str) -> str:
    number = f"{gateway.stuck:,} of {gateway.users:,}"
    if abs(gateway.stuck / gateway.users - FALLEN) <= FALLEN - STUCK:
        number = "half"
    return (
        f"At the end {number} of the connections to {name} lost their answer: a part of what is "
        "behind it does not answer."
    )


def _of(suffix: Suffix) -> str:
    """Return how many of the last are lost: `Half of the last 24 requests`."""
    if suffix.lost == suffix.number:
        return f"All of the last {suffix.number:,} requests"
    if abs(suffix.lost / suffix.number - FALLEN) < 0.1:
        return f"Half of the last {suffix.number:,} requests"
    return f"{suffix.lost:,} of the last {suffix.number:,} requests"
