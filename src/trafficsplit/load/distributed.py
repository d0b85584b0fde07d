"""Counts of a worker that travel to the master: as plain data, with the worker's own report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from trafficsplit.analysis.kinds import Codes, Kind, Outcome
from trafficsplit.analysis.order import Order
from trafficsplit.analysis.visits import kind_as_plain, kind_from_plain
from trafficsplit.load.counting import MICROSECONDS, Counter
from trafficsplit.load.hangs import Standing


def drain(counter: Counter) -> dict[str, Any]:
    """Return all that a counter has counted since the last call, and forget it.

    The message is plain data. `ends` has a list for each kind of end: the kind, its requests, those
    of them that a judge has not been shown, and latencies by bucket. `orders` are by gateway,
    `users` a list of the users of each kind, and their number. `standing` is how requests stand
    now, and not a change.
    """
    counter.flush()
    sums = counter.sums
    judged = counter.looks.new
    ends = []
    for code, kind in enumerate(counter.kinds):
        total = _at(sums.totals, code)
        new = _at(judged, code)
        if total or new:
            ends.append([_kind_as_plain(kind), total, new, sums.latencies.buckets(code)])
    orders = []
    for gateway in range(len(counter.gateways)):
        orders.append(sums.order(gateway).as_plain())
    message = {
        "ends": ends,
        "orders": orders,
        "users": [[kind_as_plain(kind), count] for kind, count in sums.users.users.by_kind],
        "cached": sums.cached,
        "sent_again": sums.sent_again,
        "losses": dict(sums.losses),
        "complete": counter.complete,
        "standing": counter.standing.as_plain(),
    }
    counter.forget()
    return message


def _at(counts: Codes, code: int) -> int:
    return int(counts[code]) if code < len(counts) else 0


def absorb(counter: Counter, message: Mapping[str, Any], now: float, worker: str = "") -> None:
    """Add what a `worker` has drained, `now` seconds after the start, to a master's counter.

    Raises KeyError, TypeError or ValueError for what is no such message.
    """
    sums = counter.sums
    ends = message["ends"]
    if any(total for _, total, _, _ in ends):
        sums.reach(int(now * MICROSECONDS))  # workers go on reporting when all is done
    at = int(min(now, sums.elapsed) * MICROSECONDS)
    codes = [counter.code_of(_admitted(counter, kind)) for kind, _, _, _ in ends]
    totals = np.zeros(len(counter.kinds), np.int64)
    judged = np.zeros(len(counter.kinds), np.int64)
    for code, (_, total, new, buckets) in zip(codes, ends, strict=True):
        totals[code] += total
        judged[code] += new
        counts = {int(bucket): count for bucket, count in buckets.items()}
        sums.latencies.add_counts(code, counts, len(counter.kinds))
        sums.courses.add_counts(code, counts, at)
    sums.times.add_counts(totals, at)
    counter.looks.add(judged)
    # The gateways have the same numbers everywhere, as they come from the same options.
    for gateway, order in enumerate(message["orders"]):
        sums.merge_order(gateway, Order.from_plain(order))
    sums.users.add_counts({kind_from_plain(kind): count for kind, count in message["users"]})
    sums.cached += message["cached"]
    sums.sent_again += message["sent_again"]
    for reason, count in message["losses"].items():
        sums.losses.lose(reason, count)
    standing = Standing.from_plain(message["standing"], len(counter.gateways))
    counter.workers[worker] = standing
    counter.judge()


def _admitted(counter: Counter, plain: Sequence[Any]) -> Kind:
    """Return a worker's kind of end; unidentified where the master knows too many names."""
    outcome, variant, status, gateway, answer = plain
    kind = Kind(Outcome(outcome), variant, status, gateway, answer)
    if kind.outcome is Outcome.IDENTIFIED and not counter.kinds.admits(variant):
        return Kind(Outcome.UNIDENTIFIED, "", status, gateway, answer)
    return kind


def _kind_as_plain(kind: Kind) -> list[Any]:
    return [kind.outcome.value, kind.variant, kind.status, kind.gateway, kind.answer]
