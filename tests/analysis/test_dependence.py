"""By how much do counts say less than as many independent draws would?"""

from collections.abc import Sequence

import numpy as np
import pytest

from trafficsplit.analysis.dependence import (
    Dependence,
    dealt_in_blocks_of,
    dependence,
    replicas_differ,
)
from trafficsplit.analysis.order import Order, OrderRecorder

RUNS = 60


def order_of(codes: Sequence[int], connections: Sequence[int] = ()) -> Order:
    recorder = OrderRecorder()
    numbers = np.array(connections or [0] * len(codes), np.int64)
    recorder.extend(["blue", "green"], np.array(codes, np.int64), numbers)
    return recorder.order


def markov(share: float, correlation: float, number: int, rng: np.random.Generator) -> list[int]:
    """Return draws each of which repeats the one before with a probability of `correlation`."""
    fresh = rng.random(number) < share
    repeats = rng.random(number) < correlation
    codes = [int(fresh[0])]
    for new, again in zip(fresh[1:].tolist(), repeats[1:].tolist(), strict=True):
        codes.append(codes[-1] if again else int(new))
    return codes


def balanced(shares: Sequence[float], rng: np.random.Generator) -> Order:
    """Return 150 connections of 40 requests each, of which each leads to one of some replicas."""
    of_replica = rng.choice(shares, 150)
    codes = (rng.random((150, 40)) < of_replica[:, None]).astype(int)
    connections = np.repeat(np.arange(1, 151)[:, None], 40, axis=1)
    mixed = rng.permutation(6000)
    return order_of(codes.ravel()[mixed].tolist(), connections.ravel()[mixed].tolist())


def test_independent_draws_are_hardly_ever_taken_for_others() -> None:
    rng = np.random.default_rng(1)
    scales = [
        dependence(order_of((rng.random(4000) < 0.25).astype(int).tolist())).scale
        for _ in range(RUNS)
    ]
    assert sum(scale > 1 for scale in scales) <= 3


@pytest.mark.parametrize("correlation", [0.1, 0.3, 0.5])
def test_dependence_of_neighbours_is_seen_with_its_variance(correlation: float) -> None:
    rng = np.random.default_rng(2)
    true = (1 + correlation) / (1 - correlation)
    scales = [dependence(order_of(markov(0.25, correlation, 5000, rng))).scale for _ in range(RUNS)]
    assert np.quantile(scales, 0.1) >= 0.9 * true
    assert np.median(scales) <= 2 * true


@pytest.mark.parametrize(("blue", "green"), [(75, 25), (90, 10), (15, 5)])
def test_a_gateway_that_deals_in_blocks_is_known_by_its_block(blue: int, green: int) -> None:
    block = [0] * blue + [1] * green
    assert dependence(order_of(block * 60)) == Dependence(1.0, blue + green)


def test_clusters_are_no_blocks() -> None:
    rng = np.random.default_rng(3)
    for _ in range(20):
        bursts = np.repeat(rng.random(100) < 0.25, 60).astype(int)
        order = order_of(bursts.tolist())
        assert dealt_in_blocks_of(order) == 0
        assert dependence(order).scale > 10


def test_replicas_of_other_weights_differ() -> None:
    rng = np.random.default_rng(4)
    assert all(replicas_differ(balanced([0.0, *[0.25] * 7], rng), 0.02) for _ in range(10))
    assert not any(replicas_differ(balanced([0.25], rng), 0.02) for _ in range(RUNS))
    assert not any(replicas_differ(balanced([0.23, 0.27], rng), 0.02) for _ in range(RUNS))


def test_blocks_are_no_differing_replicas() -> None:
    codes = ([0] * 75 + [1] * 25) * 40
    connections = [number // 50 + 1 for number in range(len(codes))]  # half a block each
    assert not replicas_differ(order_of(codes, connections), 0.02)


def test_no_order_says_nothing() -> None:
    assert dependence(Order()) == Dependence()
    assert not replicas_differ(Order(), 0.02)
    assert dependence(order_of([0] * 500)) == Dependence()
