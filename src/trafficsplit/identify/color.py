"""CSS colors, in any notation, to one name."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from coloraide import Color

# The colors of HTML 4 that have one name only: most pages use no others, so that the library, whose
# import takes as long as a few hundred requests, is left alone.
BASIC = {
    "black": "#000000",
    "silver": "#c0c0c0",
    "white": "#ffffff",
    "maroon": "#800000",
    "red": "#ff0000",
    "purple": "#800080",
    "green": "#008000",
    "lime": "#00ff00",
    "olive": "#808000",
    "yellow": "#ffff00",
    "navy": "#000080",
    "blue": "#0000ff",
    "teal": "#008080",
}


@lru_cache(maxsize=256)
def color_name(text: str) -> str | None:
    """Return the one name of a CSS color: `green` for `Green`, `#008000`, `rgb(0,128,0)`, `lab(…)`.

    A color without a name is called by its lower-case hex digits, `#123456`, with two more for
    the opacity where it is not opaque. None where `text` is no color, and for those that paint
    nothing that could be named: `transparent`, and what depends on the page around it
    (`currentcolor`, `var(--x)`, system colors).
    """
    name = text.strip().lower()
    if name in BASIC:
        return name
    color = _color(text)
    if color is None or color.alpha() == 0:
        return None
    return str(color.to_string(hex=True, names=True))


@lru_cache(maxsize=256)
def hex_of(text: str) -> str | None:
    """Return the `#rrggbb` of a CSS color, without its opacity; None where `text` is no color."""
    known = BASIC.get(text.strip().lower())
    if known:
        return known
    color = _color(text)
    if color is None or color.alpha() == 0:
        return None
    return str(color.to_string(hex=True, names=False, alpha=False))[:7]


def _color(text: str) -> Color | None:
    from coloraide import Color  # see BASIC

    try:
        return Color(text.strip()).convert("srgb").clip()
    except ValueError:
        return None
