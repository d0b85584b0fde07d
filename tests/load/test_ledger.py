"""The requests in order of sending: tickets, the complete prefix, and what is passed over."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from trafficsplit.analysis.kinds import Kinds
from trafficsplit.load.ledger import NO_MORE, Ledger


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


@given(st.data())
def test_what_is_passed_over_holds_nothing_up_and_ends_once(data: st.DataObject) -> None:
    ledger = Ledger(None)
    tickets = [ledger.take(1 + number) for number in range(10)]
    passed = data.draw(st.sets(st.sampled_from(tickets)))
    codes: list[int] = []
    connections: list[int] = []
    for ticket in data.draw(st.permutations(tickets)):
        if data.draw(st.booleans()):
            ledger.pass_over(data.draw(st.sampled_from(tickets)))
        if ticket in passed:
            ledger.pass_over(ticket)
            moved, numbers = ledger.move_on(ledger.complete)
            codes += moved.tolist()
            connections += numbers.tolist()
        ledger.end(ticket, 10 + ticket)
        assert ledger.connections_of(np.array([ticket])).tolist() == [1 + ticket]
        assert ledger.all_ended <= ledger.complete
    assert ledger.under_way == 0
    assert ledger.passed == {}
    assert ledger.all_ended == ledger.complete == 10
    moved, numbers = ledger.move_on(10)
    assert connections + numbers.tolist() == list(range(1, 11))
    for ticket, code in enumerate(codes + moved.tolist()):
        assert code in (10 + ticket, Kinds.LEFT_OUT)


def test_a_request_that_was_passed_over_keeps_its_place_while_it_can() -> None:
    ledger = Ledger(None)
    first, second = ledger.take(), ledger.take()
    ledger.pass_over(second)
    assert (ledger.complete, ledger.all_ended) == (first, first)
    ledger.end(second, 7)
    ledger.end(first, 6)
    codes, _ = ledger.move_on(ledger.complete)
    assert codes.tolist() == [6, 7]


def test_nothing_is_complete_after_what_was_given_up() -> None:
    ledger = Ledger(None)
    first, second, third = ledger.take(), ledger.take(), ledger.take()
    ledger.end(third, 9)
    ledger.end(first, 8)
    ledger.give_up(second)
    assert ledger.under_way == 0
    assert ledger.complete == second


def test_what_has_ended_can_be_forgotten() -> None:
    ledger = Ledger(None)
    first, second = ledger.take(), ledger.take()
    ledger.end(second, 9)
    ledger.forget_ended()
    ledger.end(first, 8)
    assert ledger.move_on(2)[0].tolist() == [8, Kinds.LEFT_OUT]
