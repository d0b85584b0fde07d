"""Locust's own HTTP clients: one request after the other, counted as the engine counts."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import gevent
import pytest
from locust import User

from tests.fakes.servers import Handler, always, free_port, page, plain, served
from tests.support.environments import plan, session
from tests.support.waiting import until
from trafficsplit.load.request import Request
from trafficsplit.load.schedule import Schedule
from trafficsplit.locust.session import Session
from trafficsplit.locust.stock import StockClient, _is_cut_off
from trafficsplit.settings.load import LoadSettings, RequestSettings
from trafficsplit.settings.question import Limits

GREEN = plain(page("green"))
CLIENTS = ("stock", "requests")
COLOR = Request("/color", {"X-Flag": "on"})


def client_of(
    client: str, host: str, *, settings: RequestSettings = RequestSettings(), budget: int = 1000
) -> tuple[StockClient, Session]:
    """Return a client of a kind, and the run that it sends for."""
    load = LoadSettings(settings, client=client)
    of = plan(hosts=(host,), load=load, limits=Limits(requests=budget))
    own = session(of, client=client)
    own.counter.began = time.monotonic()
    return StockClient(User(own.environment), own, COLOR, own.sending.next_gateway()), own


@contextmanager
def asking(client: str, handler: Handler, **more: Any) -> Iterator[tuple[StockClient, Session]]:
    with served(handler) as port:
        stock, own = client_of(client, f"http://127.0.0.1:{port}", **more)
        try:
            yield stock, own
        finally:
            close(stock)


def close(stock: StockClient) -> None:
    """Close the sockets that Locust's clients keep for as long as a process lives."""
    kept: Any = stock._client
    if hasattr(kept, "client"):  # FastHttpUser's
        kept = kept.client
    kept.close()


@pytest.mark.parametrize("client", CLIENTS)
def test_answers_are_counted_and_in_locusts_statistics(client: str) -> None:
    with asking(client, always(GREEN), budget=3) as (stock, own):
        assert [stock.send() for _ in range(4)] == [True, True, True, False]
    assert own.counter.tally.counts == {"blue": 0, "green": 3}
    assert own.counter.complete
    entry = own.environment.stats.get("/color [green]", "GET")
    assert (entry.num_requests, entry.num_failures) == (3, 0)
    assert own.counter.sums.order(0).within_connections.pairs == 1  # the third has another one


@pytest.mark.parametrize("client", CLIENTS)
def test_a_request_is_what_was_asked_for(client: str) -> None:
    heads: list[str] = []

    def handler(connection: socket.socket, _: int) -> None:
        heads.append(connection.recv(65536).decode().lower())
        connection.sendall(GREEN)

    settings = RequestSettings(path="/color", headers={"Host": "shop", "X-More": "1"})
    with asking(client, handler, settings=settings) as (stock, _):
        assert stock.send()
    assert heads[0].startswith("get /color http/1.1\r\n")
    for line in ("host: shop", "x-flag: on", "x-more: 1"):
        assert f"\r\n{line}\r\n" in heads[0]


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (plain(page("green"), "503 Service Unavailable"), "HTTP 503"),
        (plain(b"", "302 Found", "Location: /login"), "HTTP 302 to /login"),
        (plain(b"no page"), "unidentified"),
    ],
)
def test_what_is_no_good_answer_is_lost_with_its_reason(
    client: str, answer: bytes, reason: str
) -> None:
    with asking(client, always(answer)) as (stock, own):
        assert stock.send()
    assert own.counter.tally.lost == 1
    (why,) = own.counter.sums.losses
    assert reason in why or own.counter.tally.unidentified == 1
    (failure,) = own.environment.stats.errors.values()
    assert why in str(failure.error)


@pytest.mark.parametrize("client", CLIENTS)
def test_a_body_that_is_cut_off_is_an_error(client: str) -> None:
    with asking(client, always(GREEN[:-5], close=True)) as (stock, own):
        stock.send()
    assert own.counter.tally.errors == 1
    assert own.counter.tally.counts["green"] == 0


@pytest.mark.parametrize("client", CLIENTS)
def test_nobody_there_is_an_error_and_no_busy_loop(
    client: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pauses: list[int] = []

    def backoff(failures: int) -> float:
        pauses.append(failures)
        return 0.0

    monkeypatch.setattr("trafficsplit.locust.stock.backoff", backoff)
    stock, own = client_of(client, f"http://127.0.0.1:{free_port()}")
    own.counter.looks.judge_by(lambda _: 1)  # or it would end as failing
    for _ in range(3):
        assert stock.send()
    assert own.counter.tally.errors == 3
    assert pauses == [0, 1, 2]
    assert all("refused" in reason.lower() for reason in own.counter.sums.losses)
    close(stock)


@pytest.mark.parametrize("client", CLIENTS)
def test_no_cookie_comes_back(client: str) -> None:
    heads: list[str] = []

    def handler(connection: socket.socket, _: int) -> None:
        while data := connection.recv(65536):
            heads.append(data.decode().lower())
            connection.sendall(plain(page("green"), "200 OK", "Set-Cookie: color=green"))

    with asking(client, handler) as (stock, _):
        assert stock.send()
        assert stock.send()
    assert len(heads) == 2
    assert not any("cookie" in head for head in heads)


@pytest.mark.parametrize("client", CLIENTS)
def test_a_session_is_a_new_connection(client: str) -> None:
    numbers: list[int] = []

    def handler(connection: socket.socket, number: int) -> None:
        while connection.recv(65536):
            numbers.append(number)
            connection.sendall(plain(page("green"), "200 OK", "Connection: close"))
            return

    settings = RequestSettings(unit="session")
    with asking(client, handler, settings=settings) as (stock, own):
        for _ in range(3):
            assert stock.send()
    assert numbers == [0, 1, 2]
    assert own.counter.sums.order(0).connections.groups == 0


@pytest.mark.parametrize("client", CLIENTS)
def test_on_schedule_latency_counts_from_the_time_that_was_due(client: str) -> None:
    with asking(client, always(GREEN)) as (stock, own):
        began = time.monotonic() - 10.0  # nothing was sent for ten seconds
        own.sending.schedule = Schedule(1.0, began)
        own.counter.began = began
        for _ in range(3):
            assert stock.send()
        own.counter.close()
        assert not stock.send()
    assert own.counter.tally.counts["green"] == 3
    (buckets,) = own.counter.sums.latency.values()
    assert sum(buckets.values()) == 3
    assert own.counter.elapsed > 9.0
    assert own.sending.schedule.late == 3


def test_a_request_that_is_killed_while_it_waits_counts_as_nothing() -> None:
    def silent(connection: socket.socket, _: int) -> None:
        connection.recv(65536)
        connection.recv(1)

    with asking("stock", silent) as (stock, own):
        sending = gevent.spawn(stock.send)
        assert until(lambda: own.counter.under_way == 1)
        sending.kill()
        assert own.counter.under_way == 0
        assert own.counter.tally.requests == 0


@pytest.mark.parametrize(
    ("headers", "body", "cut"),
    [
        ({}, b"", False),
        ({"content-length": "5"}, b"12345", False),
        ({"content-length": "5"}, b"1234", True),
        ({"content-length": "5", "content-encoding": "gzip"}, b"1234", False),
        ({"content-length": "5", "content-encoding": "identity"}, b"1234", True),
        ({"content-length": "many"}, b"", False),
    ],
)
def test_a_body_is_cut_off_where_it_is_shorter_than_was_said(
    headers: Mapping[str, str], body: bytes, cut: bool
) -> None:
    assert _is_cut_off(headers, body) is cut


def test_requests_waits_no_longer_than_it_may() -> None:
    def silent(connection: socket.socket, _: int) -> None:
        connection.recv(65536)
        connection.recv(1)

    settings = replace(RequestSettings(), timeout=0.2)
    for client in CLIENTS:
        with asking(client, silent, settings=settings) as (stock, own):
            stock.send()
            assert own.counter.tally.errors == 1


@pytest.mark.parametrize("client", CLIENTS)
def test_connections_are_renewed_and_numbered(client: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trafficsplit.locust.stock.requests_of", lambda _: 5)
    opened: list[int] = []

    def handler(connection: socket.socket, number: int) -> None:
        opened.append(number)
        always(GREEN)(connection, number)

    with asking(client, handler) as (stock, own):
        assert all(stock.send() for _ in range(20))
    assert len(opened) == 6  # of 2, 3, 4, and twice 5 requests; and one
    assert own.counter.tally.lost == 0
    order = own.counter.sums.order(0)
    assert (order.connections.groups, order.within_connections.pairs) == (6, 14)


@pytest.mark.parametrize("client", CLIENTS)
def test_users_of_a_gateway_that_hangs_are_stuck(client: str) -> None:
    settings = RequestSettings(timeout=0.3)
    with asking(client, lambda connection, _: time.sleep(1), settings=settings) as (stock, own):
        assert stock.send()
        own.counter.flush()
        (hanging,) = own.counter.counted.hanging
    assert (hanging.users, hanging.stuck, hanging.hung, hanging.lost) == (1, 1, 1, 1)
    assert own.sending.under_way == {}


def test_late_requests_hold_nothing_up() -> None:
    with asking("stock", lambda connection, _: time.sleep(2)) as (stock, own):
        own.sending.begin(own.environment, lambda error: None)
        waiting = gevent.spawn(stock.send)
        assert not never_late(own)
        waiting.kill()
        own.sending.end()
    assert own.counter.standing.late == [1]  # what has become of it will never be known


def never_late(own: Session) -> bool:
    """Wait until a request is late; return whether none was."""
    deadline = time.monotonic() + 30
    while not sum(own.counter.standing.late):
        if time.monotonic() > deadline:
            return True
        gevent.sleep(0.01)
    return False
