"""The sequential test of version 0.1, frozen: what a run would have taken with it.

It is looked at after every response. `match` is the likelihood ratio of the weight to each edge,
`mismatch` the mean of the likelihood ratios of 20 points beyond each edge to it. There is nothing
else: no order, no gateways, no losses.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.special import kl_div

from benchmarks.field.requests import Codes, Floats
from trafficsplit.analysis.question import Question
from trafficsplit.analysis.verdict import Verdict

POINTS = 20
NEAREST = 1.5e-4  # nats from an edge to the nearest point
NEVER_SHOWN = 5.0  # how much more the point 0 counts than any other
BISECTIONS = 60  # to the last bit of a share
NOT_YET = 2**62  # responses


class Baseline:
    """One run of the test; `add` takes the variants of responses in order of sending.

    `verdict` is `inconclusive` until it is known, after so many `responses`.
    """

    def __init__(self, question: Question) -> None:
        weights = list(question.split.weights.values())
        self._threshold = math.log(1 / question.alpha)
        self._variants = np.arange(len(weights))
        edges = _edges(weights, question.tolerance)
        match = []
        mismatch = []
        parts = []
        for variant, share in edges:
            points = _points(share, above=share > weights[variant])
            match.append(_ratios(np.array([weights[variant]]), share, variant, len(weights)))
            mismatch.append(_ratios(points, share, variant, len(weights)))
            parts.append(np.where(points == 0, NEVER_SHOWN, 1.0))
            parts[-1] /= parts[-1].sum() * len(edges)
        self._match = np.vstack(match).T
        self._mismatch = np.vstack(mismatch).T
        self._log_parts = np.log(np.concatenate(parts))
        self._passed = np.zeros(len(edges), bool)
        self._counts = np.zeros(len(weights))
        self.verdict = Verdict.INCONCLUSIVE
        self.responses = 0

    def add(self, variants: Codes) -> None:
        """Add responses, one at least."""
        shown = (variants[:, None] == self._variants).cumsum(axis=0) + self._counts
        self._counts = shown[-1]
        passed = shown @ self._match >= self._threshold
        after = np.where(self._passed, 0, _first(passed))
        self._passed |= passed.any(axis=0)
        terms = shown @ self._mismatch + (self._log_parts - self._threshold)
        mismatched = np.exp(np.minimum(terms, 1.0)).sum(axis=1) >= 1
        match = int(after.max())
        mismatch = int(_first(mismatched[:, None])[0])
        if min(match, mismatch) == NOT_YET:
            self.responses += len(variants)
            return
        self.responses += min(match, mismatch) + 1
        self.verdict = Verdict.MISMATCH if mismatch <= match else Verdict.MATCH


def _first(table: NDArray[np.bool_]) -> Codes:
    """Return the first row that is true in each column, `NOT_YET` where none is."""
    return np.where(table.any(axis=0), table.argmax(axis=0), NOT_YET)


def _edges(weights: Sequence[float], tolerance: float) -> list[tuple[int, float]]:
    """Return variants and the ends of their bands; the smaller weight of two stands for both."""
    variants = [index for index, weight in enumerate(weights) if 0 < weight < 1]
    if len(variants) == 2:
        variants = [min(variants, key=lambda index: weights[index])]
    edges = []
    for variant in variants:
        for share in (weights[variant] - tolerance, weights[variant] + tolerance):
            if 0 < share < 1:
                edges.append((variant, share))
    return edges


def _ratios(points: Floats, edge: float, variant: int, variants: int) -> Floats:
    """Return points × variants: what a response of each adds for a point against the edge."""
    ratios = np.empty((len(points), variants))
    ratios[:] = _log_ratio(1 - points, 1 - edge)[:, None]
    ratios[:, variant] = _log_ratio(points, edge)
    return ratios


def _log_ratio(point: Floats, edge: float) -> Floats:
    with np.errstate(divide="ignore"):
        return np.asarray(np.maximum(np.log(point / edge), -1e6), np.float64)


def _points(edge: float, *, above: bool) -> Floats:
    """Return the points beyond an edge, evenly spaced in the logarithm of KL(point‖edge)."""
    end = 1.0 if above else 0.0
    farthest = float(_divergence(np.array([end]), edge)[0])
    wanted = np.geomspace(min(NEAREST, farthest / 2), farthest, POINTS)
    near = np.full(POINTS, edge)
    far = np.full(POINTS, end)
    for _ in range(BISECTIONS):
        middle = (near + far) / 2
        beyond = _divergence(middle, edge) >= wanted
        near = np.where(beyond, near, middle)
        far = np.where(beyond, middle, far)
    points: Floats = (near + far) / 2
    points[-1] = end
    return points


def _divergence(p: Floats, edge: float) -> Floats:
    return np.asarray(kl_div(p, edge) + kl_div(1 - p, 1 - edge), np.float64)
