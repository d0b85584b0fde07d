"""Number words: what each means, and that what may mean two things is refused with both."""

from __future__ import annotations

import math
import re
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.refusals import attempted
from trafficsplit.errors import InputError
from trafficsplit.settings import numbers

Parser = Callable[[str, str], float]
PARSERS: list[Parser] = [
    numbers.number,
    numbers.per_cent,
    numbers.points,
    numbers.fraction,
    numbers.count,
    numbers.rate,
    numbers.duration,
    numbers.positive_duration,
    numbers.ratio,
]


@pytest.mark.parametrize(
    ("parser", "text", "meant"),
    [
        (numbers.number, "25", 25),
        (numbers.number, " 1_000.5 ", 1000.5),
        (numbers.number, "-1e-3", -0.001),
        (numbers.number, "+.5", 0.5),
        (numbers.per_cent, "25", 25),
        (numbers.per_cent, "25%", 25),
        (numbers.per_cent, "25 %", 25),
        (numbers.per_cent, "0.25%", 0.25),
        (numbers.per_cent, "0", 0),
        (numbers.per_cent, "1", 1),
        (numbers.per_cent, "1.0%", 1),
        (numbers.per_cent, "100", 100),
        (numbers.points, "2", 2),
        (numbers.points, "0.5", 0.5),
        (numbers.points, "0.1", 0.1),
        (numbers.points, "0.02%", 0.02),
        (numbers.points, "0.02pp", 0.02),
        (numbers.points, "2 points", 2),
        (numbers.fraction, "0.01", 0.01),
        (numbers.fraction, "1%", 0.01),
        (numbers.fraction, "0.1%", 0.001),
        (numbers.fraction, "99%", 0.99),
        (numbers.fraction, "1e-3", 0.001),
        (numbers.count, "20000", 20_000),
        (numbers.count, "20_000", 20_000),
        (numbers.count, "20,000", 20_000),
        (numbers.count, "20k", 20_000),
        (numbers.count, "20 K", 20_000),
        (numbers.count, "1e6", 1_000_000),
        (numbers.count, "1.5M", 1_500_000),
        (numbers.rate, "1000", 1000),
        (numbers.rate, "1k", 1000),
        (numbers.rate, "1000rps", 1000),
        (numbers.rate, "1000 RPS", 1000),
        (numbers.rate, "5qps", 5),
        (numbers.rate, "1k/s", 1000),
        (numbers.rate, "60/min", 1),
        (numbers.rate, "7200/h", 2),
        (numbers.rate, "0.5", 0.5),
        (numbers.duration, "10", 10),
        (numbers.duration, "0", 0),
        (numbers.duration, "30s", 30),
        (numbers.duration, "30sec", 30),
        (numbers.duration, "500ms", 0.5),
        (numbers.duration, "5min", 300),
        (numbers.duration, "1m30s", 90),
        (numbers.duration, "1h 2m 3s", 3723),
        (numbers.duration, "1D", 86_400),
        (numbers.ratio, "2", 2),
        (numbers.ratio, "2x", 2),
        (numbers.ratio, "1.5", 1.5),
    ],
)
def test_what_people_type(parser: Parser, text: str, meant: float) -> None:
    assert parser(text, "--x") == pytest.approx(meant, rel=1e-12)


@pytest.mark.parametrize(
    ("parser", "text", "readings"),
    [
        (numbers.per_cent, "0.25", ("0.25 %", "25 %", "say 0.25% or 25")),
        (numbers.per_cent, "0.5", ("0.5 %", "50 %", "say 0.5% or 50")),
        (numbers.per_cent, "1.0", ("1 %", "100 %", "say 1% or 100")),
        (numbers.points, "0.02", ("0.02 or 2 points", "say 0.02% or 2")),
        (numbers.count, "20.000", ("20 or 20000", "say one of them")),
        (numbers.fraction, "1", ("1 %", "say 1% or 0.01")),
        (numbers.fraction, "99", ("99 %", "say 99% or 0.99")),
    ],
)
def test_what_may_mean_two_things_is_refused_with_both_readings(
    parser: Parser, text: str, readings: tuple[str, ...]
) -> None:
    with pytest.raises(InputError, match=f"^--x is {re.escape(text)}") as refusal:
        parser(text, "--x")
    for reading in readings:
        assert reading in str(refusal.value)


@pytest.mark.parametrize(
    ("parser", "text", "said"),
    [
        (numbers.number, "", "is not a number"),
        (numbers.number, "nan", "is not a number"),
        (numbers.number, "inf", "is not a number"),
        (numbers.number, "1e999", "is not a finite number"),
        (numbers.number, "1__0", "is not a number"),
        (numbers.number, "0x10", "is not a number"),
        (numbers.per_cent, "101", "is 101: give per cent, from 0 to 100"),
        (numbers.per_cent, "-1", "is -1: give per cent"),
        (numbers.per_cent, "many", "is not a number: 'many'"),
        (numbers.points, "0", "above 0 and below 50"),
        (numbers.points, "50", "above 0 and below 50"),
        (numbers.fraction, "0", "give a fraction between 0 and 1"),
        (numbers.fraction, "100%", "give a fraction between 0 and 1"),
        (numbers.fraction, "100", "give a fraction between 0 and 1"),
        (numbers.count, "0", "give a whole number from 1"),
        (numbers.count, "1.5", "give a whole number from 1"),
        (numbers.count, "1e13", "give a whole number from 1"),
        (numbers.count, "20kk", "is not a number"),
        (numbers.count, "1,00", "is not a number"),
        (numbers.rate, "0", "give requests a second"),
        (numbers.rate, "5/day", "give requests a second"),
        (numbers.rate, "fast", "is not a number"),
        (numbers.duration, "-1", "give a time, from 0 seconds"),
        (numbers.duration, "1e10", "give a time"),
        (numbers.duration, "10s!", "is no time: '10s!'; say 10s, 500ms or 1m30s"),
        (numbers.duration, "1__0s", "is no time"),
        (numbers.duration, "3\N{LATIN SMALL LETTER LONG S}", "is no time"),
        (numbers.duration, f"{'9' * 308}s{'9' * 308}s", "give a time"),
        (numbers.positive_duration, "0s", "is 0s: give a time above 0"),
        (numbers.ratio, "0.5", "give how many times is fine, from 1"),
        (numbers.ratio, "twice", "is not a number"),
    ],
)
def test_what_makes_no_sense_is_refused_with_what_would(
    parser: Parser, text: str, said: str
) -> None:
    with pytest.raises(InputError, match=re.escape(said)):
        parser(text, "--x")


typed = st.text(max_size=12) | st.from_regex(
    r"[-+]?[0-9_,.]{1,8}(e[-+]?[0-9]{1,3})?\s?(%|pp|points|k|m|g|ms|s|sec|min|h|d|x|rps|/s|/min)?",
    fullmatch=True,
)


@given(st.sampled_from(PARSERS), typed)
def test_any_text_is_a_number_or_one_clear_refusal(parser: Parser, text: str) -> None:
    found = attempted(lambda: parser(text, "--x"))
    if isinstance(found, float | int):
        assert math.isfinite(found)
    else:
        assert str(found).startswith("--x is ")


@given(st.floats(0, 100))
def test_per_cent_is_read_as_it_is_written(value: float) -> None:
    assert numbers.per_cent(f"{value!r}%", "--x") == value


@given(st.floats(1e-9, 99.999))
def test_per_cent_of_a_fraction_is_a_hundredth(value: float) -> None:
    assert numbers.fraction(f"{value!r}%", "--x") == value / 100


@given(st.floats(1e-12, 1, exclude_max=True))
def test_a_fraction_is_read_as_it_is_written(value: float) -> None:
    assert numbers.fraction(repr(value), "--x") == value


@given(st.integers(1, numbers.MOST_COUNT))
def test_a_count_is_read_in_each_way_of_writing_it(value: int) -> None:
    for text in (str(value), f"{value:_}", f"{value:,}"):
        assert numbers.count(text, "--x") == value


@given(st.integers(0, 200), st.integers(0, 59), st.integers(0, 59), st.integers(0, 999))
def test_a_time_is_the_sum_of_its_parts(hours: int, minutes: int, seconds: int, ms: int) -> None:
    text = f"{hours}h{minutes}m{seconds}s{ms}ms"
    expected = hours * 3600 + minutes * 60 + seconds + ms / 1000
    assert numbers.duration(text, "--x") == pytest.approx(expected)


def test_a_range_of_its_own_is_kept() -> None:
    assert numbers.per_cent("90", "--x", most=95) == 90
    with pytest.raises(InputError, match="from 0 to 95"):
        numbers.per_cent("96", "--x", most=95)
    assert numbers.duration("5", "--x", least=5) == 5
    with pytest.raises(InputError, match="from 5 seconds"):
        numbers.duration("4", "--x", least=5)
