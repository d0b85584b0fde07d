"""What the sending side could not do, so that it is not taken for the gateway's doing."""

from __future__ import annotations

from trafficsplit.analysis.run import Run, Sender

ON_SCHEDULE = 0.99  # of the rate: at least this is on schedule
BUSY = 0.9  # of a core: more is busy
LATE = 0.02  # seconds by which the event loop is late: more is busy
LONG_ENOUGH = 1.0  # seconds: in a shorter run these two mean nothing


def remarks(run: Run) -> list[str]:
    """Return a remark for each thing that the sending side could not do."""
    sender = run.sender
    lines = []
    if sender.lost:
        workers = "a worker was" if sender.lost == 1 else f"{sender.lost} workers were"
        lines.append(
            f"{workers} lost, with what had not yet been reported: these requests are not counted"
        )
    if run.ending.unrecorded:
        lines.append(f"the recording is not whole: {run.ending.unrecorded}")
    lines += _about_the_schedule(sender)
    again = run.counted.sent_again
    if again:
        lines.append(
            f"{again:,} {'request was' if again == 1 else 'requests were'} sent again: the gateway "
            "had closed a connection that it had kept, before it answered"
        )
    busy = sender.cpu > BUSY or sender.lag > LATE
    if run.subject.elapsed >= LONG_ENOUGH and busy:
        what = "the client itself was busy"
        if sender.cpu <= BUSY:  # it waited for its turn
            what = "this machine was busy with something else"
        lines.append(
            f"{what} (the client had {100 * sender.cpu:.0f} % of a core, and was up to "
            f"{1000 * sender.lag:.1f} ms late), so that latencies contain delays of its own"
        )
    return lines


def _about_the_schedule(sender: Sender) -> list[str]:
    if sender.rate and sender.achieved < ON_SCHEDULE * sender.rate:
        return [
            f"{sender.achieved:,.0f} requests a second were sent and not {sender.rate:,.0f}: "
            "give more --users, or a slower --rate"
        ]
    if sender.late:
        return [
            f"{sender.late:,} requests had to wait for a free connection, which their latency "
            "contains: more --users would show what the gateway alone does"
        ]
    return []
