"""The user that a locustfile builds on."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import gevent
import pytest
from locust import constant

from tests.fakes.servers import Handler, always, page, plain, read_request, served
from tests.support.environments import environment, plan, session
from tests.support.waiting import until
from trafficsplit.load.request import Request
from trafficsplit.locust import lifecycle
from trafficsplit.locust import user as module
from trafficsplit.locust.session import Session
from trafficsplit.locust.user import FOREVER, SplitUser
from trafficsplit.settings.load import LoadSettings, RequestSettings

GREEN = plain(page("green"))


@pytest.fixture(autouse=True)
def _no_runs() -> Iterator[None]:
    lifecycle._sessions.clear()
    yield
    lifecycle._sessions.clear()


class ColorUser(SplitUser):
    """Asks for the color, with a header of its own."""

    def request(self) -> Request:
        return Request("/color", {"X-Flag": "on", "X-Own": "1"})


class SlowUser(ColorUser):
    """Waits between two requests."""

    wait_time = constant(0.25)


def begun(port: int, client: str = "engine", **request: Any) -> Session:
    """Return a run that has begun at a server on this machine."""
    load = LoadSettings(RequestSettings(**request), client=client)
    of = plan(hosts=(f"http://127.0.0.1:{port}",), load=load)
    own = session(of, client=client, within=environment())
    lifecycle._sessions[id(own.environment)] = own
    own.begin(lambda _: None)
    return own


def test_a_user_sends_from_its_start_to_its_stop() -> None:
    with served(always(GREEN)) as port:
        own = begun(port)
        user = ColorUser(own.environment)
        user.on_start()
        assert until(lambda: own.counter.tally.requests > 5)
        user.on_stop()
        assert own.counter.under_way == 0
        sent = own.counter.sent
        gevent.sleep(0.05)
        assert own.counter.sent == sent
        own.end()


class OddUser(SplitUser):
    """Has a mistake in its locustfile."""

    def request(self) -> Request:
        return Request(["a", "mistake"][7])


@pytest.mark.parametrize("client", ["engine", "stock"])
def test_a_mistake_in_a_locustfile_ends_the_run_and_is_no_verdict(
    client: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lifecycle, "_end", lambda _: None)
    with served(always(GREEN)) as port:
        own = begun(port, client)
        user = OddUser(own.environment)
        user.on_start()
        assert own.notes.broken.startswith("broken: IndexError: list index out of range")
        assert own.counter.closed
        assert own.counter.sent == 0
        user.draw()
        user.on_stop()
        own.end()


def head_of(own_request: dict[str, Any]) -> str:
    """Return the head of the first request that a user sends."""
    heads: list[str] = []

    def handler(connection: Any, _: int) -> None:
        heads.append(connection.recv(65536).decode())
        connection.sendall(GREEN)
        while read_request(connection):
            connection.sendall(GREEN)

    with served(handler) as port:
        own = begun(port, **own_request)
        user = ColorUser(own.environment)
        user.on_start()
        assert until(lambda: heads)
        user.on_stop()
        own.end()
    return heads[0]


def test_options_overrule_the_headers_of_a_locustfile() -> None:
    head = head_of({"headers": {"X-Flag": "off"}})
    assert head.startswith("GET /color HTTP/1.1\r\n")
    assert "X-Flag: off" in head
    assert "X-Own: 1" in head
    assert "Connection: close" not in head
    assert "Connection: close" in head_of({"unit": "session"})


def test_a_wait_time_is_between_an_answer_and_the_next_request(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with served(always(GREEN)) as port:
        own = begun(port)
        user = SlowUser(own.environment)
        assert user._pause() == 0.25
        pauses: list[int] = []

        def pause() -> float:
            pauses.append(own.counter.under_way)
            return 0.01

        monkeypatch.setattr(user, "_wait_time", pause)
        user.on_start()
        assert until(lambda: len(pauses) >= 3)
        assert set(pauses) == {0}
        user.on_stop()
        own.end()
    assert ColorUser(own.environment)._pause() == 0.0


def test_the_engine_sends_by_itself_and_its_user_waits_to_be_stopped() -> None:
    with served(always(GREEN)) as port:
        own = begun(port)
        user = ColorUser(own.environment)
        user.on_start()
        user.draw()
        assert user.wait_time() == FOREVER
        user.on_stop()
        own.end()


def test_locusts_own_client_sends_one_request_a_task() -> None:
    with served(always(GREEN)) as port:
        own = begun(port, "stock")
        user = ColorUser(own.environment)
        user.on_start()
        for _ in range(3):
            user.draw()
        assert user.wait_time() == 0.0
        assert own.counter.tally.counts["green"] == 3
        own.counter.close()
        user.draw()
        assert user.wait_time() == FOREVER  # no more are wanted
        user.on_stop()
        own.end()


def test_a_gateway_that_is_not_there_is_not_asked() -> None:
    own = session(client="stock", within=environment())
    own.notes.unreachable = "nobody there"
    lifecycle._sessions[id(own.environment)] = own
    user = ColorUser(own.environment)
    user.on_start()
    user.draw()
    assert user.wait_time() == FOREVER
    assert own.counter.sent == 0


def test_an_answer_that_does_not_come_in_time_counts_as_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "LAST_ANSWERS", 0.05)

    def silent(connection: Any, _: int) -> None:
        read_request(connection)
        connection.recv(1)

    handler: Handler = silent
    with served(handler) as port:
        own = begun(port)
        user = ColorUser(own.environment)
        user.on_start()
        assert until(lambda: own.counter.under_way == 1)
        user.on_stop()
        assert (own.counter.under_way, own.counter.tally.requests) == (0, 0)
        own.end()
