"""Several gateways: do they split alike, and which of them does not?"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from trafficsplit.analysis.evidence import confidence_interval
from trafficsplit.analysis.fixed import homogeneity
from trafficsplit.analysis.run import Run
from trafficsplit.analysis.sequential import SequentialTest
from trafficsplit.analysis.special import chdtrc
from trafficsplit.analysis.tally import Tally


@dataclass(frozen=True)
class OneGateway:
    """What one gateway did.

    `confidence` are intervals of its shares; those of all gateways and variants hold together, at
    any time, with probability 1 − alpha. `log_mismatch` is the evidence that it does not split as
    configured. `off` says that this is certain, with alpha bounding the error at all gateways
    together.
    """

    name: str
    tally: Tally
    confidence: Mapping[str, tuple[float, float]]
    log_mismatch: float
    off: bool


@dataclass(frozen=True)
class GatewayComparison:
    """All gateways of a run, and Pearson's test of homogeneity (None: it cannot be made)."""

    each: Sequence[OneGateway]
    statistic: float | None
    dof: int
    p_value: float | None

    @property
    def off(self) -> list[OneGateway]:
        """The gateways that do not split as configured, the worst first."""
        off = [one for one in self.each if one.off]
        return sorted(off, key=lambda one: one.log_mismatch, reverse=True)


def compare_gateways(run: Run) -> GatewayComparison | None:
    """Compare the gateways of a run; None if there is only one.

    A gateway is singled out once its own e-process has reached N/α, with N gateways. By Ville's
    inequality and Bonferroni's, none that is as configured ever is, with probability 1 − α.
    Homogeneity is Pearson's test of the table of gateways by variants.
    """
    gateways = run.counted.gateways
    if not gateways:
        return None
    tallies = [gateway.tally for gateway in gateways]
    test = SequentialTest.of(run.question)
    test.look(tallies)
    each = []
    for gateway, tally, evidence in zip(
        gateways, tallies, test.log_mismatch_by_gateway, strict=True
    ):
        each.append(_one_gateway(run, gateway.name, tally, evidence))
    variants = list(run.tally.counts)
    table = np.array([tally.counts_of(variants) for tally in tallies], dtype=float)
    statistic, dof = homogeneity(table)
    if not dof:
        return GatewayComparison(each, None, dof, None)
    return GatewayComparison(each, statistic, dof, float(chdtrc(dof, statistic)))


def _one_gateway(run: Run, name: str, tally: Tally, evidence: float) -> OneGateway:
    """Return what a gateway did, by its share of alpha."""
    split = run.question.split
    alpha = run.question.alpha / len(run.counted.gateways)
    variants = list(run.tally.counts)
    weights = np.array([split[variant] for variant in variants])
    counts = np.array(tally.counts_of(variants), dtype=float)
    if counts[weights == 0].any():  # a variant that is to get nothing
        evidence = math.inf
    intervals = {}
    for index, variant in enumerate(variants):
        intervals[variant] = confidence_interval(counts, weights, index, alpha)
    return OneGateway(name, tally, intervals, evidence, off=evidence >= math.log(1 / alpha))
