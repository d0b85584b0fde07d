"""Texts of strangers, before they are shown: servers and clients write what they like."""

from __future__ import annotations


def one_line(text: str, most: int = 300) -> str:
    """A text as one line of printable characters, cut where it is longer than `most`."""
    clean = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return clean if len(clean) <= most else clean[: most - 1] + "…"
