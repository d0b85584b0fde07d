"""The tally of a running test: order of sending, the budget, when the judge looks."""

from __future__ import annotations

import heapq
import random
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.counting import BLUE, ERROR, GREEN, UNIDENTIFIED, Judge, count, taken
from tests.support.runs import CANARY
from trafficsplit.analysis.histograms import MOST_STRETCHES
from trafficsplit.analysis.kinds import Kind, Kinds, Outcome
from trafficsplit.analysis.look import Look
from trafficsplit.analysis.run import Stretch
from trafficsplit.analysis.sequential import SequentialTest
from trafficsplit.analysis.split import Split
from trafficsplit.analysis.tally import Tally
from trafficsplit.analysis.verdict import Verdict
from trafficsplit.load.counting import MOST_AT_ONCE, NO_MORE, Counter, Ended, Ledger, Looks


def stretches(counter: Counter) -> Sequence[Stretch]:
    counter.flush()
    return counter.sums.counted(counter.gateways).stretches


# --- the ledger ---


def test_a_ledger_gives_tickets_in_order_and_no_more_than_the_budget() -> None:
    ledger = Ledger(3)
    assert [ledger.take() for _ in range(4)] == [0, 1, 2, NO_MORE]
    assert (ledger.left, ledger.under_way) == (0, 3)
    assert [Ledger(0).take(), Ledger(None).take()] == [NO_MORE, 0]


@given(st.permutations(range(12)), st.data())
def test_a_ledgers_prefix_is_complete_when_all_of_it_has_ended(
    order: list[int], data: st.DataObject
) -> None:
    ledger = Ledger(None)
    connections = data.draw(st.lists(st.integers(0, 9), min_size=12, max_size=12))
    tickets = [ledger.take(connection) for connection in connections]
    gone: list[int] = []
    ended: set[int] = set()
    for number, ticket in enumerate(order):
        ledger.end(tickets[ticket], 10 + ticket)
        ended.add(ticket)
        complete = next((t for t in range(12) if t not in ended), 12)
        assert ledger.complete == complete
        assert ledger.under_way == 12 - number - 1
        if data.draw(st.booleans()):
            some = np.array([t for t in range(12) if t >= ledger.first], np.int64)
            kept = ledger.connections_of(some).tolist()
            assert kept == [connections[t] for t in some.tolist()]
            codes, numbers = ledger.move_on(complete)
            assert numbers.tolist() == connections[len(gone) : complete]
            gone += codes.tolist()
            assert ledger.complete == ledger.first == complete
    codes, _ = ledger.move_on(12)
    assert gone + codes.tolist() == [10 + ticket for ticket in range(12)]


# --- when the judge looks ---


def looks_of(judge: Judge) -> tuple[Looks, Kinds]:
    kinds = Kinds(CANARY)
    looks = Looks(kinds, frozenset(CANARY.positive))
    looks.judge_by(judge)
    return looks, kinds


def counts_of(kinds: Kinds, *ends: Kind) -> Any:
    codes = [kinds.code_of(kind) for kind in ends]
    return np.bincount(codes, minlength=len(kinds))


def test_the_judge_looks_when_it_said_and_not_before() -> None:
    judge = Judge(after=3)
    looks, kinds = looks_of(judge)
    looks.add(counts_of(kinds, GREEN))
    assert looks.look()
    assert (len(judge.shown), looks.at_once) == (1, 3)
    looks.add(counts_of(kinds, GREEN, BLUE))
    assert looks.look()
    assert len(judge.shown) == 1
    assert looks.new.sum() == 2
    looks.add(counts_of(kinds, BLUE))
    judge.after = 0
    assert not looks.look()  # the run ends
    assert judge.shown[1] == [Tally({"green": 1, "blue": 2})]


@pytest.mark.parametrize(
    "urgent", [ERROR, UNIDENTIFIED, Kind(Outcome.IDENTIFIED, "red")], ids=lambda kind: str(kind)
)
def test_what_is_lost_or_was_to_get_nothing_is_shown_at_once(urgent: Kind) -> None:
    judge = Judge(after=1000)
    looks, kinds = looks_of(judge)
    looks.add(counts_of(kinds, GREEN))
    assert looks.look()
    code = kinds.code_of(urgent)
    looks.learn(code)
    assert code in looks.urgent
    looks.add(counts_of(kinds, BLUE))
    looks.look()
    assert len(judge.shown) == 1
    looks.add(counts_of(kinds, urgent))
    looks.look()
    assert len(judge.shown) == 2


def test_an_ordinary_kind_is_not_urgent() -> None:
    looks, kinds = looks_of(Judge())
    looks.learn(kinds.code_of(Kind(Outcome.IDENTIFIED, "green", answer=204)))
    assert looks.urgent == set()


def test_without_a_judge_nothing_ends_a_run() -> None:
    kinds = Kinds(CANARY)
    looks = Looks(kinds, frozenset())
    looks.add(counts_of(kinds, GREEN))
    assert looks.look()
    assert looks.at_once == MOST_AT_ONCE


def test_a_variant_of_weight_zero_is_urgent_from_the_beginning() -> None:
    counter = Counter(Split({"blue": 1, "green": 0}))
    judge = Judge(after=1000)
    counter.looks.judge_by(judge)
    for kind in (BLUE, BLUE, GREEN):
        count(counter, taken(counter), kind)
    assert [tally.counts for (tally,) in judge.shown] == [{"blue": 1}, {"blue": 1, "green": 1}]


# --- in order of sending ---


@given(st.permutations(range(20)), st.data())
def test_the_judge_sees_the_order_of_sending_whatever_comes_back_first(
    order: list[int], data: st.DataObject
) -> None:
    kinds = data.draw(st.lists(st.sampled_from(["blue", "green"]), min_size=20, max_size=20))
    counter = Counter(CANARY)
    judge = Judge()
    counter.looks.judge_by(judge)
    tickets = [taken(counter) for _ in range(20)]
    done: set[int] = set()
    for index in order:
        count(counter, tickets[index], kinds[index])
        done.add(index)
        complete = next((i for i in range(20) if i not in done), 20)
        assert judge.total.identified == complete
        assert judge.total.counts.get("green", 0) == kinds[:complete].count("green")


def false_alarms(slow: float, *, connections: int, runs: int, in_order_of_completion: bool) -> int:
    """Return wrong mismatches on a perfect gateway whose green answers `slow` times slower."""
    alarms = 0
    for seed in range(runs):
        test = SequentialTest(CANARY)
        _simulate(random.Random(seed), test, slow, connections, completion=in_order_of_completion)
        alarms += test.verdict is Verdict.MISMATCH
    return alarms


def _simulate(
    rng: random.Random, test: SequentialTest, slow: float, connections: int, *, completion: bool
) -> None:
    counter = Counter(CANARY, budget=3000)

    def judge(look: Look) -> int:
        test.look(look.tallies)
        return test.least_more

    if not completion:
        counter.looks.judge_by(judge)
    # Every connection sends its next request when its last is answered.
    free = [0.0] * connections  # since when
    going: list[tuple[float, int, str, float]] = []  # answers to come
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
        if completion:
            test.update({kind: 1})
        free.append(now)


def test_a_slow_variant_raises_no_false_alarm() -> None:
    assert false_alarms(5.0, connections=100, runs=40, in_order_of_completion=False) <= 3
    # and would, if counted as they come back
    assert false_alarms(5.0, connections=100, runs=40, in_order_of_completion=True) >= 15


def test_the_budget_is_kept_and_completion_is_told_once() -> None:
    told: list[int] = []
    counter = Counter(CANARY, budget=3, on_complete=lambda: told.append(1))
    tickets = [taken(counter) for _ in range(3)]
    assert counter.take() == NO_MORE
    for ticket in tickets:
        assert not told
        count(counter, ticket, "blue")
    assert (told, counter.complete, counter.tally.requests) == ([1], True, 3)
    counter.flush()
    assert told == [1]


def test_a_request_that_was_never_answered_does_not_hold_up_the_rest() -> None:
    counter = Counter(CANARY)
    judge = Judge()
    counter.looks.judge_by(judge)
    first = taken(counter)
    second = taken(counter)
    count(counter, second, "green")
    assert not judge.shown
    counter.give_back(first)
    assert judge.total.counts["green"] == 1
    assert counter.tally.requests == 1


def test_what_is_given_back_may_be_sent_again_unless_the_run_is_over() -> None:
    counter = Counter(CANARY, budget=1)
    counter.give_back(taken(counter))
    assert not counter.complete
    again = taken(counter)
    counter.close()
    counter.give_back(again)
    assert counter.complete
    assert counter.take() == NO_MORE
    assert counter.tally.requests == 0


def test_what_is_under_way_at_the_end_is_still_counted() -> None:
    counter = Counter(CANARY)
    counter.looks.judge_by(lambda _: 0)
    one = taken(counter)
    two = taken(counter)
    count(counter, one, "blue")
    assert counter.closed
    assert counter.take() == NO_MORE
    assert not counter.complete
    count(counter, two, ERROR, reason="HTTP 503")
    assert counter.complete
    assert (counter.tally.errors, counter.sums.losses) == (1, {"HTTP 503": 1})


def test_what_is_sent_while_it_settles_is_left_out() -> None:
    counter = Counter(CANARY, budget=2, settle=5.0)
    assert [counter.counts(4.999), counter.counts(5.0)] == [False, True]
    count(counter, taken(counter), "blue", 4.999)
    assert (counter.tally.requests, counter.sent) == (0, 0)
    count(counter, taken(counter), "green", 5.0)
    count(counter, taken(counter), "green", 5.0)  # the first is none of the budget
    assert (counter.tally.counts, counter.complete) == ({"blue": 0, "green": 2}, True)


def test_memory_is_bounded_in_time_names_and_reasons() -> None:
    counter = Counter(CANARY)
    for second in range(5000):
        name = f"stranger {second}"
        kind = Kind(Outcome.IDENTIFIED, name) if counter.kinds.admits(name) else UNIDENTIFIED
        at = float(second)
        count(counter, taken(counter), kind, at, latency=0.5, reason=f"reason {second}")
    assert len(stretches(counter)) <= MOST_STRETCHES
    assert len(counter.tally.counts) < 30
    assert len(counter.sums.losses) < 60
    assert sum((s.tally for s in stretches(counter)), Tally()).requests == 5000
    assert counter.tally.unidentified > 4900
    assert len(counter.ledger.codes) == 0


def test_a_reason_is_one_line_of_bounded_length() -> None:
    counter = Counter(CANARY)
    count(counter, taken(counter), ERROR, reason="two\nlines" + "x" * 10_000)
    (reason,) = counter.sums.losses
    assert reason.startswith("two lines")
    assert len(reason) <= 300


def test_what_has_ended_is_shown_in_batches_with_what_is_known_of_it() -> None:
    batches: list[Ended] = []
    counter = Counter(CANARY, on_ended=batches.append)
    first = taken(counter, 7)
    second = taken(counter, 9)
    third = taken(counter, 7)
    counter.count(second, counter.code_of(GREEN), 0.5, 0.25, size=100)
    counter.count(third, counter.code_of(ERROR), 0.75, 0.5, reason="HTTP 503")
    counter.flush()
    (batch,) = batches
    assert batch.tickets.tolist() == [1, 2]  # in order of their ends
    assert batch.connections.tolist() == [9, 7]
    assert [counter.kinds[code] for code in batch.codes.tolist()] == [GREEN, ERROR]
    assert (batch.sent_at.tolist(), batch.latencies.tolist()) == ([0.5, 0.75], [0.25, 0.5])
    assert (batch.sizes.tolist(), batch.complete) == ([100, 0], 0)
    count(counter, first, BLUE)
    counter.flush()
    assert batches[1].complete == 3


def test_several_gateways_are_judged_apart() -> None:
    judge = Judge()
    counter = Counter(CANARY, gateways=("one", "two"))
    counter.looks.judge_by(judge)
    count(counter, taken(counter), Kind(Outcome.IDENTIFIED, "green", gateway=1))
    assert judge.shown == [[Tally(), Tally({"green": 1})]]
    count(counter, taken(counter), Kind(Outcome.ERROR, "", "none", 0, 0))
    assert judge.shown[1] == [Tally(errors=1), Tally()]
    one, two = counter.sums.counted(counter.gateways).gateways
    assert (one.tally.errors, two.tally.counts) == (1, {"green": 1})


def test_a_reset_forgets_what_ended_and_not_what_is_under_way() -> None:
    counter = Counter(CANARY)
    counter.began = 100.0
    early = taken(counter)
    late = taken(counter)
    count(counter, early, "blue", 1.0)
    counter.reset(105.0)
    assert counter.began == 105.0
    assert counter.tally.requests == 0
    assert stretches(counter) == []
    count(counter, late, "green", -4.0)  # sent before the reset
    assert counter.tally.counts["green"] == counter.tally.requests == 1
    assert stretches(counter)[0].start == 0
    assert counter.sent == 1
