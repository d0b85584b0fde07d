"""Locust's own HTTP clients, asked one request at a time.

Slower than the engine, by one or two orders of magnitude, but every request fires Locust's
`request` event, which some listeners want.
"""

from __future__ import annotations

import http.cookiejar
import time
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, cast

import gevent
from locust import User
from locust.clients import HttpSession
from locust.contrib.fasthttp import FastHttpSession

from load.counting import NO_MORE
from load.engine import backoff
from load.http import add_header
from load.outcomes import row_of
from load.request import Request
from load.target import tls_context

if TYPE_CHECKING:
    from load.session import Session


class StockClient:
    """Sends and counts one request after the other, for one user.

    Cookies are refused, so that no request depends on the answer to an earlier one; redirects are
    not followed, so that what answers is what was asked.
    """

    def __init__(self, user: User, session: Session, request: Request, gateway: int) -> None:
        self._session = session
        self._gateway = gateway
        self._path = request.path
        self._headers = {**request.headers, **session.headers}
        self._number = next(session.numbers)
        if session.load["unit"] == "session":
            # A session is a new connection: the gateway is asked to close each behind its answer.
            self._headers["Connection"] = "close"
            self._number = 0
        self._failures = 0
        make = _requests_session if session.client == "requests" else _fast_session
        self._client, self._settings = make(user, session, session.places[gateway].host)

    def ask(self) -> bool:
        """One request, when it is due; False when no more are to be sent."""
        session = self._session
        counter, schedule = session.counter, session.schedule
        due = None
        if schedule:
            if counter.closed:
                return False
            due = schedule.take()
            gevent.sleep(max(due - time.monotonic(), 0))
        ticket = counter.take(self._number)
        if ticket == NO_MORE:
            return False
        began = time.monotonic()
        answered = False
        try:
            with self._client.get(
                self._path,
                name=session.load["path"],
                catch_response=True,
                allow_redirects=False,
                headers=self._headers,
                **self._settings,
            ) as response:
                self._count(ticket, began, due, response)
                answered = True
        finally:
            if not answered:  # killed in the middle: an answer that never came is nobody's
                counter.give_back(ticket)
        if not response.status_code:
            gevent.sleep(backoff(self._failures))
            self._failures += 1
        else:
            self._failures = 0
        return True

    def _count(self, ticket: int, began: float, due: float | None, response: Any) -> None:
        """Put one answer into the tally, and under its variant's name into Locust's statistics."""
        session = self._session
        outcomes, counter = session.outcomes, session.counter
        meta = cast("dict[str, Any]", response.request_meta)
        error = meta["exception"]
        body = response.content or b""
        if not response.status_code:
            cause = getattr(response, "error", None) or error
            code, reason = outcomes.of_failure(self._gateway), f"{type(cause).__name__}: {cause}"
        elif _is_cut_off(headers := _headers(response), body):
            code = outcomes.of_failure(self._gateway)
            reason = "the connection was closed before the end of the answer"
        else:
            code, reason = outcomes.of_answer(response.status_code, headers, body, self._gateway)
        row = row_of(counter.kinds[code])
        meta["name"] = f"{session.load['path']} [{row}]" if row else session.load["path"]
        sent_at, latency = began, meta["response_time"] / 1000
        if due is not None:
            sent_at, latency = due, time.monotonic() - due
        if reason:
            response.failure(reason)
        counter.count(ticket, code, sent_at - counter.began, latency, len(body), reason)


def _fast_session(user: User, session: Session, host: str) -> tuple[Any, dict[str, Any]]:
    timeout = float(session.load["timeout"])
    client = FastHttpSession(
        base_url=host,
        request_event=user.environment.events.request,
        user=user,
        ssl_context_factory=lambda: tls_context(
            session.load["ca_file"], insecure=session.options.insecure
        ),
        insecure=session.options.insecure,
        connection_timeout=timeout,
        network_timeout=timeout,
        max_retries=0,
        max_redirects=0,
    )
    client.cookiejar.set_policy(_nobody())
    return client, {}


def _requests_session(user: User, session: Session, host: str) -> tuple[Any, dict[str, Any]]:
    client = HttpSession(base_url=host, request_event=user.environment.events.request, user=user)
    client.trust_env = False
    client.cookies.set_policy(_nobody())
    client.verify = session.load["ca_file"] or True
    if session.options.insecure:
        client.verify = False
    return client, {"timeout": float(session.load["timeout"])}


def _nobody() -> http.cookiejar.DefaultCookiePolicy:
    return http.cookiejar.DefaultCookiePolicy(allowed_domains=[])


def _is_cut_off(headers: Mapping[str, str], body: bytes) -> bool:
    """Whether a body is shorter than was said, which FastHttpUser's client does not mind."""
    length = headers.get("content-length", "")
    encoded = headers.get("content-encoding", "identity") != "identity"
    return length.isdecimal() and not encoded and len(body) < int(length)


def _headers(response: Any) -> Mapping[str, str]:
    """Lower-case names; of several with one name, a line each."""
    raw = getattr(getattr(response, "raw", None), "headers", None)
    pairs: Iterable[tuple[str, str]] = (
        raw.iteritems() if raw is not None else response.headers.items()
    )
    headers: dict[str, str] = {}
    for name, value in pairs:
        add_header(headers, name, value)
    return headers
