"""Counts of workers that travel to the master: whole, judged in order, and of bounded size."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest

from tests.support.counting import BLUE, ERROR, GREEN, UNIDENTIFIED, Judge, count, taken
from tests.support.runs import CANARY
from trafficsplit.analysis.kinds import Kind, Outcome
from trafficsplit.analysis.tally import Tally
from trafficsplit.load.counting import Counter
from trafficsplit.load.distributed import absorb, drain
from trafficsplit.load.hangs import UnderWay


def travelled(message: dict[str, Any]) -> Any:
    """Return a message as it arrives: Locust packs what travels, so it must be plain data."""
    return json.loads(json.dumps(message))


def test_a_workers_counts_arrive_at_the_master_whole() -> None:
    worker = Counter()
    master = Counter(CANARY)
    for kind in [BLUE, GREEN, UNIDENTIFIED, ERROR, Kind(Outcome.IDENTIFIED, "red")] * 4:
        reason = "" if kind.outcome is Outcome.IDENTIFIED else "why"
        count(worker, taken(worker), kind, reason=reason)
        absorb(master, travelled(drain(worker)), 1.0)
    absorb(master, travelled(drain(worker)), 60.0)
    assert master.elapsed == 1.0  # a report of nothing is no time of the run
    total = master.tally
    assert total.counts == {"blue": 4, "green": 4, "red": 4}
    assert (total.errors, total.unidentified) == (4, 4)
    assert master.sums.losses == {"why": 8}
    assert drain(worker)["ends"] == []
    assert sum(sum(buckets.values()) for buckets in master.sums.latency.values()) == 20


def test_of_a_workers_counts_only_the_completed_prefix_is_judged() -> None:
    worker = Counter(CANARY)
    master = Counter(CANARY)
    judge = Judge()
    master.looks.judge_by(judge)
    first = taken(worker)
    count(worker, taken(worker), GREEN)
    absorb(master, travelled(drain(worker)), 1.0)
    assert master.tally.requests == 1  # counted, and not yet judged
    assert judge.total.requests == 0
    count(worker, first, BLUE)
    absorb(master, travelled(drain(worker)), 2.0)
    assert judge.total.counts == {"blue": 1, "green": 1}
    assert master.tally.requests == 2


def test_the_master_ends_a_run_by_what_its_workers_say() -> None:
    told: list[int] = []
    worker = Counter(CANARY)
    master = Counter(CANARY, on_complete=lambda: told.append(1))
    master.looks.judge_by(lambda _: 0)
    count(worker, taken(worker), GREEN)
    absorb(master, travelled(drain(worker)), 1.0)
    assert (master.closed, told) == (True, [1])


def test_the_order_of_several_workers_adds_up() -> None:
    alone = Counter(CANARY)
    master = Counter(CANARY)
    workers = [Counter(CANARY), Counter(CANARY)]
    for number in range(200):
        worker = workers[number % 2]
        kind = GREEN if number % 8 < 2 else BLUE
        connection = 1 + number % 4
        count(worker, taken(worker, connection), kind)
        count(alone, taken(alone, connection), kind)
        if number % 50 == 7:
            absorb(master, travelled(drain(worker)), 1.0)
    for worker in workers:
        absorb(master, travelled(drain(worker)), 1.0)
    merged = master.sums.order(0)
    alone.flush()
    assert merged.successive.pairs >= 190  # but those across a report or two workers
    assert merged.connections.counts == alone.sums.order(0).connections.counts


def test_unknown_names_of_several_workers_are_bounded_at_the_master() -> None:
    master = Counter(CANARY)
    for number in range(5):
        worker = Counter(CANARY)
        for name in range(20):
            kind = Kind(Outcome.IDENTIFIED, f"{number}-{name}")
            assert worker.kinds.admits(kind.variant)
            count(worker, taken(worker), kind)
        absorb(master, travelled(drain(worker)), 1.0)
    assert len(master.tally.counts) == 2 + 20
    assert (master.tally.identified, master.tally.unidentified) == (20, 80)


@pytest.mark.parametrize(
    "message",
    [
        {},
        {"ends": [["identified"]]},
        {"ends": [[["no such outcome", "", "2xx", 0, 200], 1, 1, {}]], "orders": []},
        {"ends": [], "orders": [{}], "cached": 0, "losses": {}},
    ],
)
def test_what_is_no_message_is_refused(message: dict[str, Any]) -> None:
    with pytest.raises((KeyError, TypeError, ValueError)):
        absorb(Counter(CANARY), message, 1.0)


def test_what_a_worker_sends_does_not_grow_with_what_it_counted() -> None:
    rng = random.Random(1)
    sizes = []
    for requests in (5_000, 100_000):
        worker = Counter(CANARY)
        for number in range(requests):
            kind = "green" if rng.random() < 0.25 else "blue"
            sent_at = number / 1e4
            latency = rng.lognormvariate(-7, 0.3)
            count(worker, worker.take(1 + number % 16), kind, sent_at, latency=latency)
        sizes.append(len(json.dumps(drain(worker))))
    assert sizes[1] < 1.6 * sizes[0]


def test_the_users_of_several_workers_add_up() -> None:
    master = Counter(CANARY, user_requests=2)
    judge = Judge()
    master.looks.judge_by(judge)
    workers = [Counter(CANARY, user_requests=2), Counter(CANARY, user_requests=2)]
    for number in range(1, 41):
        for worker in workers:
            for variant in ("green", "blue" if number == 7 else "green"):
                count(worker, taken(worker, number), variant)
        if number % 8 == 0:
            for worker in workers:
                absorb(master, travelled(drain(worker)), number / 100)
    assert drain(workers[0])["users"] == []
    users = judge.looks[-1].users
    assert users is not None
    assert users.number == 80
    assert users.moves() == {("green", "blue"): 2}


def test_what_is_late_or_waits_at_a_worker_is_shown_to_the_masters_judge() -> None:
    master = Counter(CANARY)
    judge = Judge()
    master.looks.judge_by(judge)
    one, two = Counter(CANARY), Counter(CANARY)
    hung = taken(one)
    count(one, taken(one), GREEN)
    one.watch([UnderWay(hung, 0, 0.0)], 4, 10.0)
    taken(two)  # under way, and not late
    count(two, taken(two), BLUE)
    for name, worker in (("one", one), ("two", two)):
        absorb(master, travelled(drain(worker)), 10.0, name)
    assert (list(master.standing.late), master.standing.waiting) == ([1], 3)
    assert judge.total.counts == {"green": 1}
    count(one, hung, ERROR, latency=12.0, reason="no answer")
    absorb(master, travelled(drain(one)), 12.0, "one")
    assert judge.total == Tally({"green": 1}, errors=1)
    assert (list(judge.looks[-1].late), judge.looks[-1].waiting) == ([0], 2)


def test_a_gateway_that_hangs_is_so_at_all_workers_or_not_at_all() -> None:
    master = Counter(CANARY)
    workers = [Counter(CANARY), Counter(CANARY)]
    for name, worker in enumerate(workers):
        worker.hangs.add_users(0, 2)
        count(worker, taken(worker), GREEN, 1.0)
        for _ in range(2):
            count(worker, taken(worker), ERROR, 1.0, latency=10.0, reason="no answer")
            worker.hangs.stick(0, 1)
        absorb(master, travelled(drain(worker)), 11.0, str(name))
    (hanging,) = master.counted.hanging
    assert (hanging.users, hanging.stuck, hanging.requests, hanging.lost) == (4, 4, 6, 4)
    assert hanging.silent == pytest.approx(9.999)
    assert hanging.unanswered == 4
    count(workers[0], taken(workers[0]), GREEN, 10.9)
    absorb(master, travelled(drain(workers[0])), 11.0, "0")
    assert master.counted.hanging[0].silent == 0
