"""How pictures are drawn: their style and their axes. Needs matplotlib, the extra `plots`."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from trafficsplit.errors import InputError

try:
    from matplotlib import rc_context
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure
    from matplotlib.ticker import FuncFormatter, ScalarFormatter
except ImportError:
    raise InputError("pictures need matplotlib: pip install 'trafficsplit[plots]'") from None

from trafficsplit.report.colors import INK, Style

FAINT = "#8a8a8a"
WARNING = "#b00020"
TOLERATED = "#dddddd"
MIXED = "#999999"
LOST = Style(WARNING, WARNING, "x", ":", "xxx")
STYLE: dict[Any, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": FAINT,
    "axes.labelcolor": INK,
    "axes.titlelocation": "left",
    "axes.titlesize": 12,
    "axes.titleweight": "bold",
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#e6e6e6",
    "grid.linewidth": 0.8,
    "xtick.color": INK,
    "ytick.color": INK,
    "legend.frameon": False,
    "svg.fonttype": "none",
}
WIDTH = 8.0  # inches
HEIGHT = 4.0  # inches
DPI = 120


@contextlib.contextmanager
def picture(height: float = HEIGHT) -> Iterator[tuple[Figure, Axes]]:
    """Yield an empty picture, of a height in inches, and its axes, to be drawn in our style."""
    with rc_context(STYLE):
        figure = Figure(figsize=(WIDTH, height), layout="constrained", facecolor="white")
        yield figure, figure.add_subplot()


def label_percent(axis: Axis) -> None:
    """Label an axis whose numbers are per cent."""
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g} %"))


def label_counts(axis: Axis) -> None:
    """Label an axis whose numbers are counts or rates, with commas."""
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))


def label_differences(axis: Axis) -> None:
    """Label an axis whose numbers are differences, with their signs."""
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:+g}" if value else "0"))


def label_plain(axis: Axis) -> None:
    """Label a logarithmic axis with its numbers, and not with powers of ten."""
    axis.set_major_formatter(ScalarFormatter())


def label_majors_only(axis: Axis) -> None:
    """Label the major ticks of a logarithmic axis alone."""
    axis.set_minor_formatter(FuncFormatter(lambda *_: ""))
