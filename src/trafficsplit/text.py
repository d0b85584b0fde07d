"""Texts for people: strangers' (servers and clients write what they like), and figures."""

from __future__ import annotations


def one_line(text: str, most: int = 300) -> str:
    """A text as one line of printable characters, cut where it is longer than `most`."""
    clean = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return clean if len(clean) <= most else clean[: most - 1] + "…"


def percent(fraction: float | None, digits: int = 2) -> str:
    """A fraction in per cent; a dash where there is none."""
    return "–" if fraction is None else f"{100 * fraction:.{digits}f} %"
