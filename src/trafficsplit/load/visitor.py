"""One user after the other in the place of one connection: cookies, a header, and k requests."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Network

from trafficsplit.load.cookies import Jar
from trafficsplit.load.endpoint import Endpoint
from trafficsplit.settings.load import RequestSettings

STRIDE = 2654435761  # a prime: its multiples reach each address of a network once


@dataclass(frozen=True)
class Visit:
    """What each user does: it asks for `path`, `requests` times, with these headers.

    `header` is the name of one more, with a fresh value for each user that cannot be guessed; empty
    for none. `network` has the addresses that users ask from, one each; None: the system's choice.
    """

    path: str
    requests: int
    headers: Mapping[str, str] = field(default_factory=dict)
    header: str = ""
    network: IPv4Network | None = None


def visit_of(settings: RequestSettings, path: str, headers: Mapping[str, str]) -> Visit:
    """Return what each user does by its settings, with the path and headers of its request."""
    network = IPv4Network(settings.user_address) if settings.user_address else None
    return Visit(path, settings.user_requests, headers, settings.user_header, network)


class Visitor:
    """A user, and when it has sent all of its requests, a new one without cookies.

    `number` is that of the present user, 0 before the first, taken from `numbers`; `request` is
    what it sends next, `source` the address that it asks from, empty for the system's choice.
    """

    __slots__ = (
        "_endpoint",
        "_jar",
        "_left",
        "_numbers",
        "_own",
        "_path",
        "_visit",
        "number",
        "request",
        "source",
    )

    def __init__(self, visit: Visit, endpoint: Endpoint, numbers: Iterator[int]) -> None:
        self._visit = visit
        self._endpoint = endpoint
        self._path = endpoint.prefix + visit.path
        self._numbers = numbers
        self._left = 0
        self._jar = Jar()
        self._own: dict[str, str] = {}
        self.number = 0
        self.request = b""
        self.source = ""

    def next(self) -> None:
        """Prepare the next request: that of a new user, where the last one has sent all."""
        if not self._left:
            self._begin()
        self._left -= 1

    def _begin(self) -> None:
        visit = self._visit
        self._left = visit.requests
        self._jar = Jar()
        self.number = next(self._numbers)
        if visit.network:
            self.source = _address(visit.network, self.number)
        self._own = dict(visit.headers)
        if visit.header:
            self._own[visit.header] = secrets.token_hex(16)
        self._compose()

    def _compose(self) -> None:
        headers = self._own
        cookies = self._jar.header(self._path)
        if cookies:
            headers = dict(headers)
            name = next((name for name in headers if name.lower() == "cookie"), "Cookie")
            given = headers.get(name)
            headers[name] = f"{given}; {cookies}" if given else cookies
        self.request = self._endpoint.request(self._visit.path, headers)

    def take(self, headers: Mapping[str, str]) -> None:
        """Keep the cookies of an answer; the names of its headers are in lower case."""
        lines = headers.get("set-cookie")
        if lines and self._jar.take(lines, self._path):
            self._compose()

    @property
    def is_over(self) -> bool:
        """Whether the present user has sent all of its requests."""
        return self._left == 0


def _address(network: IPv4Network, number: int) -> str:
    """Return the address of a user; another one's is another, as long as there are enough."""
    inner = network.num_addresses - 2  # neither the first nor the last
    return str(network[1 + number * STRIDE % inner])
