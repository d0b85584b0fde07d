"""One line that tells how far a run is, for people who watch it."""

from __future__ import annotations

import os

import gevent

from trafficsplit.analysis.question import Question
from trafficsplit.load.counting import Counter

INTERVAL = 0.25  # seconds
CLEAR = "\r\x1b[K"


def show_progress(question: Question | None, counter: Counter, descriptor: int) -> None:
    """Write the line, again and again, until the run is complete. To be spawned."""
    terminal = os.fdopen(descriptor, "w", closefd=False)
    while not counter.complete and not counter.closed:
        gevent.sleep(INTERVAL)
        text = progress_line(question, counter)
        width = os.get_terminal_size(descriptor).columns - 1
        print(CLEAR + text[:width], end="", file=terminal, flush=True)
    print(CLEAR, end="", file=terminal, flush=True)


def progress_line(question: Question | None, counter: Counter) -> str:
    """Rate, shares, and what is still needed."""
    tally = counter.tally
    rate = tally.requests / counter.elapsed if counter.elapsed else 0.0
    parts = [f"{rate:,.0f}/s"]
    parts += [f"{v} {100 * (tally.share(v) or 0):.1f} %" for v in reversed(list(tally.counts))]
    if tally.lost:
        parts.append(f"{tally.lost:,} lost")
    if question:
        left = max(question.requests - tally.requests, 0)
        most = "at most " if question.test == "sequential" else ""
        seconds = f", {left / rate:.0f} s to go" if rate else ""
        parts.append(f"{tally.requests:,} of {most}{question.requests:,} requests{seconds}")
    return "  ·  ".join(parts)
