"""The clients of a process that sends."""

from __future__ import annotations

import gc
import time
from collections.abc import Iterator

import gevent
import pytest

from tests.fakes.servers import always, page, plain, served
from tests.support.environments import environment, plan
from tests.support.waiting import until
from trafficsplit.load.counting import Counter
from trafficsplit.locust.plan import RunPlan
from trafficsplit.locust.sending import Sending
from trafficsplit.settings.load import LoadSettings, RequestSettings

GREEN = plain(page("green"))


@pytest.fixture(autouse=True)
def _garbage_is_collected_as_before() -> Iterator[None]:
    before = gc.get_threshold()
    yield
    gc.set_threshold(*before)
    gc.unfreeze()


def sending_of(of: RunPlan, client: str = "engine", turn: int = 0) -> tuple[Sending, Counter]:
    counter = Counter(of.split, gateways=[str(gateway) for gateway in of.gateways])
    counter.began = time.monotonic()
    return Sending(of, counter, client, turn), counter


def test_users_ask_the_gateways_in_turn_and_workers_begin_with_another() -> None:
    three = plan(hosts=("http://a", "http://b", "http://c"))
    first, _ = sending_of(three)
    second, _ = sending_of(three, turn=1)
    assert [first.next_gateway() for _ in range(4)] == [0, 1, 2, 0]
    assert [second.next_gateway() for _ in range(4)] == [1, 2, 0, 1]


def test_the_engine_counts_and_fills_locusts_statistics() -> None:
    with served(always(GREEN)) as port:
        of = plan(hosts=(f"http://127.0.0.1:{port}",))
        sending, counter = sending_of(of)
        within = environment()
        broken: list[BaseException] = []
        counter.on_ended = sending.add
        sending.begin(within, broken.append)
        try:
            assert sending.engine is not None
            lane = sending.engine.lanes[sending.next_gateway()]
            sending.engine.add(lane.endpoint.request("/color", {}))
            assert until(lambda: counter.tally.requests >= 20)
        finally:
            sending.end()
    assert sending.engine is None
    counter.flush()
    entry = within.stats.get("/color [green]", "GET")
    assert entry.num_requests == counter.tally.counts["green"]
    assert broken == []
    sending.end()  # a second time is no harm


def test_lost_requests_are_in_locusts_statistics_too() -> None:
    with served(always(plain(page("green"), "503 Service Unavailable"))) as port:
        of = plan(hosts=(f"http://127.0.0.1:{port}",))
        sending, counter = sending_of(of)
        within = environment()
        sending.begin(within, lambda _: None)
        try:
            assert sending.engine is not None
            sending.engine.add(sending.engine.lanes[0].endpoint.request("/color", {}))
            assert until(lambda: counter.tally.errors >= 3)
        finally:
            sending.end()
    assert within.stats.get("/color [green]", "GET").num_failures == counter.tally.errors


@pytest.mark.parametrize(("unit", "one_each"), [("request", False), ("session", True)])
def test_a_session_has_a_connection_of_its_own(unit: str, one_each: bool) -> None:
    request = RequestSettings(unit=unit, timeout=3.0)
    sending, _ = sending_of(plan(hosts=("http://127.0.0.1:9",), load=LoadSettings(request)))
    sending.begin(environment(), lambda _: None)
    assert sending.engine is not None
    assert (sending.engine.waiting.timeout, sending.engine.waiting.one_each) == (3.0, one_each)
    sending.end()


@pytest.mark.parametrize("client", ["stock", "requests"])
def test_locusts_own_clients_need_no_engine(client: str) -> None:
    sending, _ = sending_of(plan(), client)
    sending.begin(environment(), lambda _: None)
    assert sending.engine is None
    sending.end()
    assert sending.sender.client == client


def test_how_it_keeps_up_is_known() -> None:
    sending, _ = sending_of(plan(hosts=("http://127.0.0.1:9",)))
    assert (sending.sender.client, sending.sender.rate) == ("engine", 0.0)
    sending.begin(environment(), lambda _: None)
    sending.follow_schedule(100.0)
    assert sending.engine is not None
    assert sending.schedule is sending.engine.schedule
    assert sending.schedule is not None
    sending.schedule.take()
    gevent.sleep(0.02)
    sending.schedule.take()
    sender = sending.sender
    assert sender.rate == 100.0
    assert 0 < sender.achieved <= 100.0
    sending.end()


@pytest.mark.parametrize("rate", [0.0, 5000.0])
def test_a_slower_pace_holds_for_closed_and_for_open_load_until_it_is_given_up(rate: float) -> None:
    with served(always(GREEN)) as port:
        of = plan(hosts=(f"http://127.0.0.1:{port}",))
        sending, counter = sending_of(of)
        sending.begin(environment(), lambda _: None)
        if rate:
            sending.follow_schedule(rate)
        try:
            assert sending.engine is not None
            sending.engine.add(sending.engine.lanes[0].endpoint.request("/color", {}))
            assert until(lambda: counter.sent >= 20)
            sending.keep_pace(1e-3)
            assert until(lambda: counter.under_way == 0)
            waited = counter.sent
            gevent.sleep(0.1)
            assert counter.sent <= waited + 1  # the next one is due in a quarter of an hour
            sending.keep_pace(None)
            assert until(lambda: counter.sent >= waited + 20)
            assert (sending.sender.rate or 0.0) == rate
        finally:
            sending.end()
