"""The opening of a connection: the first address that takes it, and TLS over it."""

from __future__ import annotations

import logging
import ssl
from collections.abc import Callable

from trafficsplit.load.lane import Lane
from trafficsplit.load.wire import BUFFER, Wire

log = logging.getLogger(__name__)


class UnconnectedError(Exception):
    """No address of a gateway takes a connection, or TLS fails. The text says why."""


class Dialer:
    """Opens a wire to a gateway again and again, for one connection after the other.

    `on_events` is given to the wire. Its methods raise UnconnectedError, and BrokenError where this
    machine has no sockets left.
    """

    __slots__ = ("_first", "_lane", "_refusals", "_shaking_hands", "_wire", "source")

    def __init__(self, lane: Lane, wire: Wire) -> None:
        self._lane = lane
        self._wire = wire
        self._first = 0  # the index of the address that is tried first
        self._refusals = 0  # addresses that have refused this connection
        self._shaking_hands = False
        self.source = ""  # the address to connect from, empty for the system's choice

    def begin(self, on_events: Callable[[int], None]) -> None:
        """Begin to connect to the address that took the last connection."""
        self._first = self._lane.good_address  # others may find another one meanwhile
        self._refusals = 0
        self._shaking_hands = False
        self._connect(on_events)

    def _connect(self, on_events: Callable[[int], None]) -> None:
        """Begin to connect to the next address that does not refuse at once."""
        addresses = self._lane.endpoint.addresses
        while True:
            address = addresses[(self._first + self._refusals) % len(addresses)]
            try:
                self._wire.connect(address, on_events, self.source)
            except OSError as error:
                self._refuse(error)
            else:
                return

    def _refuse(self, error: OSError) -> None:
        """Note that an address has refused. Raises UnconnectedError where all have."""
        endpoint = self._lane.endpoint
        log.debug("%s does not take a connection: %s", endpoint.host, error.strerror or error)
        self._refusals += 1
        if self._refusals >= len(endpoint.addresses):
            raise UnconnectedError(broken_off(error)) from None
        self._wire.close()

    def go_on(self, mask: int, on_events: Callable[[int], None]) -> bool:
        """Take the wire's events; return whether a request can be sent over it."""
        if self._shaking_hands:
            return self._go_on_shaking(mask)
        try:
            self._wire.finish_connecting()
        except OSError as error:
            self._refuse(error)
            self._connect(on_events)
            return False
        lane = self._lane
        endpoint = lane.endpoint
        lane.good_address = (self._first + self._refusals) % len(endpoint.addresses)
        if endpoint.context is None:
            return True
        self._wire.begin_tls(endpoint)
        self._shaking_hands = True
        return self._shake_hands()

    def _go_on_shaking(self, mask: int) -> bool:
        try:
            if not self._wire.hands_shaken(mask, BUFFER):
                return False
        except BlockingIOError:
            return False
        except OSError as error:
            raise UnconnectedError(broken_off(error)) from None
        return self._shake_hands()

    def _shake_hands(self) -> bool:
        try:
            return self._wire.shake_hands()
        except ssl.SSLCertVerificationError as error:
            reason = f"the certificate is not to be trusted: {error.verify_message}"
        except ssl.SSLError as error:
            reason = f"TLS: {error.reason or error}"
        except OSError as error:
            reason = broken_off(error)
        raise UnconnectedError(reason)


def broken_off(error: OSError) -> str:
    """Return the reason of a lost request whose connection has failed."""
    return f"{type(error).__name__}: {error.strerror or error}"
