"""Texts for people: what servers and clients wrote, made fit to be shown, and figures."""

from __future__ import annotations


def one_line(text: str, most: int = 300) -> str:
    """Return a text as one line of printable characters, cut if it is longer than `most`."""
    printable = "".join(c if c.isprintable() else " " for c in text)
    line = " ".join(printable.split())
    if len(line) <= most:
        return line
    return line[: most - 1] + "…"


def percent(fraction: float | None, digits: int = 2) -> str:
    """Return a fraction in per cent; a dash if there is none."""
    if fraction is None:
        return "–"
    return f"{100 * fraction:.{digits}f} %"
