"""The page's picture of intervals: where marks, bands and ends stand in it."""

from __future__ import annotations

from dataclasses import dataclass

from trafficsplit.report.colors import styles
from trafficsplit.report.document import VerdictDocument

WIDTH = 720.0  # of the picture
LEFT = 150.0  # of its axis
RIGHT = 700.0
MARGIN = 1.12  # of the widest thing, to the ends of the axis
MOST_TICKS = 3.5  # to either side


@dataclass(frozen=True)
class Tick:
    """A mark of the axis, and its label in percentage points."""

    x: float
    label: str


@dataclass(frozen=True)
class Row:
    """One variant: its band, its interval's ends and its share (None: it has none), as places."""

    variant: str
    weight: float
    share: float | None
    color: str
    band: tuple[float, float]
    ends: tuple[float, ...]
    at: float | None


@dataclass(frozen=True)
class Intervals:
    """The whole picture; `zero` is where share and weight are the same."""

    zero: float
    ticks: list[Tick]
    rows: list[Row]


@dataclass(frozen=True)
class _Axis:
    """From a distance of share and weight, a fraction, to a place."""

    widest: float

    def at(self, value: float) -> float:
        scale = (RIGHT - LEFT) / 2 / (MARGIN * (self.widest or 1))
        return round((LEFT + RIGHT) / 2 + scale * value, 2)

    @property
    def ticks(self) -> list[Tick]:
        step = _step(self.widest)
        count = int(self.widest / step)
        return [self._tick(k * step) for k in range(-count, count + 1)]

    def _tick(self, value: float) -> Tick:
        return Tick(self.at(value), f"{100 * value:+.4g}" if value else "0")


def intervals(document: VerdictDocument) -> Intervals:
    """Return how far each variant's share, with its interval, is from its weight."""
    variants = list(document.observed)
    widest = max((abs(x) for v in variants for x in _reach(document, v)), default=0.0)
    axis = _Axis(widest)
    rows = []
    for variant, style in styles(variants).items():
        rows.append(_row(document, variant, style.color, axis))
    return Intervals((LEFT + RIGHT) / 2, axis.ticks, rows)


def _reach(document: VerdictDocument, variant: str) -> list[float]:
    """Return all distances from the weight that have to fit."""
    return [*_band(document, variant), *_ends(document, variant)]


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
        band=(axis.at(low), axis.at(high)),
        ends=tuple(axis.at(end) for end in _ends(document, variant)),
        at=None if share is None else axis.at(share - weight),
    )


def _step(widest: float) -> float:
    """Return a round distance of ticks, of which about three fit to either side."""
    for exponent in range(-6, 1):
        for digit in (1, 2, 5):
            step = float(digit * 10.0**exponent)
            if widest / step <= MOST_TICKS:
                return step
    return 1.0
