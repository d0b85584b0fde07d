"""How variants are drawn: their own color where their name is one, and marks, for any reader."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from trafficsplit.identify.color import hex_of

INK = "#222222"
# For variants whose names are no colors: Okabe & Ito 2008, told apart by color-blind readers.
PALETTE = ("#0072B2", "#009E73", "#E69F00", "#CC79A7", "#56B4E9", "#D55E00")
MARKS = ("o", "s", "D", "^", "v", "P")
LINES = ("-", "--", "-.", ":")
HATCHES = ("", "///", "...", "xx", "\\\\\\", "++")


@dataclass(frozen=True)
class Style:
    """How one variant is drawn. Colors are `#rrggbb`; `outline` can be read on white paper."""

    color: str
    outline: str
    mark: str
    line: str
    hatch: str


def styles(variants: Sequence[str]) -> dict[str, Style]:
    """Return a style for each variant."""
    found: dict[str, Style] = {}
    for index, variant in enumerate(variants):
        color = hex_of(variant) or PALETTE[index % len(PALETTE)]
        found[variant] = Style(
            color=color,
            outline=INK if _is_pale(color) else color,
            mark=MARKS[index % len(MARKS)],
            line=LINES[index % len(LINES)],
            hatch=HATCHES[index % len(HATCHES)],
        )
    return found


def _is_pale(color: str) -> bool:
    """Return whether a color is hard to see on white: white, yellow, lime."""
    red, green, blue = (int(color[i : i + 2], 16) / 255 for i in (1, 3, 5))
    return red + green + blue > 2.2 or green > 0.85
