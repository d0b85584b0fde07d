"""How much likelier a change of the shares makes counts, at each place where it may be."""

from __future__ import annotations

import numpy as np

from trafficsplit.analysis.evidence import Floats
from trafficsplit.analysis.special import xlogy


def change_gains(table: Floats) -> Floats:
    """Return how much likelier a change behind each row but the last makes a table, in nats.

    That is the likelihood ratio of a split that changes there to one that never does (Hinkley
    1970). The table has rows in order of time, and a column for each variant.
    """
    before = table.cumsum(axis=0)[:-1]
    total = table.sum(axis=0)
    return _log_likelihood(before) + _log_likelihood(total - before) - _log_likelihood(total)


def _log_likelihood(counts: Floats) -> Floats:
    n = counts.sum(axis=-1, keepdims=True)
    return np.asarray(xlogy(counts, counts / np.maximum(n, 1e-9)).sum(axis=-1))
