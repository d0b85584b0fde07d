"""One line of progress, for people who watch a run on a terminal."""

from __future__ import annotations

import os

import gevent

from trafficsplit.analysis.question import Question
from trafficsplit.load.counting import Counter

INTERVAL = 0.25  # seconds
CLEAR = "\r\x1b[K"  # returns to the beginning of the line, and clears it


def show_progress(question: Question | None, counter: Counter, descriptor: int) -> None:
    """Write the line to a descriptor again and again, until the run is complete. To be spawned."""
    terminal = os.fdopen(descriptor, "w", closefd=False)
    while not counter.complete and not counter.closed:
        gevent.sleep(INTERVAL)
        text = progress_line(question, counter)
        width = os.get_terminal_size(descriptor).columns - 1
        print(CLEAR + text[:width], end="", file=terminal, flush=True)
    print(CLEAR, end="", file=terminal, flush=True)


def progress_line(question: Question | None, counter: Counter) -> str:
    """Return the rate, the shares, and the requests that are still needed, in one line."""
    tally = counter.tally
    parts = [f"{counter.rate:,.0f}/s"]
    for variant in reversed(list(tally.counts)):
        parts.append(f"{variant} {100 * (tally.share(variant) or 0):.1f} %")
    if tally.lost:
        parts.append(f"{tally.lost:,} lost")
    if question:
        parts.append(_still_needed(question, tally.requests, counter.rate))
    return "  ·  ".join(parts)


def _still_needed(question: Question, sent: int, rate: float) -> str:
    budget = f"{question.requests:,}"
    if question.test == "sequential":
        budget = f"at most {budget}"
    line = f"{sent:,} of {budget} requests"
    if rate:
        left = max(question.requests - sent, 0)
        line += f", {left / rate:.0f} s to go"
    return line
