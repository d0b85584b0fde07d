"""Locust's own HTTP clients, which send one request after the other.

They are slower than the engine, by one or two orders of magnitude, but each of their requests fires
Locust's `request` event, which some listeners want.
"""

from __future__ import annotations

import http.cookiejar
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import gevent
from locust import User
from locust.clients import HttpSession
from locust.contrib.fasthttp import FastHttpSession

from trafficsplit.analysis.sequential import MANY
from trafficsplit.load.caller import backoff
from trafficsplit.load.connection import requests_of
from trafficsplit.load.endpoint import tls_context
from trafficsplit.load.hangs import UnderWay
from trafficsplit.load.http import CUT_OFF, Answer, add_header
from trafficsplit.load.ledger import NO_MORE
from trafficsplit.load.outcomes import row_of
from trafficsplit.load.request import Request
from trafficsplit.settings.load import LoadSettings

if TYPE_CHECKING:
    from trafficsplit.locust.session import Session

FIRST_REQUESTS = 2  # of the first connection of a user
GROWTH = 1.5  # each connection sends so many times as many as the one before it


@dataclass(frozen=True)
class _Sent:
    """A request: its ticket, when it was sent, and when it was due (None: without a schedule)."""

    ticket: int
    began: float
    due: float | None


class StockClient:
    """Sends and counts one request after the other, for one user.

    Cookies are refused, so that no request depends on the answer to an earlier one. Redirects are
    not followed, so that the answer is that of the gateway.
    """

    def __init__(self, user: User, session: Session, request: Request, gateway: int) -> None:
        self._user = user
        self._session = session
        self._gateway = gateway
        self._path = request.path
        settings = session.plan.load.request
        self._headers = {**request.headers, **settings.headers}
        self._arguments: dict[str, Any] = {}  # of each request
        if settings.new_connections:
            # A session is a new connection: the gateway is to close each after its answer.
            self._headers["Connection"] = "close"
        if session.sending.client == "requests":
            self._arguments["timeout"] = settings.timeout
        self._failures = 0  # in a row
        self._number = 0  # of the connection
        self._renewals = 0
        self._left = MANY  # requests until the connection makes room for a new one
        self._begin_anew()
        session.sending.users += 1
        session.counter.hangs.add_users(gateway, 1)

    def _begin_anew(self) -> None:
        """Send over a new connection from now on."""
        session = self._session
        host = session.plan.gateways[self._gateway].host
        of_client = _fast_session
        if session.sending.client == "requests":
            of_client = _requests_session
        self._client = of_client(self._user, session.plan.load, host)
        if not session.plan.load.request.new_connections:
            self._number = next(session.sending.numbers)
            # Short at first: a match needs connections enough to have met all of a balancer's
            # replicas, and there are no spare ones here.
            self._left = min(
                int(FIRST_REQUESTS * GROWTH**self._renewals), requests_of(self._number)
            )
            self._renewals += 1
            session.counter.hangs.open_connection(self._gateway)

    def _renew(self) -> None:
        """Close the connection, and open another one."""
        kept: Any = self._client
        getattr(kept, "client", kept).close()  # FastHttpUser's is inside
        self._begin_anew()

    def send(self) -> bool:
        """Send one request when it is due; return False when no more are to be sent."""
        session = self._session
        counter = session.counter
        schedule = session.sending.schedule
        due = None
        if schedule:
            if counter.closed:
                return False
            due = schedule.take()
            gevent.sleep(max(due - time.monotonic(), 0))
        ticket = counter.take(self._number)
        if ticket == NO_MORE:
            return False
        status = self._send(_Sent(ticket, time.monotonic(), due))
        self._left -= 1
        if self._left <= 0:
            self._renew()
        self._go_on(answered=status > 0)
        return True

    def _go_on(self, *, answered: bool) -> None:
        """Wait a while after a request without an answer."""
        hangs = self._session.counter.hangs
        if answered and self._failures:
            self._failures = 0
            hangs.stick(self._gateway, -1)
        elif not answered:
            if not self._failures:
                hangs.stick(self._gateway, 1)
            gevent.sleep(backoff(self._failures))
            self._failures += 1

    def _send(self, sent: _Sent) -> int:
        """Send a request and count its answer; return its status, 0 without one."""
        answered = False
        session = self._session
        since = sent.began - session.counter.began
        left = self._left - 1 if self._number else 0
        session.sending.under_way[sent.ticket] = UnderWay(sent.ticket, self._gateway, since, left)
        try:
            with self._client.get(
                self._path,
                name=self._session.plan.load.request.path,
                catch_response=True,
                allow_redirects=False,
                headers=self._headers,
                **self._arguments,
            ) as response:
                self._count(sent, response)
                answered = True
                return int(response.status_code or 0)
        finally:
            del session.sending.under_way[sent.ticket]
            if not answered:  # killed while it waited
                session.counter.give_up(sent.ticket, self._gateway)

    def _count(self, sent: _Sent, response: Any) -> None:
        """Count one answer, and put it into Locust's statistics under its variant's name."""
        counter = self._session.counter
        path = self._session.plan.load.request.path
        meta = cast("dict[str, Any]", response.request_meta)
        body = response.content or b""
        code, reason = self._outcome(response, body, meta["exception"])
        meta["name"] = path
        row = row_of(counter.kinds[code])
        if row:
            meta["name"] = f"{path} [{row}]"
        sent_at = sent.began
        latency = meta["response_time"] / 1000
        if sent.due is not None:
            sent_at = sent.due
            latency = time.monotonic() - sent.due
        if reason:
            response.failure(reason)
        if self._number and not response.status_code:
            counter.hangs.hang(self._gateway, self._left - 1, latency)
        counter.count(sent.ticket, code, sent_at - counter.began, latency, len(body), reason)

    def _outcome(self, response: Any, body: bytes, error: object) -> tuple[int, str]:
        """Return the code to count an answer by, and why it is lost, empty where it is not."""
        outcomes = self._session.sending.outcomes
        if not response.status_code:
            cause = getattr(response, "error", None) or error
            return outcomes.of_failure(self._gateway), f"{type(cause).__name__}: {cause}"
        headers = _headers(response)
        if _is_cut_off(headers, body):
            return outcomes.of_failure(self._gateway), CUT_OFF
        return outcomes.of_answer(Answer(response.status_code, headers, body, True), self._gateway)


def _fast_session(user: User, load: LoadSettings, host: str) -> Any:
    client = FastHttpSession(
        base_url=host,
        request_event=user.environment.events.request,
        user=user,
        ssl_context_factory=lambda: tls_context(load.connection),
        insecure=load.connection.insecure,
        connection_timeout=load.request.timeout,
        network_timeout=load.request.timeout,
        max_retries=0,
        max_redirects=0,
    )
    client.cookiejar.set_policy(_no_cookies())
    return client


def _requests_session(user: User, load: LoadSettings, host: str) -> Any:
    client = HttpSession(base_url=host, request_event=user.environment.events.request, user=user)
    client.trust_env = False
    client.cookies.set_policy(_no_cookies())
    client.verify = load.connection.ca_file or True
    if load.connection.insecure:
        client.verify = False
    return client


def _no_cookies() -> http.cookiejar.DefaultCookiePolicy:
    return http.cookiejar.DefaultCookiePolicy(allowed_domains=[])


def _is_cut_off(headers: Mapping[str, str], body: bytes) -> bool:
    """Return whether a body is shorter than its length says; FastHttpUser does not mind that."""
    length = headers.get("content-length", "")
    encoded = headers.get("content-encoding", "identity") != "identity"
    return length.isdecimal() and not encoded and len(body) < int(length)


def _headers(response: Any) -> Mapping[str, str]:
    """Return headers by lower-case name; the values of several with one name are a line each."""
    raw = getattr(getattr(response, "raw", None), "headers", None)
    pairs: Iterable[tuple[str, str]] = response.headers.items()
    if raw is not None:
        pairs = raw.iteritems()
    headers: dict[str, str] = {}
    for name, value in pairs:
        add_header(headers, name, value)
    return headers
