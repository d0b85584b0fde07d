"""Parsers of numbers, one for each kind that a person types.

    per cent     25  25%  0.25%            weights, losses; 0.25 alone could be 25 % and is refused
    points       2   0.5  0.02%  0.02pp    tolerances; 0.02 alone could be 2 points and is refused
    fraction     0.01  1%                  error bounds; 1 alone could be 1 % and is refused
    count        20000  20_000  20k  1e6   requests
    rate         1000  1k  1000/s  60/min  requests a second
    duration     10  10s  500ms  1m30s     seconds
    ratio        2  2x  1.5                how many times

Each raises InputError with one line that begins with `what` the number is for.
"""

from __future__ import annotations

import math
import re

from trafficsplit.errors import InputError

MOST_COUNT = 10**12
MOST_RATE = 10**9  # requests a second
MOST_RATIO = 10**6
LONGEST = 10**9  # seconds
SMALLEST_BARE_POINTS = 0.1  # below, a number without a unit is as likely to be a fraction
_NUMBER = r"[+-]?(?:\d[\d_]*\.?[\d_]*|\.\d[\d_]*)(?:e[+-]?\d+)?"
_PLAIN = re.compile(_NUMBER, re.IGNORECASE)
_SCALED = re.compile(rf"({_NUMBER})\s*([kmg]?)", re.IGNORECASE)
_THOUSANDS = re.compile(r"\d{1,3}(,\d{3})+")
_POINT_OF_THOUSANDS = re.compile(r"\d{1,3}(\.\d{3})+")
_SCALES = {"": 1.0, "k": 1e3, "m": 1e6, "g": 1e9}
_UNITS = {"ms": 0.001, "s": 1.0, "sec": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86_400.0}
_TIME = re.compile(r"(\d+(?:_\d+)*\.?\d*|\.\d+)\s*(ms|sec|s|min|m|h|d)", re.IGNORECASE | re.ASCII)
_PER = {"": 1.0, "s": 1.0, "sec": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0}


def number(text: str, what: str) -> float:
    """Return a finite number from text: `25`, `1_000`, `1e-3`."""
    stripped = text.strip()
    if not _PLAIN.fullmatch(stripped):
        raise InputError(f"{what} is not a number: {text!r}")
    try:
        value = float(stripped)
    except ValueError:
        raise InputError(f"{what} is not a number: {text!r}") from None
    if not math.isfinite(value):
        raise InputError(f"{what} is not a finite number: {text!r}")
    return value


def per_cent(text: str, what: str, *, most: float = 100.0) -> float:
    """Return per cent, from 0 to `most`, of text such as `25`, `25%` or `0.25%`.

    A number between 0 and 1 without a per cent sign is refused: it may be meant as a fraction.
    """
    bare = text.strip()
    value = number(bare.removesuffix("%"), what)
    if not bare.endswith("%") and _looks_like_a_fraction(bare, value):
        raise InputError(
            f"{what} is {bare}, which may be {value:g} % or {100 * value:g} %: say {value:g}% or "
            f"{100 * value:g}"
        )
    if not 0 <= value <= most:
        raise InputError(f"{what} is {value:g}: give per cent, from 0 to {most:g}")
    return value


def _looks_like_a_fraction(text: str, value: float) -> bool:
    return 0 < value < 1 or (value == 1 and "." in text)


def points(text: str, what: str) -> float:
    """Return percentage points, above 0 and below 50, of text such as `2`, `0.5` or `0.02%`.

    A number below 0.1 without a unit is refused: it may be meant as a fraction.
    """
    bare = text.strip()
    without = bare.removesuffix("%").removesuffix("pp").removesuffix("points")
    value = number(without, what)
    if without == bare and 0 < value < SMALLEST_BARE_POINTS:
        raise InputError(
            f"{what} is {bare}, which may be {value:g} or {100 * value:g} points: say {value:g}% "
            f"or {100 * value:g}"
        )
    if not 0 < value < 50:
        raise InputError(f"{what} is {value:g}: give percentage points, above 0 and below 50")
    return value


def fraction(text: str, what: str) -> float:
    """Return a fraction, above 0 and below 1, of text such as `0.01` or `1%`.

    A number from 1 on without a per cent sign is refused: it may be meant as per cent.
    """
    bare = text.strip()
    value = number(bare.removesuffix("%"), what)
    if bare.endswith("%"):
        value /= 100
    elif 1 <= value < 100:
        raise InputError(
            f"{what} is {bare}, which is {value:g} % or no fraction: say {value:g}% "
            f"or {value / 100:g}"
        )
    if not 0 < value < 1:
        raise InputError(f"{what} is {bare}: give a fraction between 0 and 1, as 0.01 or 1%")
    return value


def count(text: str, what: str, *, least: int = 1) -> int:
    """Return a whole number of text such as `20000`, `20_000`, `20,000`, `20k` or `1e6`.

    A point with three digits behind it is refused: it may stand between thousands.
    """
    value = _scaled(text, what)
    if _POINT_OF_THOUSANDS.fullmatch(text.strip()):
        plain = text.strip().replace(".", "")
        raise InputError(
            f"{what} is {text.strip()}, which may be {value:g} or {plain}: say one of them"
        )
    if not value.is_integer() or not least <= value <= MOST_COUNT:
        raise InputError(
            f"{what} is {text.strip()}: give a whole number from {least} to 10^12, as 20000, 20k "
            "or 1e6"
        )
    return int(value)


def rate(text: str, what: str) -> float:
    """Return requests a second, above 0, of text such as `1000`, `1k`, `1000/s` or `60/min`."""
    bare = re.sub(r"\s*(rps|qps)$", "", text.strip(), flags=re.IGNORECASE)
    amount, _, unit = bare.partition("/")
    seconds = _PER.get(unit.strip().lower())
    value = 0.0
    if seconds is not None:
        value = _scaled(amount, what) / seconds
    if not 0 < value <= MOST_RATE:
        raise InputError(f"{what} is {text.strip()}: give requests a second, as 1000, 1k or 60/min")
    return value


def duration(text: str, what: str, *, least: float = 0.0) -> float:
    """Return seconds, at least `least`, of text such as `10`, `10s`, `500ms`, `2m` or `1m30s`."""
    bare = text.strip()
    parts = _TIME.findall(bare)
    if parts and not _TIME.sub("", bare).strip():
        value = sum(float(amount) * _UNITS[unit.lower()] for amount, unit in parts)
    else:
        try:
            value = number(bare, what)
        except InputError:
            raise InputError(f"{what} is no time: {text!r}; say 10s, 500ms or 1m30s") from None
    if not least <= value <= LONGEST:
        raise InputError(f"{what} is {bare}: give a time, from {least:g} seconds")
    return value


def positive_duration(text: str, what: str) -> float:
    """Return seconds, above 0."""
    value = duration(text, what)
    if value <= 0:
        raise InputError(f"{what} is {text.strip()}: give a time above 0, as 10s or 500ms")
    return value


def ratio(text: str, what: str) -> float:
    """Return a ratio, at least 1, of text such as `2`, `2x` or `1.5`."""
    value = number(text.strip().removesuffix("x"), what)
    if not 1 <= value <= MOST_RATIO:
        raise InputError(f"{what} is {text.strip()}: give how many times is fine, from 1")
    return value


def _scaled(text: str, what: str) -> float:
    bare = text.strip()
    if _THOUSANDS.fullmatch(bare):
        bare = bare.replace(",", "")
    match = _SCALED.fullmatch(bare)
    if match is None:
        raise InputError(f"{what} is not a number: {text!r}")
    return number(match[1], what) * _SCALES[match[2].lower()]
