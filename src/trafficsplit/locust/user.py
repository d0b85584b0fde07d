"""The Locust user that a locustfile builds on."""

from __future__ import annotations

from collections.abc import Callable

from locust import User, task
from locust.env import Environment

from trafficsplit.load.caller import Caller
from trafficsplit.load.engine import Engine
from trafficsplit.load.request import Request
from trafficsplit.load.visitor import Visitor, visit_of
from trafficsplit.locust.lifecycle import LAST_ANSWERS, break_run, register, session_of
from trafficsplit.locust.stock import StockClient

__all__ = ["Request", "SplitUser"]

FOREVER = 1e6  # seconds

register()


class SplitUser(User):
    """A user whose every request is one draw from the split, over a connection that is free.

    `request` says what is sent, which is the same each time. `wait_time` means the same as for
    every user of Locust's.
    """

    abstract = True

    def __init__(self, environment: Environment) -> None:
        super().__init__(environment)
        self._session = session_of(environment)
        self.path: str = self._session.plan.load.request.path
        self._caller: Caller | None = None
        self._stock: StockClient | None = None
        self._wait_time: Callable[[], float] | None = None  # the locustfile's own
        if type(self).wait_time is not User.wait_time:
            self._wait_time = self.wait_time
        # The engine waits between requests itself. A user that ended by itself would be missed, and
        # complained of, when Locust stops it, so it waits for that.
        self._parked = False
        self.wait_time = self._next_pause  # type: ignore[method-assign]

    def request(self) -> Request:
        """Return what to send; it is called once, at the start."""
        return Request(self.path)

    def _next_pause(self) -> float:
        return FOREVER if self._parked else self._pause()

    def _pause(self) -> float:
        """Return the seconds between an answer and the next request."""
        if self._wait_time is None:
            return 0.0
        return float(self._wait_time())

    def on_start(self) -> None:
        """Begin to send. What a locustfile's own `request` raises ends the run."""
        try:
            self._begin()
        except Exception as error:  # Locust would go on, and wait for ever for this user
            break_run(self._session, error)

    def _begin(self) -> None:
        session = self._session
        sending = session.sending
        request = self.request()
        if sending.engine:
            self._caller = self._caller_of(sending.engine, sending.next_gateway(), request)
        elif sending.client != "engine" and not session.notes.unreachable:
            self._stock = StockClient(self, session, request, sending.next_gateway())

    def _caller_of(self, engine: Engine, gateway: int, request: Request) -> Caller:
        """Return one who sends a request to a gateway again and again."""
        settings = self._session.plan.load.request
        headers = {**request.headers, **settings.headers}
        if settings.new_connections:
            headers["Connection"] = "close"
        endpoint = engine.lanes[gateway].endpoint
        data = endpoint.request(request.path, headers)
        pause = self._pause if self._wait_time else None
        visitor = None
        if settings.user_requests:
            visit = visit_of(settings, request.path, headers)
            visitor = Visitor(visit, endpoint, self._session.sending.numbers)
        return engine.add(data, pause, gateway, visitor)

    @task
    def draw(self) -> None:
        """Send one request with Locust's own clients; the engine sends by itself."""
        self._parked = self._stock is None or not self._stock.send()

    def on_stop(self) -> None:
        """Send no more, and wait a while for the last answer."""
        if self._caller and not self._caller.leave().wait(LAST_ANSWERS):
            self._caller.abandon()
