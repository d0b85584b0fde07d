"""The load engine driven in the tests' own process, beside gevent's hub."""

from __future__ import annotations

import contextlib
import itertools
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import gevent
from gevent.event import Event

from tests.fakes.servers import Handler, served
from tests.support.runs import CANARY
from tests.support.waiting import PATIENCE
from trafficsplit.identify.identifier import identifier_of
from trafficsplit.load.caller import Caller
from trafficsplit.load.counting import Counter
from trafficsplit.load.endpoint import Endpoint, GatewayAddress, endpoint_of
from trafficsplit.load.engine import Engine, Waiting
from trafficsplit.load.outcomes import Outcomes
from trafficsplit.load.schedule import Schedule
from trafficsplit.load.visitor import Visit, Visitor
from trafficsplit.settings.load import ConnectionSettings


def turned_until(condition: Callable[[], object], seconds: float = PATIENCE) -> bool:
    """Let gevent's hub run until a condition holds; return whether it did.

    `waiting.until` would keep the hub, and all sockets of an engine, from going on.
    """
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        gevent.sleep(0.001)
    return True


def endpoint_at(port: int, *, host: str = "http://127.0.0.1") -> Endpoint:
    """Return a server on this machine, ready to be connected to."""
    return endpoint_of(GatewayAddress(f"{host}:{port}"), ConnectionSettings())


@dataclass
class Driven:
    """What an engine has counted, why requests were lost, and the seconds that it took."""

    counter: Counter
    failures: list[str] = field(default_factory=list)
    elapsed: float = 0.0


@dataclass
class Running:
    """An engine whose callers ask a server again and again, and what it counts."""

    engine: Engine
    counter: Counter
    callers: list[Caller]


@contextlib.contextmanager
def running(
    handler: Handler,
    *,
    users: int = 4,
    budget: int | None = None,
    waiting: Waiting = Waiting(PATIENCE),
    schedule: Schedule | None = None,
) -> Iterator[Running]:
    """Let users ask a server for as long as the context is entered."""
    with served(handler) as port:
        counter = Counter(CANARY, budget=budget)
        counter.began = time.monotonic()
        endpoint = endpoint_at(port)
        outcomes = Outcomes(identifier_of(), counter)
        engine = Engine([endpoint], counter, outcomes, waiting, schedule)
        try:
            request = endpoint.request("/", {})
            yield Running(engine, counter, [engine.add(request) for _ in range(users)])
        finally:
            engine.close()


def drive(
    handler: Handler,
    budget: int,
    *,
    users: int = 2,
    waiting: Waiting = Waiting(PATIENCE),
    rate: float = 0.0,
) -> Driven:
    """Send `budget` requests at a server, `rate` a second or as fast as it answers."""
    with served(handler) as port:
        return drive_endpoint(endpoint_at(port), budget, users=users, waiting=waiting, rate=rate)


def drive_endpoint(
    endpoint: Endpoint,
    budget: int,
    *,
    users: int = 2,
    waiting: Waiting = Waiting(PATIENCE),
    rate: float = 0.0,
    visit: Visit | None = None,
) -> Driven:
    """Send `budget` requests to an endpoint, and wait for all of them.

    With a `visit` users come and go, and the draws are users.
    """
    done = Event()
    each = visit.requests if visit else 0
    counter = Counter(CANARY, budget=budget, user_requests=each, on_complete=done.set)
    counter.began = time.monotonic()
    driven = Driven(counter)
    outcomes = Outcomes(identifier_of("page", CANARY), counter)
    schedule = Schedule(rate, counter.began) if rate else None
    engine = Engine([endpoint], counter, outcomes, waiting, schedule)
    engine.on_failure = lambda reason, *_: driven.failures.append(reason)
    try:
        request = endpoint.request("/color", {})
        numbers = itertools.count(1)
        for _ in range(users):
            visitor = Visitor(visit, endpoint, numbers) if visit else None
            engine.add(request, visitor=visitor)
        assert done.wait(PATIENCE), (counter.tally, counter.sums.losses)
    finally:
        engine.close()
    driven.elapsed = time.monotonic() - counter.began
    assert counter.tally.requests == budget
    assert len(driven.failures) == counter.tally.lost == counter.sums.losses.total()
    return driven
