"""The sequential test: looked at as often as you like, it stops as soon as the answer is known."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from scipy.special import logsumexp

from trafficsplit.analysis.evidence import (
    CONCENTRATIONS,
    Edge,
    Floats,
    Mixture,
    confidence_interval,
    edges,
    log_evidence_against_exact,
    log_ratios,
)
from trafficsplit.analysis.question import Question
from trafficsplit.analysis.split import Split
from trafficsplit.analysis.tally import Tally
from trafficsplit.analysis.verdict import Verdict
from trafficsplit.errors import InputError

MANY = 2**62


class SequentialTest:
    """Does the gateway split as configured, with stated error rates? (DESIGN.md 4)

    P(`match`) ≤ alpha if any variant's true share is off by `tolerance` or more; P(`mismatch`) ≤
    alpha if every share is within it; however often it is looked at. A verdict once reached
    stands. `tolerance`, `zero_tolerance` (for variants of weight 0 or 1), `alpha` and
    `max_failing` are fractions. The state is the tally: `update` with another test's tally merges
    the two.

    With several `gateways`, of which each has a number from 0, `mismatch` also looks at each of
    them: one that is stale shows there long before it shows in the sum. `match` is about the sum.

    Raises InputError for values out of their range.
    """

    def __init__(
        self,
        split: Split,
        tolerance: float | None = None,
        alpha: float = 0.01,
        zero_tolerance: float = 0.001,
        max_failing: float = 0.01,
        gateways: int = 1,
    ) -> None:
        tolerance = split.default_tolerance if tolerance is None else tolerance
        self._begin(
            Question(
                split, tolerance, zero_tolerance, alpha, max_failing=max_failing, gateways=gateways
            )
        )

    @classmethod
    def of(cls, question: Question) -> SequentialTest:
        """The test that answers a question."""
        test = cls.__new__(cls)
        test._begin(question)
        return test

    def _begin(self, question: Question) -> None:
        self.question = question
        self._index = {variant: index for index, variant in enumerate(question.split)}
        self._weights = np.array(list(question.split.weights.values()))
        self._counts = np.zeros(len(self._index))
        self._by_gateway = np.zeros((question.gateways, len(self._index)))
        self._strangers: dict[str, int] = {}
        self._errors = self._unidentified = 0
        self._verdict = Verdict.INCONCLUSIVE
        self._edges = edges(self._weights.tolist(), question.tolerance)
        self._log_ratios: dict[Edge, tuple[float, float]] = {}
        self._passed = [False] * len(self._edges)
        self._mixture = Mixture(len(self._index), self._edges)
        self._zero = [index for index, weight in enumerate(self._weights) if weight == 0]
        lost = [Edge(0, question.max_failing, above=True)] if question.max_failing > 0 else []
        self._lost_mixture = Mixture(2, lost)
        self._needs_zero = bool(self._zero) or len(self._index) == 1
        self._threshold = math.log(1 / question.alpha)

    def update(
        self,
        counts: Mapping[str, int],
        errors: int = 0,
        unidentified: int = 0,
        gateway: int = 0,
    ) -> Verdict:
        """Add the counts since the last update, and return the verdict so far.

        Raises InputError, and adds nothing, for counts that are negative or not whole.
        """
        self._add(counts, errors, unidentified, gateway)
        return self._verdict_so_far()

    def look(self, batch: Sequence[Tally]) -> Verdict:
        """Add the counts since the last look, a tally for each gateway; the verdict so far."""
        for gateway, tally in enumerate(batch):
            self._add(tally.counts, tally.errors, tally.unidentified, gateway)
        return self._verdict_so_far()

    def _add(self, counts: Mapping[str, int], errors: int, unidentified: int, gateway: int) -> None:
        if not 0 <= gateway < len(self._by_gateway):
            raise InputError(f"there is no gateway {gateway}, but {len(self._by_gateway)} from 0")
        for name, count in counts.items():
            # numpy's integers are welcome, truth values and fractions are not
            if type(count) is not int and not isinstance(count, np.integer):
                raise InputError(f"the count of {name} is not a whole number: {count!r}")
            if count < 0:
                raise InputError(f"the count of {name} is negative: {count}")
        if errors or unidentified:
            Tally({}, errors=errors, unidentified=unidentified)  # checks them
        for name, count in counts.items():
            index = self._index.get(name)
            if index is not None:
                self._counts[index] += count
                self._by_gateway[gateway, index] += count
            elif count:
                self._strangers[name] = self._strangers.get(name, 0) + int(count)
        self._errors += errors
        self._unidentified += unidentified

    def _verdict_so_far(self) -> Verdict:
        if self._verdict is Verdict.INCONCLUSIVE:
            self._verdict = self._judge()
        return self._verdict

    @property
    def _surprised(self) -> bool:
        """Whether a variant has answered that should not have."""
        return bool(self._strangers) or any(self._counts[index] for index in self._zero)

    def _judge(self) -> Verdict:
        if self._surprised:
            return Verdict.MISMATCH
        lost = self._errors + self._unidentified
        identified = float(self._counts.sum())
        if lost and self._is_failing(lost, identified):
            return Verdict.FAILING
        if lost > self.question.max_failing * (identified + lost):
            return Verdict.INCONCLUSIVE  # too much is missing just now to say anything of the rest
        if self.log_mismatch >= self._threshold:
            return Verdict.MISMATCH
        everything_passed = True
        for number, edge in enumerate(self._edges):
            if not self._passed[number]:
                self._passed[number] = self._log_match(edge, identified, lost) >= self._threshold
                everything_passed &= self._passed[number]
        if everything_passed and self._zero_is_shown(identified, lost):
            return Verdict.MATCH
        return Verdict.INCONCLUSIVE

    def _is_failing(self, lost: int, identified: float) -> bool:
        """Whether more than `max_failing` of the requests are lost, by the mixture against it."""
        if self.question.max_failing == 0:
            return True
        evidence = self._lost_mixture.log_evidence(np.array([lost, identified]))
        return evidence >= self._threshold

    def _log_match(self, edge: Edge, identified: float, lost: int) -> float:
        """Evidence that a share is on this side of an edge, wherever the lost requests belong.

        The likelihood ratio of the weight to the edge (DESIGN.md 4, "match"; Wald 1945); lost
        requests are counted where they do the most harm, with this variant or with the others.
        """
        x = float(self._counts[edge.variant]) + (lost if edge.above else 0)
        own, others = self._ratios(edge)
        return own * x + others * (identified + lost - x)

    def _ratios(self, edge: Edge) -> tuple[float, float]:
        if edge not in self._log_ratios:
            weight = float(self._weights[edge.variant])
            self._log_ratios[edge] = log_ratios(weight, edge.share)
        return self._log_ratios[edge]

    def _zero_is_shown(self, identified: float, lost: int) -> bool:
        """(1 − τ₀)^−n ≥ 1/α with none seen (DESIGN.md 4, "weight 0"); a lost one may be its own."""
        if not self._needs_zero:
            return True
        bound = -identified * math.log1p(-self.question.zero_tolerance)
        return lost == 0 and bound >= self._threshold

    @property
    def least_more(self) -> int:
        """No fewer further responses than this can change the verdict.

        To look again before that is to look in vain; lost requests and variants of weight 0 must
        be shown at once. 0: the verdict is known.
        """
        if self._verdict is not Verdict.INCONCLUSIVE:
            return 0
        least = math.inf
        identified, lost = float(self._counts.sum()), self._errors + self._unidentified
        for passed, edge in zip(self._passed, self._edges, strict=True):
            if not passed:
                step = max(self._ratios(edge))
                missing = self._threshold - self._log_match(edge, identified, lost)
                least = min(least, missing / step)
        if self._needs_zero and all(self._passed):
            missing = self._threshold / -math.log1p(-self.question.zero_tolerance) - identified
            least = min(least, missing)
        # A mean reaches the threshold only where one of what it is of does.
        for row in [self._counts, *self._several]:
            least = min(least, self._mixture.least_more(row, self._threshold, least))
        return max(math.ceil(least - 1e-6), 1) if math.isfinite(least) else MANY

    @property
    def verdict(self) -> Verdict:
        """The verdict; once it is not `inconclusive`, it stands."""
        return self._verdict

    @property
    def tally(self) -> Tally:
        """All counts so far."""
        counts = {variant: int(self._counts[i]) for variant, i in self._index.items()}
        return Tally({**counts, **self._strangers}, self._errors, self._unidentified)

    @property
    def threshold(self) -> float:
        """log(1/α): where evidence becomes a verdict."""
        return self._threshold

    @property
    def log_mismatch(self) -> float:
        """The logarithm of the evidence that some share is outside its tolerance.

        With several gateways the mean of two e-processes: that of the sum, and the mean of each
        gateway's (DESIGN.md 4, "several gateways"; Ramdas et al. 2023, section 3.2).
        """
        if self._surprised:
            return math.inf
        pooled = self._mixture.log_evidence(self._counts)
        if not len(self._several):
            return pooled
        each = logsumexp(self.log_mismatch_by_gateway) - math.log(len(self._several))
        return float(np.logaddexp(pooled, each)) - math.log(2)

    @property
    def log_mismatch_by_gateway(self) -> list[float]:
        """The same of each gateway by itself."""
        return [self._mixture.log_evidence(row) for row in self._by_gateway]

    @property
    def _several(self) -> Floats:
        """Counts by gateway, none where there is only one."""
        return self._by_gateway if len(self._by_gateway) > 1 else self._by_gateway[:0]

    @property
    def log_match(self) -> float:
        """The logarithm of the evidence that all shares are within tolerance: the weakest edge's.

        An edge that has passed before counts as passed.
        """
        if self._surprised:
            return -math.inf
        identified, lost = float(self._counts.sum()), self._errors + self._unidentified
        each = [
            max(self._log_match(edge, identified, lost), self._threshold if passed else -math.inf)
            for edge, passed in zip(self._edges, self._passed, strict=True)
        ]
        if self._needs_zero:
            zero = -identified * math.log1p(-self.question.zero_tolerance)
            each.append(zero if not lost else -math.inf)
        return min(each)

    def log_evidence(self, variant: str) -> dict[str, float]:
        """Evidence against a variant's share being at or beyond each edge: keys `low`, `high`."""
        weights = self._weights.tolist()
        index = self._variant(variant)
        identified, lost = float(self._counts.sum()), self._errors + self._unidentified
        found = {}
        for above, name in ((False, "low"), (True, "high")):
            share = weights[index] + (1 if above else -1) * self.question.tolerance
            if 0 < share < 1:
                found[name] = self._log_match(Edge(index, share, above), identified, lost)
        return found

    def log_exact(self, concentrations: Sequence[float] = CONCENTRATIONS) -> float:
        """The logarithm of the evidence against "exactly as configured"."""
        if self._strangers:
            return math.inf
        return log_evidence_against_exact(self._counts, self._weights, concentrations)

    def confidence(
        self, variant: str, concentrations: Sequence[float] = CONCENTRATIONS
    ) -> tuple[float, float]:
        """The 1 − alpha confidence sequence of a variant's share, valid at any time.

        Raises InputError for a variant that is neither configured nor was seen.
        """
        counts, weights = self._counts, self._weights
        if self._strangers:
            counts = np.append(counts, list(self._strangers.values()))
            weights = np.append(weights, np.zeros(len(self._strangers)))
        index = self._variant(variant)
        return confidence_interval(counts, weights, index, self.question.alpha, concentrations)

    def _variant(self, variant: str) -> int:
        known = [*self._index, *self._strangers]
        if variant not in known:
            raise InputError(f"there is no variant {variant}: known are {', '.join(known)}")
        return known.index(variant)
