"""The page's picture of intervals: the coordinates of its marks, bands and ends.

Coordinates are in the units of the picture's SVG viewBox.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from trafficsplit.report.colors import styles
from trafficsplit.report.document import VerdictDocument

LEFT = 150.0  # end of the axis; the picture is 720 wide
RIGHT = 700.0
MIDDLE = (LEFT + RIGHT) / 2
MARGIN = 1.12  # how long the axis is, in widest distances
MOST_TICKS = 3.5  # to either side


@dataclass(frozen=True)
class Tick:
    """A mark of the axis, and its label in percentage points."""

    x: float
    label: str


@dataclass(frozen=True)
class Row:
    """One variant: coordinates of its band, of its interval's ends and of its share.

    Without responses it has no share and no interval.
    """

    variant: str
    weight: float
    share: float | None
    color: str
    band: tuple[float, float]
    ends: tuple[float, ...]
    at: float | None


@dataclass(frozen=True)
class Intervals:
    """The whole picture; `zero` is the coordinate at which share and weight are the same."""

    zero: float
    ticks: list[Tick]
    rows: list[Row]


@dataclass(frozen=True)
class _Axis:
    """The axis of distances from share to weight, in fractions; `widest` is the largest."""

    widest: float

    def coordinate(self, distance: float) -> float:
        scale = (RIGHT - LEFT) / 2 / (MARGIN * (self.widest or 1))
        return round(MIDDLE + scale * distance, 2)

    @property
    def ticks(self) -> list[Tick]:
        step = _step(self.widest)
        count = int(self.widest / step)
        return [self._tick(number * step) for number in range(-count, count + 1)]

    def _tick(self, distance: float) -> Tick:
        return Tick(self.coordinate(distance), f"{100 * distance:+.4g}" if distance else "0")


def intervals(document: VerdictDocument) -> Intervals:
    """Return how far each variant's share, with its interval, is from its weight."""
    variants = list(document.observed)
    axis = _Axis(_widest_distance(document, variants))
    rows = []
    for variant, style in styles(variants).items():
        rows.append(_row(document, variant, style.color, axis))
    return Intervals(MIDDLE, axis.ticks, rows)


def _widest_distance(document: VerdictDocument, variants: Iterable[str]) -> float:
    """Return the largest distance from a weight that has to fit."""
    widest = 0.0
    for variant in variants:
        distances = (*_band(document, variant), *_ends(document, variant))
        widest = max(widest, *map(abs, distances))
    return widest


def _band(document: VerdictDocument, variant: str) -> tuple[float, float]:
    weight = document.expected[variant]
    tolerance = document.tolerances[variant]
    return max(-weight, -tolerance), min(1 - weight, tolerance)


def _ends(document: VerdictDocument, variant: str) -> list[float]:
    if document.shares[variant] is None:
        return []
    weight = document.expected[variant]
    return [end - weight for end in document.confidence[variant]]


def _row(document: VerdictDocument, variant: str, color: str, axis: _Axis) -> Row:
    weight = document.expected[variant]
    share = document.shares[variant]
    low, high = _band(document, variant)
    return Row(
        variant=variant,
        weight=weight,
        share=share,
        color=color,
        band=(axis.coordinate(low), axis.coordinate(high)),
        ends=tuple(map(axis.coordinate, _ends(document, variant))),
        at=None if share is None else axis.coordinate(share - weight),
    )


def _step(widest: float) -> float:
    """Return a round distance between ticks, of which about three fit to either side."""
    for exponent in range(-6, 1):
        for digit in (1, 2, 5):
            step = float(digit * 10.0**exponent)
            if widest / step <= MOST_TICKS:
                return step
    return 1.0
