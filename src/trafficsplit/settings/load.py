"""The options about the requests, and the clients that send them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from trafficsplit.analysis.run import CanaryLimits
from trafficsplit.analysis.split import Split
from trafficsplit.errors import InputError
from trafficsplit.settings.addresses import parse_addresses, parse_headers, parse_path
from trafficsplit.settings.numbers import count, duration, positive_duration, rate, ratio
from trafficsplit.settings.options import Texts
from trafficsplit.settings.question import parse_previous
from trafficsplit.settings.users import parse_header_name, parse_network, parse_user_requests

UNITS = ("request", "session", "user")
CLIENTS = ("engine", "stock", "requests")
MOST_USERS = 10_000
MOST_PROCESSES = 256


@dataclass(frozen=True)
class RequestSettings:
    """The request, and where its answer names a variant. `timeout` is in seconds.

    `unit` is what a draw is: a `request`, a `session` (a new connection without cookies), or a
    `user`, who asks `user_requests` times with cookies of its own, with a header `user_header` of
    its own (empty: none), and from an address in the network `user_address` (empty: this
    machine's).
    """

    path: str = "/color"
    headers: Mapping[str, str] = field(default_factory=dict)
    variant_from: str = "page"
    unit: str = "request"
    timeout: float = 10.0
    user_requests: int = 0
    user_header: str = ""
    user_address: str = ""

    @property
    def new_connections(self) -> bool:
        """Whether each request has a connection of its own."""
        return self.unit == "session"


@dataclass(frozen=True)
class ConnectionSettings:
    """How to connect to gateways.

    `addresses` are by name, and replace those of DNS; a name without any gets all that DNS has.
    """

    addresses: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    ca_file: str = ""
    insecure: bool = False


@dataclass(frozen=True)
class LoadSettings:
    """The load.

    `settle` and `ready_within` are in seconds, `rate` in requests a second (None: no schedule).

    `client` is empty where the load chooses it. `previous` is the split before the change that is
    verified, None where it is not known, and `others` are those of other routes of the same
    manifest or resource, by name. With `diagnosis` a run goes on after a mismatch, until its
    cause is known.
    """

    request: RequestSettings = RequestSettings()
    connection: ConnectionSettings = ConnectionSettings()
    settle: float = 0.0
    ready_within: float = 3.0
    rate: float | None = None
    client: str = ""
    record: bool = False
    previous: Split | None = None
    canary: CanaryLimits = CanaryLimits()
    diagnosis: bool = True
    others: Mapping[str, Split] = field(default_factory=dict)


@dataclass(frozen=True)
class SendingSettings:
    """The users that send, added over `ramp` seconds, and the number of their processes."""

    users: int = 16
    ramp: float = 0.0
    processes: int = 1


def parse_request(texts: Texts) -> RequestSettings:
    """Return the request. Raises InputError."""
    return RequestSettings(
        path=parse_path(texts["path"]),
        headers=parse_headers(texts["header"]),
        variant_from=texts["variant_from"],
        unit=texts.choice("unit", UNITS),
        timeout=positive_duration(texts["timeout"], "--timeout"),
        user_requests=parse_user_requests(texts),
        user_header=parse_header_name(texts.text("user_header")),
        user_address=parse_network(texts.text("user_address")),
    )


def parse_connection(texts: Texts) -> ConnectionSettings:
    """Return how to connect to gateways. Raises InputError."""
    ca_file = texts["ca_file"]
    if ca_file:  # the process that reads it works in another directory
        ca_file = str(Path(ca_file).absolute())
    return ConnectionSettings(
        addresses=parse_addresses(texts["resolve"]),
        ca_file=ca_file,
        insecure=bool(texts["insecure"]),
    )


def parse_load(texts: Texts) -> LoadSettings:
    """Return the load. Raises InputError."""
    return LoadSettings(
        request=parse_request(texts),
        connection=parse_connection(texts),
        settle=duration(texts["settle"], "--settle"),
        ready_within=duration(texts["ready_within"], "--ready-within"),
        rate=texts.value("rate", rate),
        client=texts.choice("client", CLIENTS),
        record=bool(texts.text("record")),
        previous=parse_previous(texts),
        canary=CanaryLimits(
            max_p99_ratio=texts.value("max_p99_ratio", ratio),
            max_error_ratio=texts.value("max_error_ratio", ratio),
        ),
        diagnosis=not texts.text("no_diagnosis"),
    )


def parse_sending(texts: Texts) -> SendingSettings:
    """Return the users that send. Raises InputError."""
    return SendingSettings(
        users=parse_users(texts),
        ramp=duration(texts["ramp"], "--ramp"),
        processes=_at_most(count(texts["processes"], "--processes"), MOST_PROCESSES, "--processes"),
    )


def parse_users(texts: Texts) -> int:
    """Return the number of users. Raises InputError."""
    return _at_most(count(texts["users"], "--users"), MOST_USERS, "--users")


def _at_most(value: int, most: int, what: str) -> int:
    if value > most:
        raise InputError(f"{what} is {value:,}: give at most {most:,}")
    return value


def load_as_plain(load: LoadSettings) -> dict[str, Any]:
    """Return load settings as plain data, for a file."""
    plain = asdict(replace(load, previous=None, others={}))  # it cannot copy a split
    plain["previous"] = dict(load.previous.weights) if load.previous else None
    plain["others"] = {name: dict(split.weights) for name, split in load.others.items()}
    return plain


def load_from_plain(plain: Mapping[str, Any]) -> LoadSettings:
    """Return the settings that `load_as_plain` wrote. Raises TypeError, KeyError or ValueError."""
    connection = dict(plain["connection"])
    connection["addresses"] = {k: tuple(v) for k, v in connection["addresses"].items()}
    previous = plain["previous"]
    nested = {
        "request": RequestSettings(**plain["request"]),
        "connection": ConnectionSettings(**connection),
        "previous": Split(previous) if previous else None,
        "canary": CanaryLimits(**plain["canary"]),
        "others": {name: Split(weights) for name, weights in plain["others"].items()},
    }
    return LoadSettings(**{**plain, **nested})
