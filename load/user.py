"""The Locust user that a locustfile builds on."""

from __future__ import annotations

import http.cookiejar
import time
from typing import TYPE_CHECKING, Any, cast

from locust import FastHttpUser
from locust.contrib.fasthttp import ResponseContextManager

from load.counting import ERRORS, UNIDENTIFIED, Ticket
from load.harness import Session, register, session_of
from load.options import load_options

if TYPE_CHECKING:
    from analysis.reading import Reading


FOREVER = 1e6  # seconds

register()


class SplitUser(FastHttpUser):
    """A user whose every request is one draw from the split.

    Cookies are refused, so that no request depends on the answer to an earlier one; redirects are
    not followed, so that what answers is what was asked.
    """

    abstract = True

    def __init__(self, environment: Any) -> None:
        options = environment.parsed_options
        load = load_options(options)
        self.network_timeout = self.connection_timeout = float(load["timeout"])
        # A session is a new connection: the gateway is asked to close each behind its answer.
        self.path = load["path"]
        self._headers = {"Connection": "close"} if load["unit"] == "session" else {}
        self._connection = None if load["unit"] == "session" else id(self)
        self.insecure = options.insecure
        super().__init__(environment)
        configured = self.wait_time
        self._spent = False
        # A user that ended by itself would be missed, and complained of, when Locust stops it.
        self.wait_time = lambda: FOREVER if self._spent else configured()  # type: ignore[method-assign]
        nobody = http.cookiejar.DefaultCookiePolicy(allowed_domains=[])
        self.client.cookiejar.set_policy(nobody)

    def draw(self, path: str, **kwargs: Any) -> None:
        """Send one GET request and count who answers. `kwargs` go to Locust's client.

        Sends nothing when no more are needed: this user then waits until it is stopped.
        """
        session = session_of(self.environment)
        counter = session.counter
        ticket = counter.take(time.monotonic() - session.began)
        if ticket is None:
            self._spent = True
            return
        known = False
        try:
            with self.client.get(
                path,
                name=path,
                catch_response=True,
                allow_redirects=False,
                headers={**self._headers, **kwargs.pop("headers", {})},
                **kwargs,
            ) as response:
                _count(session, ticket, path, response, self._connection)
                known = True
        finally:
            if not known:  # killed in the middle: an answer that never came is nobody's
                counter.give_back(ticket)


def _count(
    session: Session,
    ticket: Ticket,
    path: str,
    response: ResponseContextManager,
    connection: int | None,
) -> None:
    """Put one answer into the tally, and under its variant's name into Locust's statistics."""
    meta = cast("dict[str, Any]", response.request_meta)
    status, body = response.status_code, response.content or b""
    reading = session.reader.read(body, _Headers(response.headers)) if status else None
    variant = reading.variant if reading else None
    reason = _loss(status, response, reading)
    if variant:
        meta["name"] = f"{path} [{variant}]"
    if not 200 <= status < 300 or meta["exception"] is not None:
        outcome: Any = ERRORS
        response.failure(reason)
    elif not variant:
        outcome = UNIDENTIFIED
        meta["name"] = f"{path} [unidentified]"
        response.failure(reason)
    else:
        outcome, reason = session.counter.variant_or_stranger(variant), ""
        if outcome == UNIDENTIFIED:
            reason, variant = "too many different names of variants", None
            meta["name"] = f"{path} [unidentified]"
            response.failure(reason)
    latency = meta["response_time"] / 1000
    if _is_cached(session, body, _Headers(response.headers)):
        session.counter.cached += 1
    session.counter.count(
        ticket, outcome, latency, variant=variant or "", reason=reason, connection=connection
    )


def _is_cached(session: Session, body: bytes, headers: _Headers) -> bool:
    """Whether a response came out of a cache: it says so, or shows an older request's id."""
    if headers.get("age", "0") != "0" or "HIT" in headers.get("x-cache", "").upper():
        return True
    repeated = session.bodies.seen(hash(body))
    return repeated and b"x-request-id" in body.lower()


def _loss(status: int, response: ResponseContextManager, reading: Reading | None) -> str:
    """Why a request tells nothing of the split; of no meaning where it does."""
    if not status:
        error = response.error if hasattr(response, "error") else None
        return f"{type(error).__name__}: {error}" if error else "no answer"
    if 300 <= status < 400:
        return f"HTTP {status} to {_Headers(response.headers).get('location', 'nowhere')}"
    if not 200 <= status < 300:
        return f"HTTP {status}"
    error = response.request_meta["exception"]
    if error is not None:
        return f"{type(error).__name__}: {error}"
    return reading.reason if reading else ""


class _Headers(dict[str, str]):
    """The client's headers as the reader wants them; of several with one name, a line each."""

    def __init__(self, headers: Any) -> None:
        super().__init__()
        self._headers = headers

    def get(self, name: str, default: Any = None) -> Any:
        value = self._headers.get(name, default) if self._headers is not None else default
        return "\n".join(value) if isinstance(value, list | tuple) else value
