"""Are the responses independent draws? In order of sending, and by connection.

The error rates of the verdict take it so. Three statistics, each in one pass and constant memory:

- dispersion of the counts in blocks of successive responses: 1 for independent draws, near 0 for a
  weighted round robin, above 1 where draws come in clusters or the split changes;
- agreement of each response with the one sent before it (for two variants: the lag-1 correlation);
- homogeneity across connections, and agreement within each: a gateway that keeps a connection on
  one variant gives the same variant again and again there.
"""

from __future__ import annotations

import enum
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from scipy.special import betainc, chdtr, chdtrc, ndtr

from trafficsplit.analysis.order import Agreement, Clusters, Order

FEWEST_PAIRS = 20
# At least and at most so many pairs of responses within connections are waited for.
TELLING_PAIRS, MOST_TELLING_PAIRS = 40, 500
# A finding needs to be sure, and large enough to matter.
SURE = 1e-4
CLUSTERED_DISPERSION, CLUSTERED_CORRELATION = 1.5, 0.15
EVEN_DISPERSION, KEPT_CORRELATION = 0.5, 0.5


class Draws(enum.StrEnum):
    """What the responses are as draws."""

    INDEPENDENT = "independent"
    EVEN = "better than chance"
    CLUSTERED = "clustered"
    UNKNOWN = "too few to tell"


@dataclass(frozen=True)
class Independence:
    """What the order says. Statistics are None where there was too little to compute them.

    `dispersion` and `homogeneity` are variances over what independent draws would have (1);
    `correlation` and `within_connections` are agreements beyond chance (0, at most 1).
    `by_connection` says that clusters are connections.
    """

    draws: Draws
    dispersion: float | None
    correlation: float | None
    homogeneity: float | None
    within_connections: float | None
    reason: str
    by_connection: bool = False


def telling_pairs(counts: Mapping[str, int]) -> int:
    """Pairs of responses within connections that show whether a gateway keeps connections.

    If all of them agree, which by chance each does with probability Σp², that must be surer than
    `SURE`; a quarter more, since the shares are estimated. Where all responses are one variant's,
    agreement shows nothing, and there is no waiting for it.
    """
    n = sum(counts.values())
    chance = math.fsum((x / n) ** 2 for x in counts.values()) if n else 1.0
    if chance >= 1:
        return TELLING_PAIRS
    needed = math.ceil(1.25 * math.log(SURE) / math.log(chance))
    return min(max(needed, TELLING_PAIRS), MOST_TELLING_PAIRS)


def independence(order: Order) -> Independence:
    """Judge the order of a run.

    Dispersion and homogeneity are tested by Pearson's chi-square of the table of groups by
    variants (Agresti, Categorical Data Analysis, section 3.2), agreement by its normal
    approximation (Fleiss, Cohen & Everitt 1969; for two variants √n times the lag-1 correlation,
    Wald & Wolfowitz 1943).
    """
    dispersion, blocks_low, blocks_high = _homogeneity(order.blocks)
    homogeneity, _, differ = _homogeneity(order.connections)
    counts = order.connections.counts or order.blocks.counts
    correlation, more, less = _beyond_chance(order.successive, counts)
    within, more_within, _ = _beyond_chance(order.within_connections, counts)

    def found(draws: Draws, reason: str, *, by_connection: bool = False) -> Independence:
        return Independence(
            draws, dispersion, correlation, homogeneity, within, reason, by_connection
        )

    # Users in step with a round robin get like turns again and again, so that their connections
    # differ: that is no stickiness, and the dealing in turn itself shows first.
    in_turn = dispersion is not None and dispersion < EVEN_DISPERSION and blocks_low < SURE
    kept = within is not None and within > KEPT_CORRELATION
    if in_turn and not kept and correlation is not None and less < SURE:
        return found(
            Draws.EVEN,
            "the gateway deals requests out in turn (a weighted round robin), which keeps a split "
            "better than chance would",
        )
    if homogeneity is not None and homogeneity > CLUSTERED_DISPERSION and differ < SURE:
        return found(
            Draws.CLUSTERED,
            "connections differ in their shares: the gateway keeps a connection on one variant",
            by_connection=True,
        )
    if within is not None and within > KEPT_CORRELATION and more_within < SURE:
        return found(
            Draws.CLUSTERED,
            "the gateway keeps a connection on one variant",
            by_connection=True,
        )
    if correlation is not None and correlation > CLUSTERED_CORRELATION and more < SURE:
        return found(Draws.CLUSTERED, "successive requests go to the same variant in a row")
    if dispersion is not None and dispersion > CLUSTERED_DISPERSION and blocks_high < SURE:
        return found(Draws.CLUSTERED, "the shares of successive requests come and go")
    if dispersion is None and homogeneity is None:
        return found(Draws.UNKNOWN, "there were too few responses to tell")
    return found(Draws.INDEPENDENT, "nothing speaks against independent draws")


def _homogeneity(clusters: Clusters) -> tuple[float | None, float, float]:
    """Dispersion of the table of groups by variants, and the chances of less and of more.

    Pearson's statistic is Σ_v (Σ_groups x²/n) / p_v − N.
    """
    counts = {variant: x for variant, x in clusters.counts.items() if x}
    n, freedom = sum(counts.values()), (clusters.groups - 1) * (len(counts) - 1)
    # With hardly any response expected in a cell the statistic has no distribution to speak of.
    few = clusters.groups < 2 or len(counts) < 2
    if few or min(counts.values()) < clusters.groups:
        return None, 1.0, 1.0
    statistic = math.fsum(clusters.squares[v] * n / x for v, x in counts.items()) - n
    statistic = max(statistic, 0.0)
    return statistic / freedom, float(chdtr(freedom, statistic)), float(chdtrc(freedom, statistic))


def _beyond_chance(
    agreement: Agreement, counts: Mapping[str, int]
) -> tuple[float | None, float, float]:
    """Agreement beyond chance, as a fraction of what is possible; the chances of more and of less.

    The normal approximation is too sure of itself where hardly any disagreement is expected, so
    the chance of more is at least that of a binomial.
    """
    n = sum(counts.values())
    shares: Sequence[float] = [x / n for x in counts.values() if x]
    chance = math.fsum(p * p for p in shares)
    if agreement.pairs < FEWEST_PAIRS or chance > 0.999:
        return None, 1.0, 1.0
    excess = (agreement.agreed / agreement.pairs - chance) / (1 - chance)
    cubes = math.fsum(p**3 for p in shares)
    variance = (chance + chance**2 - 2 * cubes) / (agreement.pairs * (1 - chance) ** 2)
    z = excess / math.sqrt(variance)
    agreed, differ = agreement.agreed, agreement.pairs - agreement.agreed
    exact = float(betainc(agreed, differ + 1, chance)) if agreed else 1.0
    return excess, max(float(ndtr(-z)), exact), float(ndtr(z))
