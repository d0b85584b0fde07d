import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.runs import RUNS, made
from trafficsplit.analysis.judge import judge
from trafficsplit.report.document import VerdictDocument, document_of
from trafficsplit.report.intervals import LEFT, RIGHT, intervals

MIDDLE = (LEFT + RIGHT) / 2


def document(counts: dict[str, int]) -> VerdictDocument:
    run = made(counts)
    return document_of(run, judge(run))


ORDINARY = document({"blue": 6000, "green": 2000})
fractions = st.floats(0, 1)


@given(
    fractions,
    st.floats(1e-9, 0.5),
    st.none() | fractions,
    st.tuples(fractions, fractions).map(sorted),
)
def test_whatever_is_drawn_stands_in_the_picture(
    weight: float, tolerance: float, share: float | None, ends: list[float]
) -> None:
    drawn = dataclasses.replace(
        ORDINARY,
        observed={"green": 1},
        expected={"green": weight},
        tolerances={"green": tolerance},
        shares={"green": None if share is None else min(max(share, ends[0]), ends[1])},
        confidence={"green": ends},
    )
    found = intervals(drawn)
    (row,) = found.rows
    places = [*row.band, *row.ends, *(tick.x for tick in found.ticks)]
    if row.at is not None:
        places.append(row.at)
    assert all(LEFT <= place <= RIGHT for place in places)
    assert row.band[0] <= found.zero <= row.band[1]
    assert len(found.ticks) <= 7
    assert len({tick.label for tick in found.ticks}) == len(found.ticks)


@pytest.mark.parametrize("name", RUNS)
def test_every_variant_has_a_row(name: str) -> None:
    run = RUNS[name]
    found = intervals(document_of(run, judge(run)))
    assert [row.variant for row in found.rows] == list(run.tally.counts)
    for row in found.rows:
        assert (row.share is None) == (row.at is None) == (not row.ends)


def test_a_share_right_of_the_middle_is_more_than_its_weight() -> None:
    blue, green = intervals(document({"blue": 6400, "green": 1600})).rows
    assert blue.at is not None
    assert green.at is not None
    assert blue.at > MIDDLE > green.at
    assert (blue.at + green.at) / 2 == pytest.approx(MIDDLE, abs=0.02)


def test_ticks_are_round_points_around_nothing() -> None:
    found = intervals(ORDINARY)
    labels = [tick.label for tick in found.ticks]
    assert labels[len(labels) // 2] == "0"
    half = len(labels) // 2
    assert labels[half + 1 :] == [label.replace("-", "+") for label in reversed(labels[:half])]
    assert all(float(label) * 2 == round(float(label) * 2) for label in labels)
    assert found.zero == MIDDLE
