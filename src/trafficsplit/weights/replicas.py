"""Argo's Rollout without traffic routing: pods share the traffic, and a weight is rounded to pods.

The rounding is that of Argo Rollouts (utils/replicaset/canary.go, 1.9): of the numbers next to the
weight, with and without one more pod, the pair whose share is nearest.
"""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Pods:
    """The pods of a canary, and all pods."""

    canary: int
    total: int

    @property
    def share(self) -> float:
        """The canary's share of the pods, 0 where there are none."""
        return self.canary / self.total if self.total else 0.0

    def __str__(self) -> str:
        return f"{self.canary} of {self.total} pods ({100 * self.share:.4g} %)"


def pods_at(weight: int, replicas: int, *, may_surge: bool, most: int = 100) -> Pods:
    """Return the pods with which Argo Rollouts comes nearest to a weight of `most`.

    `may_surge` says that one pod more than `replicas` may run meanwhile.
    """
    totals = [replicas, replicas + 1] if may_surge else [replicas]
    none_allowed = weight in (0, most)
    options = []
    for total in totals:
        exact = total * weight / most
        above, below = math.ceil(exact), math.floor(exact)
        if above < total or none_allowed:
            options.append(Pods(above, total))
        if 2 * (exact - below) != 1 and (below or none_allowed):
            options.append(Pods(below, total))
    if not replicas or not options:
        return Pods(0, replicas)
    return min(options, key=lambda pods: abs(pods.share - weight / most))  # the first of the best


def surge(text: int | str, replicas: int) -> int:
    """Return the pods that may run beyond `replicas`: a number, or per cent rounded up."""
    if isinstance(text, str) and text.endswith("%"):
        return math.ceil(replicas * int(text[:-1]) / 100)
    return int(text)
