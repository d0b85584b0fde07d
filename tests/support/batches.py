"""Batches of requests, as the readers of recordings and logs make them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tests.support.recordings import BEGAN
from trafficsplit.offline.batches import Batch

NAMES = ("blue", "green", "red")


def batch_of(
    codes: Sequence[int],
    *,
    names: Sequence[str] = NAMES,
    statuses: Sequence[int] | int = 200,
    sent: Sequence[int] | None = None,
    latencies: Sequence[int] | int = 500,
    connections: Sequence[int] | None = None,
    ordered: bool = False,
) -> Batch:
    """Return requests with these codes of names."""
    number = len(codes)
    times = BEGAN + 100 * np.arange(number) if sent is None else np.array(sent, np.int64)
    return Batch(
        names=names,
        codes=np.array(codes, np.int64),
        statuses=np.broadcast_to(np.array(statuses, np.int64), number),
        sent=times,
        latencies=np.broadcast_to(np.array(latencies, np.int64), number),
        connections=None if connections is None else np.array(connections, np.int64),
        ordered=ordered,
    )
