"""The options that say what is sent, and how."""

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

UNITS = ("request", "session")
CLIENTS = ("engine", "stock", "requests")
MOST_USERS = 10_000
MOST_PROCESSES = 256


@dataclass(frozen=True)
class RequestSettings:
    """What is sent, and where its answer names a variant. `timeout` is in seconds.

    `unit` is what a draw is: a `request`, or a `session` (a new connection without cookies).
    """

    path: str = "/color"
    headers: Mapping[str, str] = field(default_factory=dict)
    variant_from: str = "page"
    unit: str = "request"
    timeout: float = 10.0

    @property
    def new_connections(self) -> bool:
        """Return whether each request has a connection of its own."""
        return self.unit == "session"


@dataclass(frozen=True)
class ConnectionSettings:
    """How gateways are reached.

    `addresses` are those of names, whatever DNS says; none for a name whose addresses DNS tells.
    """

    addresses: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    ca_file: str = ""
    insecure: bool = False


@dataclass(frozen=True)
class LoadSettings:
    """What the load does. `settle` is in seconds, `rate` in requests a second (None: no schedule).

    `client` is empty where it is for the load to choose; `previous` are the weights before the
    change that is verified, where they are known.
    """

    request: RequestSettings = RequestSettings()
    connection: ConnectionSettings = ConnectionSettings()
    settle: float = 0.0
    rate: float | None = None
    client: str = ""
    record: bool = False
    previous: Split | None = None
    canary: CanaryLimits = CanaryLimits()


@dataclass(frozen=True)
class SendingSettings:
    """Who sends: `users` that are added over `ramp` seconds, in a number of processes."""

    users: int = 16
    ramp: float = 0.0
    processes: int = 1


def parse_request(texts: Texts) -> RequestSettings:
    """Return what is sent. Raises InputError."""
    return RequestSettings(
        path=parse_path(texts["path"]),
        headers=parse_headers(texts["header"]),
        variant_from=texts["variant_from"],
        unit=texts.choice("unit", UNITS),
        timeout=positive_duration(texts["timeout"], "--timeout"),
    )


def parse_connection(texts: Texts) -> ConnectionSettings:
    """Return how gateways are reached. Raises InputError."""
    ca_file = texts["ca_file"]
    return ConnectionSettings(
        addresses=parse_addresses(texts["resolve"]),
        # A child of ours works in another directory.
        ca_file=str(Path(ca_file).absolute()) if ca_file else "",
        insecure=bool(texts["insecure"]),
    )


def parse_load(texts: Texts) -> LoadSettings:
    """Return what the load does. Raises InputError."""
    per_second = texts["rate"]
    return LoadSettings(
        request=parse_request(texts),
        connection=parse_connection(texts),
        settle=duration(texts["settle"], "--settle"),
        rate=rate(per_second, "--rate") if per_second else None,
        client=texts.choice("client", CLIENTS),
        record=bool(texts.text("record")),
        previous=parse_previous(texts),
        canary=CanaryLimits(_ratio(texts, "max_p99_ratio"), _ratio(texts, "max_error_ratio")),
    )


def _ratio(texts: Texts, name: str) -> float | None:
    text = texts[name]
    return ratio(text, f"--{name.replace('_', '-')}") if text else None


def parse_sending(texts: Texts) -> SendingSettings:
    """Return who sends. Raises InputError."""
    return SendingSettings(
        users=parse_users(texts),
        ramp=duration(texts["ramp"], "--ramp"),
        processes=_at_most(count(texts["processes"], "--processes"), MOST_PROCESSES, "--processes"),
    )


def parse_users(texts: Texts) -> int:
    """Return how many users ask at once. Raises InputError."""
    return _at_most(count(texts["users"], "--users"), MOST_USERS, "--users")


def _at_most(value: int, most: int, what: str) -> int:
    if value > most:
        raise InputError(f"{what} is {value:,}: give at most {most:,}")
    return value


def load_as_plain(load: LoadSettings) -> dict[str, Any]:
    """Return load settings as plain data, for a file."""
    plain = asdict(replace(load, previous=None))  # a split cannot be copied by it
    plain["previous"] = dict(load.previous.weights) if load.previous else None
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
    }
    return LoadSettings(**{**plain, **nested})
