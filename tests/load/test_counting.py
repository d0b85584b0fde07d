import heapq
import json
import random
from collections.abc import Sequence
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from trafficsplit.analysis.sequential import SequentialTest
from trafficsplit.analysis.split import Split
from trafficsplit.analysis.tally import Tally
from trafficsplit.analysis.verdict import Verdict
from trafficsplit.load.counting import (
    ERRORS,
    MOST_STRETCHES,
    NO_MORE,
    UNIDENTIFIED,
    Counter,
    Kind,
    Outcome,
)

CANARY = Split({"blue": 75, "green": 25})


def taken(counter: Counter) -> int:
    ticket = counter.take()
    assert ticket != NO_MORE
    return ticket


def count(
    counter: Counter, ticket: int, outcome: Outcome, sent_at: float = 0.0, **more: Any
) -> None:
    variant = outcome if isinstance(outcome, str) else ""
    status = "5xx" if outcome == ERRORS else "2xx"
    latency = more.pop("latency", 0.001)
    counter.count(ticket, counter.code_of(Kind(outcome, variant, status)), sent_at, latency, **more)


@given(st.permutations(range(20)), st.data())
def test_the_judge_sees_the_order_of_sending_whatever_comes_back_first(
    order: list[int], data: st.DataObject
) -> None:
    kinds = data.draw(st.lists(st.sampled_from(["blue", "green"]), min_size=20, max_size=20))
    counter, seen = Counter(CANARY), []

    def judge(batch: Sequence[Tally]) -> int:
        seen.extend(batch)
        return 1

    counter.judge_by(judge)
    tickets = [taken(counter) for _ in range(20)]
    done: set[int] = set()
    for index in order:
        count(counter, tickets[index], kinds[index])
        done.add(index)
        complete = next((i for i in range(20) if i not in done), 20)
        total = sum(seen, Tally())
        assert total.identified == complete
        assert total.counts.get("green", 0) == kinds[:complete].count("green")


def false_alarms(slow: float, *, connections: int, runs: int, in_order_of_completion: bool) -> int:
    """Wrong mismatches on a perfect gateway whose green answers `slow` times slower."""
    alarms = 0
    for seed in range(runs):
        rng = random.Random(seed)
        counter, test = Counter(CANARY, budget=3000), SequentialTest(CANARY)

        def judge(batch: Sequence[Tally], test: SequentialTest = test) -> int:
            test.look(batch)
            return test.least_more

        if not in_order_of_completion:
            counter.judge_by(judge)
        # Every connection sends its next request when its last is answered.
        free, going = [0.0] * connections, []  # times; answers to come
        while test.verdict is Verdict.INCONCLUSIVE and (free or going):
            while free and (ticket := counter.take()) != NO_MORE:
                kind = "green" if rng.random() < 0.25 else "blue"
                lasts = rng.expovariate(1.0) * (slow if kind == "green" else 1.0)
                sent_at = free.pop()
                heapq.heappush(going, (sent_at + lasts, ticket, kind, sent_at))
            if not going:
                break
            now, ticket, kind, sent_at = heapq.heappop(going)
            count(counter, ticket, kind, sent_at, latency=now - sent_at)
            if in_order_of_completion:
                test.update({kind: 1})
            free.append(now)
        alarms += test.verdict is Verdict.MISMATCH
    return alarms


def test_a_slow_variant_raises_no_false_alarm() -> None:
    assert false_alarms(5.0, connections=100, runs=40, in_order_of_completion=False) <= 3
    # and would, if counted as they come back
    assert false_alarms(5.0, connections=100, runs=40, in_order_of_completion=True) >= 15


def test_the_budget_is_kept_and_completion_is_told_once() -> None:
    told = []
    counter = Counter(CANARY, budget=3, on_complete=lambda: told.append(1))
    tickets = [taken(counter) for _ in range(3)]
    assert counter.take() == NO_MORE
    for ticket in tickets:
        assert not told
        count(counter, ticket, "blue")
    assert (told, counter.complete, counter.tally.requests) == ([1], True, 3)


def test_a_request_that_was_never_answered_does_not_hold_up_the_rest() -> None:
    counter, seen = Counter(CANARY), []
    counter.judge_by(lambda batch: seen.extend(batch) or 1)  # type: ignore[func-returns-value]
    first, second = taken(counter), taken(counter)
    count(counter, second, "green")
    assert not seen
    counter.give_back(first)
    assert sum(seen, Tally()).counts["green"] == 1
    assert counter.tally.requests == 1


def test_what_is_under_way_at_the_end_is_still_counted() -> None:
    counter = Counter(CANARY)
    counter.judge_by(lambda _: 0)
    one, two = taken(counter), taken(counter)
    count(counter, one, "blue")
    assert counter.closed
    assert counter.take() == NO_MORE
    assert not counter.complete
    count(counter, two, ERRORS, reason="HTTP 503")
    assert counter.complete
    assert (counter.tally.errors, counter.losses) == (1, {"HTTP 503": 1})


def test_memory_is_bounded_in_time_names_and_reasons() -> None:
    counter = Counter(CANARY)
    for second in range(5000):
        name = f"stranger {second}"
        outcome = counter.variant_or_stranger(name)
        count(
            counter, taken(counter), outcome, float(second), latency=0.5, reason=f"reason {second}"
        )
    assert len(counter.stretches) <= MOST_STRETCHES
    assert len(counter.tally.counts) < 30
    assert len(counter.losses) < 60
    assert sum((s.tally for s in counter.stretches), Tally()).requests == 5000
    assert counter.tally.unidentified > 4900


def test_a_workers_counts_arrive_at_the_master_whole() -> None:
    worker, master = Counter(), Counter(CANARY)
    for kind in ["blue", "green", UNIDENTIFIED, ERRORS, "red"] * 4:
        reason = "why" if isinstance(kind, tuple) else ""
        count(worker, taken(worker), kind, reason=reason)
        # Locust packs what travels: it must be plain data
        master.absorb(json.loads(json.dumps(worker.drain())), 1.0)
    master.absorb(json.loads(json.dumps(worker.drain())), 60.0)
    assert master.elapsed == 1.0  # a report of nothing is no time of the run
    total = master.tally
    assert total.counts == {"blue": 4, "green": 4, "red": 4}
    assert (total.errors, total.unidentified) == (4, 4)
    assert worker.drain()["gateways"][0]["totals"] == []
    assert sum(n for b in master.latency.values() for n in b.values()) == 20


def test_what_a_worker_sends_does_not_grow_with_what_it_counted() -> None:
    rng, sizes = random.Random(1), []
    for requests in (5_000, 100_000):
        worker = Counter(CANARY)
        for number in range(requests):
            kind = "green" if rng.random() < 0.25 else "blue"
            sent_at, latency = number / 1e4, rng.lognormvariate(-7, 0.3)
            count(worker, worker.take(1 + number % 16), kind, sent_at, latency=latency)
        sizes.append(len(json.dumps(worker.drain())))
    assert sizes[1] < 1.6 * sizes[0]


def test_a_reset_forgets_what_ended_and_not_what_is_under_way() -> None:
    counter = Counter(CANARY)
    counter.began = 100.0
    early, late = taken(counter), taken(counter)
    count(counter, early, "blue", 1.0)
    counter.reset(105.0)
    assert counter.tally.requests == 0
    assert counter.stretches == []
    count(counter, late, "green", -4.0)  # sent before the reset
    assert counter.tally.counts["green"] == counter.tally.requests == 1
    assert counter.stretches[0].start == 0
    assert counter.sent == 1
