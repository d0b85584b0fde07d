"""The Locust user that a locustfile builds on."""

from __future__ import annotations

from typing import Any

from locust import User, task

from trafficsplit.load.connection import Connection
from trafficsplit.load.request import Request
from trafficsplit.locust.lifecycle import LAST_ANSWERS, register, session_of
from trafficsplit.locust.stock import StockClient

__all__ = ["Request", "SplitUser"]

FOREVER = 1e6  # seconds

register()


class SplitUser(User):
    """A user whose every request is one draw from the split, over one kept connection.

    What is sent is the same each time: `request` says it. `wait_time` is what it is for every user
    of Locust's.
    """

    abstract = True

    def __init__(self, environment: Any) -> None:
        super().__init__(environment)
        self._session = session_of(environment)
        self.path: str = self._session.plan.load.request.path
        self._connection: Connection | None = None
        self._stock: StockClient | None = None
        waits = type(self).wait_time is not User.wait_time
        self._configured = self.wait_time if waits else None
        # Between requests the engine waits itself; and a user that ended by itself would be
        # missed, and complained of, when Locust stops it.
        self._parked = False
        self.wait_time = lambda: FOREVER if self._parked else self._pause()  # type: ignore[method-assign]

    def request(self) -> Request:
        """What to send; asked once, at the start."""
        return Request(self.path)

    def _pause(self) -> float:
        return float(self._configured()) if self._configured else 0.0

    def on_start(self) -> None:
        """Begin to send."""
        session = self._session
        sending = session.sending
        request = self.request()
        if sending.engine:
            settings = session.plan.load.request
            headers = {**request.headers, **settings.headers}
            if settings.new_connections:
                headers["Connection"] = "close"
            gateway = sending.next_gateway()
            endpoint = sending.engine.lanes[gateway].endpoint
            self._connection = sending.engine.add(
                endpoint.request(request.path, headers),
                self._pause if self._configured else None,
                gateway,
            )
        elif sending.client != "engine" and not session.notes.unreachable:
            self._stock = StockClient(self, session, request, sending.next_gateway())

    @task
    def draw(self) -> None:
        """With the engine there is nothing to do here; Locust's clients send one request."""
        self._parked = self._stock is None or not self._stock.ask()

    def on_stop(self) -> None:
        """Send no more; the last answer may still come."""
        if self._connection and not self._connection.leave().wait(LAST_ANSWERS):
            self._connection.abandon()
