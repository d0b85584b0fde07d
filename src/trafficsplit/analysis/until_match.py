"""The requests until a match, before any is sent."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from trafficsplit.analysis.evidence import Edge, Floats, divergence, edges
from trafficsplit.analysis.first_passage import Passage, by_tangents, chance_beyond, crossings
from trafficsplit.analysis.match_evidence import EdgeEvidence
from trafficsplit.analysis.question import Question

NEAREST = 1e-18  # nats a response: less is lost in rounding, and takes more than can be sent
GRID = 100  # numbers of requests
# The first and the last of them, in multiples of Wald's limit.
FIRST = 0.02
LAST = 60.0


def until_match(question: Question) -> Passage | None:
    """Return when a gateway that is exactly as configured is a match, None without any edge.

    Evidence against each edge of each gateway has to reach its threshold. A walk that is late at
    one edge of a variant is not at the other, so that these chances add up. Those of variants are
    multiplied, as if they were independent, which makes the promise 2 to 8 % too long with three;
    those of gateways are independent. The requests are shared by the gateways alike.
    """
    weights = list(question.split.weights.values())
    band = edges(weights, question.tolerance)
    if not band:
        return None
    threshold = math.log(1 / question.alpha)
    nearest = min(divergence(weights[edge.variant], edge.share) for edge in band)
    limit = threshold / max(nearest, NEAREST)
    n = np.geomspace(FIRST * limit, LAST * limit, GRID)
    late = np.zeros((len(weights), GRID))
    for edge in band:
        late[edge.variant] += _late(question, weights, edge, n)
    passed = np.prod(1 - np.minimum(late, 1), axis=0) ** question.gateways
    return Passage(n * question.gateways, 1 - passed)


def _late(question: Question, weights: Sequence[float], edge: Edge, n: Floats) -> Floats:
    """Return the chances that evidence against one edge is late, after n responses."""
    weight = weights[edge.variant]
    evidence = EdgeEvidence([edge], list(weights), question.tolerance)

    def of_counts(own: Floats, n: Floats) -> Floats:
        counts = np.zeros((len(n), len(weights)))
        counts[:, edge.variant] = own
        counts[:, (edge.variant + 1) % len(weights)] = n - own
        found: Floats = evidence.log_evidence(counts, np.zeros(len(n)))[:, 0]
        return found

    end: ArrayLike = np.zeros(len(n)) if edge.above else n
    threshold = math.log(1 / question.alpha)
    boundary = crossings(of_counts, n, n * edge.share, np.asarray(end), threshold)
    beyond = chance_beyond(n, weight, boundary, above=not edge.above)
    return by_tangents(n, beyond).late
