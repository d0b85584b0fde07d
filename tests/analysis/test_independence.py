import random
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trafficsplit.analysis.independence import Draws, independence, telling_pairs
from trafficsplit.analysis.order import Order, OrderRecorder


def recorded(responses: Iterator[tuple[str, int | None]]) -> Order:
    variants, connections = zip(*responses, strict=True)
    names = sorted(set(variants))
    recorder = OrderRecorder()
    recorder.extend(
        names,
        np.array([names.index(variant) for variant in variants]),
        np.array([0 if c is None else c + 1 for c in connections]),
    )
    return recorder.order


def chance(
    n: int, seed: int, shares: tuple[float, ...] = (0.75, 0.25)
) -> Iterator[tuple[str, int]]:
    rng = random.Random(seed)
    for _ in range(n):
        (variant,) = rng.choices("abc"[: len(shares)], shares)
        yield variant, rng.randrange(16)


@pytest.mark.slow
@pytest.mark.parametrize("shares", [(0.75, 0.25), (0.97, 0.03), (0.5, 0.3, 0.2)])
def test_independent_draws_are_hardly_ever_called_anything_else(shares: tuple[float, ...]) -> None:
    found = [independence(recorded(chance(2000, seed, shares))) for seed in range(300)]
    assert sum(one.draws is not Draws.INDEPENDENT for one in found) <= 2
    middle = sorted(one.dispersion or 0 for one in found)[150]
    assert middle == pytest.approx(1, abs=0.1)
    assert sorted(one.correlation or 0 for one in found)[150] == pytest.approx(0, abs=0.01)


def in_turn(n: int, seed: int) -> Iterator[tuple[str, int]]:
    rng = random.Random(seed)
    for number in range(n):
        yield "aaab"[number % 4], rng.randrange(16)


def by_connection(n: int, seed: int) -> Iterator[tuple[str, int]]:
    rng = random.Random(seed)
    for _ in range(n):
        connection = rng.randrange(16)
        yield "b" if connection < 4 else "a", connection


def by_block(n: int, seed: int) -> Iterator[tuple[str, None]]:
    rng = random.Random(seed)
    for _ in range(n // 100):
        share = rng.choice([0.05, 0.45])
        for _ in range(100):
            yield "b" if rng.random() < share else "a", None


def in_streaks(n: int, seed: int) -> Iterator[tuple[str, None]]:
    rng = random.Random(seed)
    last = "a"
    for _ in range(n):
        if rng.random() < 0.3:
            last = "b" if rng.random() < 0.25 else "a"
        yield last, None


@pytest.mark.parametrize(
    ("draw", "draws"),
    [
        (in_turn, Draws.EVEN),
        (by_connection, Draws.CLUSTERED),
        (by_block, Draws.CLUSTERED),
        (in_streaks, Draws.CLUSTERED),
    ],
)
def test_other_draws_are_told(draw: object, draws: Draws) -> None:
    assert callable(draw)
    for seed in range(20):
        assert independence(recorded(draw(3000, seed))).draws is draws


def test_too_few_say_nothing() -> None:
    assert independence(Order()).draws is Draws.UNKNOWN
    assert independence(recorded(chance(20, 1))).draws is Draws.UNKNOWN
    assert independence(recorded(("a", None) for _ in range(1000))).draws is Draws.UNKNOWN


@pytest.mark.parametrize("green", [1, 2, 4, 8])
def test_telling_pairs_tell_that_connections_are_kept(green: int) -> None:
    # Sixteen kept connections, some on green, asked in turn: as few pairs as are waited for.
    recorder = OrderRecorder()
    number = 0
    counts = {"green": 0, "blue": 0}
    while recorder.pairs_within_connections < telling_pairs(counts):
        variant = "green" if number % 16 < green else "blue"
        recorder.add(variant, number % 16 + 1)
        counts[variant] += 1
        number += 1
    assert independence(recorder.order).draws is Draws.CLUSTERED
    assert number < 200


def test_orders_of_workers_add_up_and_travel() -> None:
    one = recorded(chance(1000, 1))
    other = recorded(by_connection(1000, 2))
    total = Order.from_plain(one.as_plain()) + Order.from_plain(other.as_plain())
    assert total.successive.pairs == one.successive.pairs + other.successive.pairs
    assert total.connections.groups == 32
    assert sum(total.connections.counts.values()) == 2000


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 5)), min_size=1, max_size=300))
def test_any_order_is_judged(responses: list[tuple[str, int]]) -> None:
    found = independence(recorded(iter(responses)))
    assert found.reason
    assert found.dispersion is None or found.dispersion >= 0
