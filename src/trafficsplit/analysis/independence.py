"""Are the responses independent draws, in order of sending and within connections?

The error rates of the verdict assume that they are. Three statistics show it, each in one pass and
constant memory:

- dispersion of the counts in blocks of successive responses: 1 for independent draws, near 0 for a
  weighted round robin, above 1 where draws come in clusters or the split changes;
- agreement of each response with the one sent before it (for two variants: the lag-1 correlation);
- homogeneity across connections, and agreement within each: a gateway that keeps a connection on
  one variant gives the same variant again and again there.
"""

from __future__ import annotations

import enum
import math
from collections.abc import Mapping
from dataclasses import dataclass

from trafficsplit.analysis.order import Agreement, Clusters, Order
from trafficsplit.analysis.special import betainc, chdtr, chdtrc, ndtr

FEWEST_PAIRS = 20  # of responses, below which agreement is not computed
# The pairs of responses within connections that are waited for, at least and at most.
TELLING_PAIRS = 40
MOST_TELLING_PAIRS = 500
# A finding has to be certain (this is the probability of a false one), and large enough to matter.
SURE = 1e-4
CLUSTERED_DISPERSION = 1.5
CLUSTERED_CORRELATION = 0.15
EVEN_DISPERSION = 0.5
KEPT_CORRELATION = 0.5
KEPT_BEYOND_ORDER = 0.25  # of agreement: so much more than in order of sending

IN_TURN = (
    "the gateway deals requests out in turn (a weighted round robin), which keeps a split better "
    "than chance would"
)
KEPT = "the gateway keeps a connection on one variant"


class Draws(enum.StrEnum):
    """What the responses are as draws."""

    INDEPENDENT = "independent"
    EVEN = "better than chance"
    CLUSTERED = "clustered"
    UNKNOWN = "too few to tell"


@dataclass(frozen=True)
class Independence:
    """What the order of the responses says about draws; a statistic is None without data enough.

    `dispersion` and `homogeneity` are variances over those of independent draws, for which they are
    1. `correlation` and `within_connections` are agreement beyond chance: 0 for independent draws,
    and at most 1. `by_connection` says that the clusters are connections.
    """

    draws: Draws
    dispersion: float | None
    correlation: float | None
    homogeneity: float | None
    within_connections: float | None
    reason: str
    by_connection: bool = False

    @property
    def keeps_connections(self) -> bool:
        """Whether the gateway keeps each connection on one variant.

        Responses of a connection agree then, and far more than those that were sent one after the
        other, which agree as well where a gateway deals in blocks.
        """
        within = self.within_connections
        if not self.by_connection or within is None or within <= KEPT_CORRELATION:
            return False
        return within > (self.correlation or 0.0) + KEPT_BEYOND_ORDER


def telling_pairs(counts: Mapping[str, int]) -> int:
    """Return the pairs of responses within connections that show if a gateway keeps connections.

    By chance, the responses of each pair agree with probability Σp². Enough pairs are those that
    all agree by chance with a probability of less than `SURE`, and a quarter more, since the shares
    are estimated. If all responses are one variant's, agreement shows nothing, and there
    is no use in waiting for it.
    """
    n = sum(counts.values())
    if not n:
        return TELLING_PAIRS
    chance = math.fsum((x / n) ** 2 for x in counts.values())
    if chance >= 1:
        return TELLING_PAIRS
    needed = math.ceil(1.25 * math.log(SURE) / math.log(chance))
    return min(max(needed, TELLING_PAIRS), MOST_TELLING_PAIRS)


@dataclass(frozen=True)
class _Measured:
    """A statistic, and the probabilities of more and of less of it by chance.

    The value is None without data enough.
    """

    value: float | None = None
    more: float = 1.0
    less: float = 1.0

    def is_above(self, limit: float) -> bool:
        """Return whether it is certainly above a limit."""
        return self.value is not None and self.value > limit and self.more < SURE

    def is_below(self, limit: float) -> bool:
        """Return whether it is certainly below a limit."""
        return self.value is not None and self.value < limit and self.less < SURE


@dataclass(frozen=True)
class _Statistics:
    """All statistics of a run's order."""

    dispersion: _Measured
    homogeneity: _Measured
    correlation: _Measured
    within: _Measured

    def conclude(self, draws: Draws, reason: str, *, by_connection: bool = False) -> Independence:
        """Return a conclusion, with these statistics."""
        return Independence(
            draws,
            self.dispersion.value,
            self.correlation.value,
            self.homogeneity.value,
            self.within.value,
            reason,
            by_connection,
        )

    @property
    def kept(self) -> bool:
        """Whether responses of one connection agree far more than others, certainly or not."""
        return self.within.value is not None and self.within.value > KEPT_CORRELATION

    @property
    def in_turn(self) -> bool:
        """Whether requests are dealt out in turn.

        Users in step with a round robin get the same turn again and again, so that their
        connections differ. That is no stickiness; the dealing in turn is noticed first.
        """
        dealt = self.dispersion.is_below(EVEN_DISPERSION) and self.correlation.is_below(0.0)
        return dealt and not self.kept

    @property
    def clustered_by_connection(self) -> str:
        """How responses are clustered by connection, empty if they are not."""
        if self.homogeneity.is_above(CLUSTERED_DISPERSION):
            return f"connections differ in their shares: {KEPT}"
        if self.within.is_above(KEPT_CORRELATION):
            return KEPT
        return ""

    @property
    def clustered_in_order(self) -> str:
        """How responses are clustered in order of sending, empty if they are not."""
        if self.correlation.is_above(CLUSTERED_CORRELATION):
            return "successive requests go to the same variant in a row"
        if self.dispersion.is_above(CLUSTERED_DISPERSION):
            return "the shares of successive requests come and go"
        return ""


def independence(order: Order) -> Independence:
    """Return what the order of a run says about its responses as draws.

    Dispersion and homogeneity are tested by Pearson's chi-square of the table of groups by
    variants (Agresti, Categorical Data Analysis, section 3.2), agreement by its normal
    approximation (Fleiss, Cohen & Everitt 1969; for two variants √n times the lag-1 correlation,
    Wald & Wolfowitz 1943).
    """
    counts = order.connections.counts or order.blocks.counts
    statistics = _Statistics(
        dispersion=_homogeneity(order.blocks),
        homogeneity=_homogeneity(order.connections),
        correlation=_beyond_chance(order.successive, counts),
        within=_beyond_chance(order.within_connections, counts),
    )
    if statistics.in_turn:
        return statistics.conclude(Draws.EVEN, IN_TURN)
    by_connection = statistics.clustered_by_connection
    if by_connection:
        return statistics.conclude(Draws.CLUSTERED, by_connection, by_connection=True)
    in_order = statistics.clustered_in_order
    if in_order:
        return statistics.conclude(Draws.CLUSTERED, in_order)
    if statistics.dispersion.value is None and statistics.homogeneity.value is None:
        return statistics.conclude(Draws.UNKNOWN, "there were too few responses to tell")
    return statistics.conclude(Draws.INDEPENDENT, "nothing speaks against independent draws")


def pearson(clusters: Clusters, fewest_groups: int = 2) -> tuple[float, int] | None:
    """Return Pearson's statistic of the table of groups by variants, and its degrees of freedom.

    It is Σ_v (Σ_groups x²/n) / p_v − N. None for fewer groups or two variants, and if a cell is
    expected to hold less than one response, where the approximation by chi-square is no good.
    """
    counts = {variant: x for variant, x in clusters.counts.items() if x}
    if clusters.groups < fewest_groups or len(counts) < 2:
        return None
    if min(counts.values()) < clusters.groups:
        return None
    n = sum(counts.values())
    statistic = math.fsum(clusters.squares[v] * n / x for v, x in counts.items()) - n
    return max(statistic, 0.0), (clusters.groups - 1) * (len(counts) - 1)


def _homogeneity(clusters: Clusters) -> _Measured:
    """Return the dispersion of the table of groups by variants."""
    measured = pearson(clusters)
    if measured is None:
        return _Measured()
    statistic, freedom = measured
    return _Measured(
        value=statistic / freedom,
        more=float(chdtrc(freedom, statistic)),
        less=float(chdtr(freedom, statistic)),
    )


def _beyond_chance(agreement: Agreement, counts: Mapping[str, int]) -> _Measured:
    """Return agreement beyond chance, as a fraction of what is possible.

    If hardly any disagreement is expected, the normal approximation gives too small a probability
    of more agreement. The probability is therefore at least that of a binomial.
    """
    n = sum(counts.values())
    shares = [x / n for x in counts.values() if x]
    chance = math.fsum(p * p for p in shares)
    # With sessions there are no counts until a block is full.
    if not shares or agreement.pairs < FEWEST_PAIRS or chance > 0.999:
        return _Measured()
    excess = (agreement.agreed / agreement.pairs - chance) / (1 - chance)
    cubes = math.fsum(p**3 for p in shares)
    variance = (chance + chance**2 - 2 * cubes) / (agreement.pairs * (1 - chance) ** 2)
    z = excess / math.sqrt(variance)
    more = max(float(ndtr(-z)), _chance_of_agreeing(agreement, chance))
    return _Measured(value=excess, more=more, less=float(ndtr(z)))


def _chance_of_agreeing(agreement: Agreement, chance: float) -> float:
    """Return the probability of as much agreement or more, by the binomial distribution."""
    agreed = agreement.agreed
    if not agreed:
        return 1.0
    return float(betainc(agreed, agreement.pairs - agreed + 1, chance))
