"""Texts for people: what servers and clients wrote, made fit to be shown, and figures."""

from __future__ import annotations

import re

# What runners of pipelines take for a command, wherever it stands: `##[…`, `##vso[…` (Azure), and
# `::error …::` (GitHub). A space within makes it text.
COMMAND = re.compile(r"#(?=#(?:\[|vso\[))|:(?=:[\w-]+[^:]*::)")


def one_line(text: str, most: int = 300) -> str:
    """Return a text as one line of printable characters, cut if it is longer than `most`.

    A text of a gateway is no command to the runner of a pipeline that shows it.
    """
    printable = "".join(c if c.isprintable() else " " for c in text)
    line = COMMAND.sub(r"\g<0> ", " ".join(printable.split()))
    if len(line) <= most:
        return line
    return line[: most - 1] + "…"


def percent(fraction: float | None, digits: int = 2) -> str:
    """Return a fraction in per cent; a dash if there is none."""
    if fraction is None:
        return "–"
    return f"{100 * fraction:.{digits}f} %"
