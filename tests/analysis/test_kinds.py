import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trafficsplit.analysis.kinds import (
    MOST_UNKNOWN_NAMES,
    STATUSES,
    Kind,
    Kinds,
    Outcome,
    status_class,
)
from trafficsplit.analysis.tally import Tally

NAMES = [f"v{number}" for number in range(60)]
kinds_of_end = st.builds(
    Kind,
    st.sampled_from([Outcome.IDENTIFIED, Outcome.ERROR, Outcome.UNIDENTIFIED]),
    st.sampled_from(["", *NAMES]),
    st.sampled_from(STATUSES),
    st.integers(0, 1),
    st.integers(0, 599),
)


@pytest.mark.parametrize(
    ("status", "expected"),
    [(200, "2xx"), (204, "2xx"), (101, "1xx"), (302, "3xx"), (404, "4xx"), (599, "5xx")],
)
def test_a_status_has_a_class(status: int, expected: str) -> None:
    assert status_class(status) == expected


@given(st.integers())
def test_what_is_no_status_has_the_class_none(status: int) -> None:
    found = status_class(status)
    assert found in STATUSES
    assert (found == "none") == (not 100 <= status <= 599)


def test_the_variants_of_the_split_come_first_for_each_gateway() -> None:
    kinds = Kinds(["blue", "green"], gateways=2)
    named = [(kind.variant, kind.gateway) for kind in kinds if kind.outcome is Outcome.IDENTIFIED]
    assert named == [("blue", 0), ("green", 0), ("blue", 1), ("green", 1)]
    assert kinds.code_of(Kind(Outcome.IDENTIFIED, "green", gateway=1)) == len(kinds) - 1


@given(st.lists(kinds_of_end, max_size=50))
def test_a_code_is_the_index_of_its_kind(asked: list[Kind]) -> None:
    kinds = Kinds(["v0", "v1"], gateways=2)
    codes = [kinds.code_of(kind) for kind in asked]
    assert codes == [kinds.code_of(kind) for kind in asked]
    for code, kind in zip(codes, asked, strict=True):
        assert kinds[code] == kind
        assert code not in (Kinds.UNDER_WAY, Kinds.LEFT_OUT)


@pytest.mark.parametrize("seed", range(5))
def test_a_gateway_that_makes_up_kinds_fills_no_memory(seed: int) -> None:
    rng = random.Random(seed)
    kinds = Kinds(["v0", "v1"], gateways=2)
    for _ in range(2000):
        kind = Kind(
            outcome=rng.choice([Outcome.IDENTIFIED, Outcome.ERROR, Outcome.UNIDENTIFIED]),
            variant=rng.choice(["", *NAMES]),
            status=rng.choice(STATUSES),
            gateway=rng.randrange(2),
            answer=rng.randrange(600),
        )
        found = kinds[kinds.code_of(kind)]
        assert found.gateway == kind.gateway
        if found == kind:
            continue
        # A wider kind: an answer that nobody can be named for, or an error as before.
        assert found.variant == ""
        identified = kind.outcome is Outcome.IDENTIFIED
        assert found.outcome is (Outcome.UNIDENTIFIED if identified else kind.outcome)
    most = 2 + 2 * 2 + 6 * MOST_UNKNOWN_NAMES * 2
    assert len(kinds) <= most + 2 * len(Outcome)  # the wider kinds themselves


def test_unknown_names_are_admitted_up_to_a_number() -> None:
    kinds = Kinds(["blue"])
    admitted = [name for name in NAMES if kinds.admits(name)]
    assert admitted == NAMES[:MOST_UNKNOWN_NAMES]
    assert kinds.admits("blue")
    assert kinds.admits(NAMES[0])
    assert not kinds.admits("one more")


@given(st.lists(st.tuples(kinds_of_end, st.integers(0, 10**9)), max_size=40))
def test_a_tally_counts_every_request_once(asked: list[tuple[Kind, int]]) -> None:
    kinds = Kinds(["v0", "v1"], gateways=2)
    expected = [Tally(), Tally()]
    codes = [(kinds.code_of(kind), kind, count) for kind, count in asked]
    counts = np.zeros(len(kinds), np.int64)
    for code, kind, count in codes:
        counts[code] += count
        named = {kind.variant: count} if kind.outcome is Outcome.IDENTIFIED else {}
        expected[kind.gateway] += Tally(
            named,
            errors=count if kind.outcome is Outcome.ERROR else 0,
            unidentified=count if kind.outcome is Outcome.UNIDENTIFIED else 0,
        )
    found = kinds.tallies(counts)
    for one, other in zip(found, expected, strict=True):
        positive = {variant: count for variant, count in other.counts.items() if count}
        assert one == Tally(positive, other.errors, other.unidentified)
    together = kinds.tally(counts)
    assert together.requests == sum(count for _, count in asked)
    assert {"v0", "v1"} <= set(together.counts)


def test_what_is_left_out_or_under_way_counts_nowhere() -> None:
    kinds = Kinds(["blue"])
    counts = np.zeros(len(kinds), np.int64)
    counts[[Kinds.UNDER_WAY, Kinds.LEFT_OUT]] = 7
    assert kinds.tally(counts) == Tally({"blue": 0})
