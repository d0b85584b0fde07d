"""The tally of a running test: order of sending, the budget, when the judge looks."""

from __future__ import annotations

import heapq
import random
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.counting import BLUE, ERROR, GREEN, UNIDENTIFIED, Judge, count, taken
from tests.support.runs import CANARY
from trafficsplit.analysis.histograms import MOST_STRETCHES
from trafficsplit.analysis.kinds import Kind, Outcome
from trafficsplit.analysis.look import Look
from trafficsplit.analysis.run import Stretch
from trafficsplit.analysis.sequential import SequentialTest
from trafficsplit.analysis.split import Split
from trafficsplit.analysis.tally import Tally
from trafficsplit.analysis.verdict import Verdict
from trafficsplit.load.counting import Counter, Ended
from trafficsplit.load.hangs import UnderWay
from trafficsplit.load.ledger import NO_MORE
from trafficsplit.load.looks import MOST_AT_ONCE


def stretches(counter: Counter) -> Sequence[Stretch]:
    counter.flush()
    return counter.sums.counted(counter.gateways).stretches


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


@pytest.mark.slow
def test_a_slow_variant_raises_no_false_alarm() -> None:
    assert false_alarms(5.0, connections=100, runs=24, in_order_of_completion=False) <= 2
    # and would, if counted as they come back
    assert false_alarms(5.0, connections=100, runs=24, in_order_of_completion=True) >= 9


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


@pytest.mark.slow
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


# --- what is late, lost, or never answered ---


def late_at(counter: Counter, *tickets: int, now: float = 10.0) -> None:
    """Let requests of the start be late at some time."""
    counter.watch([UnderWay(ticket, 0, 0.0) for ticket in tickets], 16, counter.began + now)


class Looker(Judge):
    """Keeps the last look too."""

    look: Look

    def __call__(self, look: Look) -> int:
        self.look = look
        return super().__call__(look)


def test_a_late_request_holds_nothing_up_and_counts_when_it_ends() -> None:
    counter = Counter(CANARY)
    judge = Looker()
    counter.looks.judge_by(judge)
    hung = taken(counter, 5)
    for _ in range(3):
        count(counter, taken(counter, 6), "blue")
    assert not judge.shown
    late_at(counter, hung)
    assert judge.total.counts == {"blue": 3}
    assert (list(judge.look.late), judge.look.waiting) == ([1], 1)
    count(counter, hung, "green", latency=11.0)
    assert judge.total.counts == {"blue": 3, "green": 1}
    assert (list(judge.look.late), judge.look.waiting) == ([0], 0)
    assert counter.sums.order(0).successive.pairs == 2  # left out of the order
    assert counter.tally.requests == 4


def test_what_is_late_and_then_lost_is_lost_once() -> None:
    counter = Counter(CANARY)
    judge = Looker()
    counter.looks.judge_by(judge)
    hung = taken(counter)
    late_at(counter, hung)
    count(counter, hung, ERROR, latency=10.0, reason="no answer")
    assert judge.total == Tally(errors=1)
    assert list(judge.look.late) == [0]
    assert counter.ledger.passed == {}
    assert counter.counted.judged == [Tally({}, errors=1)]


def test_losses_are_shown_at_once_with_how_many_wait_for_their_turn() -> None:
    counter = Counter(CANARY)
    judge = Looker(after=1000)
    counter.looks.judge_by(judge)
    slow = taken(counter)
    count(counter, taken(counter), "blue")
    count(counter, taken(counter), ERROR, reason="HTTP 503")
    assert judge.total == Tally(errors=1)
    assert judge.look.waiting == 2  # the slow one, and blue behind it
    count(counter, slow, "green")
    counter.flush()
    assert counter.kinds.tally(counter.looks.all) == Tally({"blue": 1, "green": 1}, errors=1)


def test_a_variant_that_was_to_get_nothing_is_shown_at_once() -> None:
    counter = Counter(Split({"blue": 1, "green": 0}))
    judge = Judge(after=1000)
    counter.looks.judge_by(judge)
    taken(counter)
    count(counter, taken(counter), "green")
    assert judge.total.counts == {"green": 1}


@pytest.mark.slow
@given(st.data())
def test_everything_that_ends_is_shown_once_whatever_was_late(data: st.DataObject) -> None:
    counter = Counter(CANARY)
    judge = Looker()
    counter.looks.judge_by(judge)
    tickets = [taken(counter) for _ in range(15)]
    kinds = [data.draw(st.sampled_from([BLUE, GREEN, ERROR])) for _ in tickets]
    under_way = set(tickets)
    for ticket in data.draw(st.permutations(tickets)):
        some = data.draw(st.sets(st.sampled_from(sorted(under_way)), max_size=3))
        late_at(counter, *some)
        assert len(counter.ledger.codes) <= 15
        count(counter, ticket, kinds[ticket])
        under_way.remove(ticket)
        shown = judge.total
        assert shown.requests + counter.standing.waiting == 15
        assert sum(counter.standing.late) == len(counter.ledger.passed)
        # What is shown and late is all that was sent before the last one that is shown in order.
        assert shown.errors == sum(kinds[t] is ERROR for t in set(tickets) - under_way)
    assert judge.total == Tally(
        {name: sum(kind.variant == name for kind in kinds) for name in judge.total.counts},
        errors=kinds.count(ERROR),
    )
    assert counter.standing.waiting == 0
    assert list(counter.standing.late) == [0]


def test_memory_is_bounded_while_one_request_is_never_answered() -> None:
    counter = Counter(CANARY)
    counter.looks.judge_by(lambda _: MOST_AT_ONCE)
    hung = taken(counter)
    for number in range(20_000):
        count(counter, taken(counter, 1), "blue", number / 1000)
        if number % 250 == 0:
            counter.watch([UnderWay(hung, 0, 0.0)], 2, number / 1000)
            assert len(counter.ledger.codes) <= 3 * MOST_AT_ONCE
    assert counter.tally.requests == 20_000


def test_of_a_run_that_is_cut_off_nothing_after_the_first_unanswered_request_is_judged() -> None:
    counter = Counter(CANARY)
    count(counter, taken(counter), "blue")
    slow = taken(counter)
    count(counter, taken(counter), "blue")
    counter.close()
    counter.give_up(slow)
    counted = counter.counted
    assert counter.complete
    assert counted.judged == [Tally({"blue": 1})]
    assert sum((stretch.tally for stretch in counted.stretches), Tally()).counts["blue"] == 2


def test_of_a_user_that_leaves_meanwhile_the_request_may_have_been_any_variants() -> None:
    counter = Counter(CANARY, budget=2)
    judge = Looker()
    counter.looks.judge_by(judge)
    slow = taken(counter)
    count(counter, taken(counter), "blue")
    counter.give_up(slow)
    assert judge.total.counts == {"blue": 1}
    assert list(judge.look.late) == [1]
    assert counter.take() != NO_MORE  # it counts as never sent


def test_what_kinds_of_good_answers_usually_take_says_what_is_late() -> None:
    counter = Counter(CANARY)
    for _ in range(100):
        count(counter, taken(counter), "blue", latency=0.01)
    count(counter, taken(counter), "green", latency=0.5)
    slow = taken(counter)
    late_at(counter, slow, now=4.0)
    assert sum(counter.standing.late) == 0
    late_at(counter, slow, now=6.0)
    assert sum(counter.standing.late) == 1


def interrupted(seed: int, *, connections: int = 500) -> Counter:
    """Return what a run has counted that was cut off; green takes five times as long as blue."""
    rng = random.Random(seed)
    counter = Counter(CANARY)
    going: list[tuple[float, int, str, float]] = []
    for _ in range(connections):
        _send_at(0.0, rng, counter, going)
    while going[0][0] < 6.0:
        now, ticket, kind, sent_at = heapq.heappop(going)
        count(counter, ticket, kind, sent_at, latency=now - sent_at)
        _send_at(now, rng, counter, going)
    counter.close()
    for _, ticket, _, _ in going:
        counter.give_up(ticket)
    return counter


def _send_at(
    now: float, rng: random.Random, counter: Counter, going: list[tuple[float, int, str, float]]
) -> None:
    kind = "green" if rng.random() < 0.25 else "blue"
    lasts = rng.uniform(0.5, 1.5) * (5.0 if kind == "green" else 1.0)
    heapq.heappush(going, (now + lasts, taken(counter), kind, now))


@pytest.mark.slow
def test_an_interrupted_run_with_a_slow_variant_is_no_mismatch() -> None:
    wrong = {"judged": 0, "all": 0}
    for seed in range(40):
        counted = interrupted(seed).counted
        assert counted.judged is not None
        everything = sum((stretch.tally for stretch in counted.stretches), Tally())
        for name, tally in (("judged", counted.judged[0]), ("all", everything)):
            wrong[name] += SequentialTest(CANARY).look([tally]) is Verdict.MISMATCH
    assert wrong["judged"] <= 2
    assert wrong["all"] >= 20  # those that were cut off are green's as a rule


def test_what_was_sent_before_it_counts_is_neither_late_nor_lost() -> None:
    counter = Counter(CANARY, settle=1.0)
    slow = [taken(counter) for _ in range(4)]
    counter.hangs.add_users(0, 4)
    waiting = [UnderWay(ticket, 0, 0.5) for ticket in slow]
    counter.watch(waiting, 4, counter.began + 2.0)
    assert counter.standing.late == [0]
    for ticket in slow:
        count(counter, ticket, "blue", 0.5, latency=2.0)
    for _ in range(20):
        count(counter, taken(counter), "green", 2.0)
    counter.close()
    counter.flush()
    (hanging,) = counter.counted.hanging
    assert (hanging.stuck, hanging.lost, hanging.hung) == (0, 0, 0)
    assert counter.tally.requests == 20
