from collections import Counter

import numpy as np
from numpy.typing import NDArray

from trafficsplit.analysis.courses import LEVEL_OF, LEVELS, Courses
from trafficsplit.analysis.kinds import Codes, Kind, Kinds, Outcome
from trafficsplit.analysis.latency import buckets_of
from trafficsplit.analysis.run import VariantCourse

SECOND = 1_000_000


def kinds_with_errors() -> tuple[Kinds, list[int]]:
    """Return kinds, and the codes of: blue, green, green's error, an error without a name."""
    kinds = Kinds(("blue", "green"))
    codes = [
        kinds.code_of(Kind(Outcome.IDENTIFIED, "blue")),
        kinds.code_of(Kind(Outcome.IDENTIFIED, "green")),
        kinds.code_of(Kind(Outcome.ERROR, "green", "5xx", answer=503)),
        kinds.code_of(Kind(Outcome.ERROR, "", "none", answer=0)),
    ]
    return kinds, codes


def recorded(latencies: Codes, chosen: list[int]) -> dict[str, VariantCourse]:
    kinds, codes = kinds_with_errors()
    courses = Courses(kinds, origin=0)
    sent = np.arange(len(latencies)) * SECOND // 100
    courses.add(np.array(codes)[chosen], sent, latencies)
    return courses.courses


def test_levels_grow_with_the_latency_four_to_each_doubling() -> None:
    latencies: NDArray[np.int64] = np.geomspace(1, 10**9, 5000).astype(np.int64)
    levels = LEVEL_OF[buckets_of(latencies)]
    assert (np.diff(levels) >= 0).all()
    assert (levels.min(), levels.max()) == (0, LEVELS - 1)
    doubled = LEVEL_OF[buckets_of(np.array([100, 200, 1000, 2000, 50_000, 100_000]))]
    assert (doubled[1::2] - doubled[::2] == 4).all()


def test_answers_and_errors_are_counted_by_variant_and_time() -> None:
    chosen = [0, 0, 1, 2, 3, 0, 1, 2]
    courses = recorded(np.full(8, 900), chosen)
    assert set(courses) == {"blue", "green", ""}
    assert [sum(courses[name].answers) for name in ("blue", "green", "")] == [3, 2, 0]
    assert [sum(courses[name].errors) for name in ("blue", "green", "")] == [0, 2, 1]
    assert len({len(course.answers) for course in courses.values()}) == 1
    first_error = courses["green"].errors.index(1)
    assert courses["green"].answers.index(1) < first_error < courses[""].errors.index(1)


def test_the_slowest_answers_are_called_slow() -> None:
    rng = np.random.default_rng(1)
    latencies = np.where(np.arange(5000) % 80 == 7, 90_000, 900 + rng.integers(0, 90, 5000))
    course = recorded(latencies, [1] * 5000)["green"]
    assert list(map(sum, course.slow)) == [len(latencies[latencies == 90_000])] * 3
    assert sum(course.answers) == 5000


def test_nothing_is_no_course() -> None:
    kinds, _ = kinds_with_errors()
    assert Courses(kinds).courses == {}


def test_counts_of_another_process_are_counted_when_they_came() -> None:
    kinds, codes = kinds_with_errors()
    courses = Courses(kinds, origin=0)
    buckets = dict(Counter(buckets_of(np.array([900, 900, 50_000])).tolist()))
    courses.add_counts(codes[1], buckets, 0)
    courses.add_counts(codes[2], {900: 4}, SECOND)
    courses.add_counts(codes[0], {}, 9 * SECOND)
    green = courses.courses["green"]
    assert (green.answers[0], green.errors[-1]) == (3, 4)
    assert list(map(sum, green.slow)) == [1, 1, 1]


def test_a_kind_that_is_met_later_is_counted() -> None:
    kinds, codes = kinds_with_errors()
    courses = Courses(kinds, origin=0)
    one = np.ones(1, np.int64)
    courses.add(one * codes[0], one, one)
    late = kinds.code_of(Kind(Outcome.ERROR, "blue", "4xx", answer=404))
    courses.add(one * late, one * SECOND, one)
    assert sum(courses.courses["blue"].errors) == 1
