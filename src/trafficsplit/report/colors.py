"""How variants are drawn: in their own color if their name is one, and with marks of their own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from trafficsplit.identify.color import hex_of

INK = "#222222"
# For other variants; color-blind readers can tell them apart (Okabe & Ito 2008).
PALETTE = ("#0072B2", "#009E73", "#E69F00", "#CC79A7", "#56B4E9", "#D55E00")
MARKS = ("o", "s", "D", "^", "v", "P")
LINES = ("-", "--", "-.", ":")
HATCHES = ("", "///", "...", "xx", "\\\\\\", "++")


@dataclass(frozen=True)
class Style:
    """How one variant is drawn. Colors are `#rrggbb`; `outline` can be seen on white paper."""

    color: str
    outline: str
    mark: str
    line: str
    hatch: str


def styles(variants: Sequence[str]) -> dict[str, Style]:
    """Return a style for each variant; no two of the first four have the same marks."""
    by_variant: dict[str, Style] = {}
    for index, variant in enumerate(variants):
        color = hex_of(variant) or PALETTE[index % len(PALETTE)]
        by_variant[variant] = Style(
            color=color,
            outline=INK if _is_pale(color) else color,
            mark=MARKS[index % len(MARKS)],
            line=LINES[index % len(LINES)],
            hatch=HATCHES[index % len(HATCHES)],
        )
    return by_variant


def _is_pale(color: str) -> bool:
    """Return whether a color is hard to see on white, as white, yellow and lime are."""
    red, green, blue = bytes.fromhex(color.removeprefix("#"))
    return red + green + blue > 2.2 * 255 or green > 0.85 * 255
