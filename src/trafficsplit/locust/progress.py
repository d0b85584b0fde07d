"""One line of progress, for people who watch a run on a terminal."""

from __future__ import annotations

import os
from collections.abc import Callable

import gevent

from trafficsplit.analysis.moment import only_time_is_missing, seconds_alone
from trafficsplit.analysis.question import Question
from trafficsplit.load.counting import Counter

INTERVAL = 0.25  # seconds
TOLD = 10.0  # seconds between two lines of a log
FEWEST = 100  # responses, before which one variant may be the only one by chance
USUAL_WIDTH = 80  # of a terminal that does not say
CLEAR = "\r\x1b[K"  # returns to the beginning of the line, and clears it


def show_progress(question: Question | None, counter: Counter, descriptor: int) -> None:
    """Write the line to a descriptor again and again, until the run is complete. To be spawned."""
    terminal = os.fdopen(descriptor, "w", closefd=False)
    while not counter.complete and not counter.closed:
        gevent.sleep(INTERVAL)
        text = progress_line(question, counter)
        width = os.get_terminal_size(descriptor).columns or USUAL_WIDTH
        print(CLEAR + text[: width - 1], end="", file=terminal, flush=True)
    print(CLEAR, end="", file=terminal, flush=True)


def tell_progress(question: Question | None, counter: Counter, tell: Callable[[str], None]) -> None:
    """Tell the line every ten seconds, until the run is complete. To be spawned.

    For logs, in which a line that is written over itself would be one line for each time.
    """
    while True:
        gevent.sleep(TOLD)
        if counter.complete or counter.closed:
            return
        tell(progress_line(question, counter))


def progress_line(question: Question | None, counter: Counter) -> str:
    """Return the rate, the shares, and the requests that are still needed, in one line."""
    tally = counter.tally
    parts = [f"{counter.rate:,.0f}/s"]
    for variant in reversed(list(tally.counts)):
        parts.append(f"{variant} {100 * (tally.share(variant) or 0):.1f} %")
    if tally.lost:
        parts.append(f"{tally.lost:,} lost")
    if question and _waits(question, counter):
        seconds = seconds_alone(question, max(tally.counts, key=lambda name: tally.counts[name]))
        parts.append(f"one alone: may be a cache until {seconds:.0f} s have passed")
    elif question:
        parts.append(_still_needed(question, tally.requests, counter.rate))
    return "  ·  ".join(parts)


def _waits(question: Question, counter: Counter) -> bool:
    """Return whether the judge waits for another variant to answer."""
    if question.test != "sequential" or question.user_requests:
        return False
    tally = counter.tally
    return tally.identified >= FEWEST and only_time_is_missing(question, tally, counter.elapsed)


def _still_needed(question: Question, sent: int, rate: float) -> str:
    budget = f"{question.requests:,}"
    if question.test == "sequential":
        budget = f"at most {budget}"
    line = f"{sent:,} of {budget} requests"
    if rate:
        left = max(question.requests - sent, 0)
        line += f", {left / rate:.0f} s to go"
    return line
