"""The options about users, for gateways that are sticky on purpose."""

from __future__ import annotations

import re
from ipaddress import IPv4Network, ip_network

from trafficsplit.analysis.question import MOST_USER_REQUESTS
from trafficsplit.errors import InputError
from trafficsplit.settings.numbers import count
from trafficsplit.settings.options import Texts, flag_of

USER_REQUESTS = 3  # of each user: one to be assigned a variant, two to be seen to stay
OWN_OPTIONS = ("user_requests", "user_header", "user_address")
FEWEST_ADDRESSES = 1 << 16  # of a network: users that share one are no draws of their own
_LOOPBACK = IPv4Network("127.0.0.0/8")
_TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_TAKEN = {"host", "connection", "cookie", "content-length", "transfer-encoding"}


def parse_user_requests(texts: Texts) -> int:
    """Return the requests of each user, 0 where draws are no users. Raises InputError."""
    if texts.text("unit") != "user":
        for name in OWN_OPTIONS:
            if texts.text(name):
                raise InputError(f"{flag_of(name)} is about users: give --unit user too")
        return 0
    requests = texts.value("user_requests", count) or USER_REQUESTS
    if not 2 <= requests <= MOST_USER_REQUESTS:
        raise InputError(
            f"--user-requests {requests} does not show whether users stay: give from 2 to "
            f"{MOST_USER_REQUESTS}"
        )
    return requests


def parse_header_name(text: str) -> str:
    """Return the name of the header that each user has a value of its own in. Raises InputError."""
    if text and not _TOKEN.fullmatch(text):
        raise InputError(f"--user-header {text!r} is no header's name: give one like X-User")
    if text.lower() in _TAKEN:
        raise InputError(f"--user-header {text} cannot be set: the client needs it itself")
    return text


def parse_network(text: str) -> str:
    """Return the network that users ask from, one of this machine's own. Raises InputError."""
    if not text:
        return ""
    try:
        network = ip_network(text, strict=False)
    except ValueError as error:
        raise InputError(f"--user-address {text!r} is no network: {error}") from None
    if not isinstance(network, IPv4Network) or not network.subnet_of(_LOOPBACK):
        raise InputError(
            f"--user-address {text} is not of this machine: give one in 127.0.0.0/8, which needs "
            "a gateway on this machine"
        )
    if network.num_addresses < FEWEST_ADDRESSES:
        raise InputError(f"--user-address {text} has too few addresses: give a /16 or a larger one")
    return str(network)


def user_requests_of(unit: str, own: int) -> int:
    """Return the requests of each user where the draws are `unit`; `own` are those set before."""
    if unit != "user":
        return 0
    return own or USER_REQUESTS
