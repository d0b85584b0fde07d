from __future__ import annotations

import socket
from collections.abc import Iterator

import gevent
import pytest

from tests.support.engines import turned_until
from trafficsplit.load.poller import MOST_EVENTS, READ, WRITE, Poller

BROKEN: list[BaseException] = []
Pair = tuple[socket.socket, socket.socket]


@pytest.fixture
def poller() -> Iterator[Poller]:
    BROKEN.clear()
    own = Poller(BROKEN.append)
    yield own
    own.close()


@pytest.fixture
def pair() -> Iterator[Pair]:
    one, other = socket.socketpair()
    with one, other:
        one.setblocking(False)
        yield one, other


def test_a_descriptors_events_are_called_for_until_they_are_dealt_with(
    poller: Poller, pair: Pair
) -> None:
    masks: list[int] = []

    def ready(mask: int) -> None:
        masks.append(mask)
        if len(masks) == 3:
            pair[0].recv(100)

    poller.watch(pair[0].fileno(), READ, ready)
    gevent.sleep(0.01)
    assert masks == []
    pair[1].sendall(b"x")
    assert turned_until(lambda: len(masks) == 3)
    gevent.sleep(0.01)
    assert masks == [READ] * 3


def test_other_events_may_be_watched_for_later(poller: Poller, pair: Pair) -> None:
    masks: list[int] = []

    def ready(mask: int) -> None:
        masks.append(mask)
        poller.change(pair[0].fileno(), READ)

    poller.watch(pair[0].fileno(), READ, ready)
    poller.change(pair[0].fileno(), READ | WRITE)
    assert turned_until(lambda: masks)
    gevent.sleep(0.01)
    assert masks == [WRITE]


def test_what_is_not_watched_any_more_is_not_called(poller: Poller, pair: Pair) -> None:
    masks: list[int] = []
    poller.watch(pair[0].fileno(), READ, masks.append)
    pair[1].sendall(b"x")
    poller.unwatch(pair[0].fileno())
    gevent.sleep(0.02)
    assert masks == []


def test_one_that_breaks_is_reported_and_the_others_are_called(poller: Poller) -> None:
    called: list[int] = []

    def breaks(_: int) -> None:
        poller.unwatch(broken[0].fileno())
        raise KeyError

    broken = socket.socketpair()
    good = socket.socketpair()
    with broken[0], broken[1], good[0], good[1]:
        poller.watch(broken[0].fileno(), READ, breaks)
        poller.watch(good[0].fileno(), WRITE, called.append)
        broken[1].sendall(b"x")
        assert turned_until(lambda: called and BROKEN)
        poller.unwatch(good[0].fileno())
    assert [type(error) for error in BROKEN] == [KeyError]


def test_greenlets_have_their_turn_beside_a_descriptor_that_is_always_ready(
    poller: Poller, pair: Pair
) -> None:
    calls: list[int] = []
    turns: list[int] = []

    def greenlet() -> None:
        while True:
            turns.append(len(calls))
            gevent.sleep(0)

    poller.watch(pair[0].fileno(), WRITE, calls.append)
    other = gevent.spawn(greenlet)
    try:
        assert turned_until(lambda: len(turns) > 3 and len(calls) > 2 * MOST_EVENTS)
    finally:
        other.kill()
        poller.unwatch(pair[0].fileno())


def test_nothing_is_called_after_the_end(pair: Pair) -> None:
    masks: list[int] = []
    own = Poller(BROKEN.append)
    own.watch(pair[0].fileno(), WRITE, masks.append)
    own.close()
    gevent.sleep(0.02)
    assert masks == []
