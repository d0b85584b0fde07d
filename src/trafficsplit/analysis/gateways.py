"""Several gateways: do they split alike, and which of them does not?"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import chdtrc

from trafficsplit.analysis.evidence import confidence_interval
from trafficsplit.analysis.fixed import homogeneity
from trafficsplit.analysis.run import Run
from trafficsplit.analysis.sequential import SequentialTest
from trafficsplit.analysis.tally import Tally


@dataclass(frozen=True)
class OneGateway:
    """What one gateway did.

    `confidence` are intervals of its shares, which hold for all gateways and variants together with
    probability 1 − alpha, at any time; `log_mismatch` is the evidence that it is not as configured;
    `off` says that this is sure, of all gateways together.
    """

    name: str
    tally: Tally
    confidence: Mapping[str, tuple[float, float]]
    log_mismatch: float
    off: bool


@dataclass(frozen=True)
class GatewayComparison:
    """All gateways of a run, and Pearson's test of homogeneity (None where there is no test)."""

    each: Sequence[OneGateway]
    statistic: float | None
    dof: int
    p_value: float | None

    @property
    def off(self) -> list[OneGateway]:
        """Those that are not as configured, the worst first."""
        found = [one for one in self.each if one.off]
        return sorted(found, key=lambda one: one.log_mismatch, reverse=True)


def compare_gateways(run: Run) -> GatewayComparison | None:
    """Compare the gateways of a run, None where there is one.

    A gateway is singled out where its own e-process has reached N/α, N being the number of
    gateways: by Ville's inequality and Bonferroni's none that is as configured ever is, with
    probability 1 − α. Homogeneity is Pearson's test of the table of gateways by variants.
    """
    if not run.counted.gateways:
        return None
    question, number = run.question, len(run.counted.gateways)
    tallies = [gateway.tally for gateway in run.counted.gateways]
    variants = list(run.tally.counts)
    table = np.array([[t.counts.get(v, 0) for v in variants] for t in tallies], dtype=float)
    statistic, dof = homogeneity(table)
    p_value = float(chdtrc(dof, statistic)) if dof else None
    tests = SequentialTest.of(question)
    tests.look(tallies)
    certain = math.log(number / question.alpha)
    weights = np.array([question.split[v] for v in variants])
    alpha = question.alpha / number
    each = []
    for gateway, tally, counts, evidence in zip(
        run.counted.gateways, tallies, table, tests.log_mismatch_by_gateway, strict=True
    ):
        if counts[weights == 0].any():  # a variant that was to get nothing
            evidence = math.inf
        intervals = {
            v: confidence_interval(counts, weights, i, alpha) for i, v in enumerate(variants)
        }
        each.append(OneGateway(gateway.name, tally, intervals, evidence, evidence >= certain))
    return GatewayComparison(each, statistic if dof else None, dof, p_value)
