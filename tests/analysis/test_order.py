import itertools
from collections import Counter

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from trafficsplit.analysis.order import BLOCK, MOST_CONNECTIONS, Order, OrderRecorder

NAMES = ("blue", "green", "red")
# Some connections want the same row of the recorder's table.
CONNECTIONS = (0, 1, 2, 3, 1 + MOST_CONNECTIONS, 2 + MOST_CONNECTIONS, 1 + 2 * MOST_CONNECTIONS)


def pairs(sequence: list[str]) -> tuple[int, int]:
    couples = list(itertools.pairwise(sequence))
    return len(couples), sum(one == other for one, other in couples)


@given(
    st.lists(
        st.lists(st.tuples(st.sampled_from(NAMES), st.integers(0, 3)), max_size=130), max_size=6
    )
)
def test_batches_are_summed_up_as_if_looked_at_one_by_one(
    batches: list[list[tuple[str, int]]],
) -> None:
    recorder = OrderRecorder()
    for batch in batches:
        # Each batch names the variants in an order of its own.
        names = sorted({variant for variant, _ in batch}, reverse=bool(len(batch) % 2))
        recorder.extend(
            names,
            np.array([names.index(variant) for variant, _ in batch], np.int64),
            np.array([connection for _, connection in batch], np.int64),
        )
    responses = list(itertools.chain(*batches))
    order = recorder.order
    variants = [variant for variant, _ in responses]
    assert (order.successive.pairs, order.successive.agreed) == pairs(variants)
    kept = [[v for v, c in responses if c == connection] for connection in (1, 2, 3)]
    assert (order.within_connections.pairs, order.within_connections.agreed) == tuple(
        map(sum, zip(*map(pairs, kept), strict=True))
    )
    whole = len(variants) // BLOCK
    for groups, cut in (
        (order.blocks, [variants[i * BLOCK : (i + 1) * BLOCK] for i in range(whole)]),
        (order.connections, [group for group in kept if group]),
    ):
        assert groups.groups == len(cut)
        assert groups.counts == Counter(itertools.chain(*cut))
        for name, total in groups.squares.items():
            expected = sum(group.count(name) ** 2 / len(group) for group in cut)
            assert np.isclose(total, expected)


@given(st.lists(st.tuples(st.sampled_from(NAMES), st.sampled_from(CONNECTIONS)), max_size=200))
def test_connections_that_share_a_row_lose_no_response(responses: list[tuple[str, int]]) -> None:
    recorder = OrderRecorder()
    recorder.extend(
        NAMES,
        np.array([NAMES.index(variant) for variant, _ in responses], np.int64),
        np.array([connection for _, connection in responses], np.int64),
    )
    assert recorder.order.connections.counts == Counter(v for v, c in responses if c)


def test_memory_is_bounded_and_nothing_is_forgotten() -> None:
    recorder = OrderRecorder()
    for number in range(1, 2 * MOST_CONNECTIONS + 1):
        recorder.add("a", number)
    assert len(recorder._connections._counts) == MOST_CONNECTIONS
    assert recorder.order.connections.groups == 2 * MOST_CONNECTIONS
    assert Order.from_plain(recorder.order.as_plain()) == recorder.order
