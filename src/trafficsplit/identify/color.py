"""CSS colours, in any notation, to one name."""

from __future__ import annotations

from functools import lru_cache

from coloraide import Color


@lru_cache(maxsize=256)
def colour_name(text: str) -> str | None:
    """The one name of a CSS colour: `green` for `Green`, `#008000`, `rgb(0,128,0)`, `lab(…)`.

    A colour without a name is called by its lower-case hex digits, `#123456`, with two more for
    the opacity where it is not opaque. None where `text` is no colour, and for those that paint
    nothing that could be named: `transparent`, and what depends on the page around it
    (`currentcolor`, `var(--x)`, system colours).
    """
    try:
        colour = Color(text.strip()).convert("srgb").clip()
    except ValueError:
        return None
    if colour.alpha() == 0:
        return None
    return str(colour.to_string(hex=True, names=True))
