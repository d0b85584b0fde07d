"""A socket that does not block: connecting, sending what does not fit, TLS, limits of ours."""

from __future__ import annotations

import contextlib
import errno
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.fakes.servers import always, plain, served
from tests.support.engines import turned_until
from tests.support.gateways import certificate
from tests.support.tls import speaking
from trafficsplit.errors import BrokenError
from trafficsplit.load import wire as module
from trafficsplit.load.endpoint import GatewayAddress, endpoint_of
from trafficsplit.load.poller import READ, WRITE, Poller
from trafficsplit.load.wire import OUR_FAULTS, Wire
from trafficsplit.settings.load import ConnectionSettings

ANSWER = plain(b"hello")


@pytest.fixture
def poller() -> Iterator[Poller]:
    broken: list[BaseException] = []
    own = Poller(broken.append)
    yield own
    own.close()
    assert not broken


class Socket:
    """A wire, and the masks of its events."""

    def __init__(self, poller: Poller, *, reset: bool = False) -> None:
        self.wire = Wire(poller, reset=reset)
        self.masks: list[int] = []
        self.on_events: Callable[[int], None] = lambda _: None

    def ready(self, mask: int) -> None:
        self.masks.append(mask)
        self.on_events(mask)

    def connect(self, port: int) -> None:
        """Connect to a server on this machine, and wait until that is done."""
        self.wire.connect((socket.AF_INET, ("127.0.0.1", port)), self.ready)
        assert turned_until(lambda: self.masks)
        self.wire.finish_connecting()
        self.masks.clear()

    def received(self, number: int) -> bytes:
        """Return a number of bytes, when they have come."""
        data = b""

        def take(_: int) -> None:
            nonlocal data
            with contextlib.suppress(BlockingIOError):  # TLS has messages of its own
                data += self.wire.receive(65536)

        self.on_events = take
        assert turned_until(lambda: len(data) >= number)
        return data


def test_it_connects_sends_and_receives(poller: Poller) -> None:
    with served(always(ANSWER)) as port:
        own = Socket(poller)
        assert not own.wire.is_open
        own.connect(port)
        assert own.wire.is_open
        own.wire.transmit(b"GET / HTTP/1.1\r\n\r\n")
        assert own.received(len(ANSWER)) == ANSWER
        own.wire.close()
        assert not own.wire.is_open
        own.wire.close()  # a second time is no harm


def test_nothing_to_receive_blocks_nobody(poller: Poller) -> None:
    with served(always(ANSWER)) as port:
        own = Socket(poller)
        own.connect(port)
        with pytest.raises(BlockingIOError):
            own.wire.receive(100)
        own.wire.close()


def test_a_refused_connection_is_the_gateways_doing(poller: Poller) -> None:
    own = Socket(poller)
    with socket.socket() as bound:  # nobody listens, and nobody else can
        bound.bind(("127.0.0.1", 0))
        own.wire.connect((socket.AF_INET, bound.getsockname()), own.ready)
        assert turned_until(lambda: own.masks)
        with pytest.raises(ConnectionRefusedError):
            own.wire.finish_connecting()
        own.wire.close()


def test_an_address_that_cannot_be_is_the_gateways_doing(poller: Poller) -> None:
    own = Socket(poller)
    with pytest.raises(OSError, match=r"unreachable|Invalid argument|denied|assign"):
        own.wire.connect((socket.AF_INET, ("255.255.255.255", 1)), own.ready)
    own.wire.close()


@pytest.mark.parametrize("code", sorted(OUR_FAULTS))
def test_a_limit_of_this_machine_is_not_the_gateways_doing(
    poller: Poller, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    def none_left(*_: object) -> None:
        raise OSError(code, "no more")

    monkeypatch.setattr(module, "_socket", none_left)
    own = Socket(poller)
    with pytest.raises(BrokenError, match=r"no more sockets \(no more\).*ulimit -n"):
        own.wire.connect((socket.AF_INET, ("127.0.0.1", 1)), own.ready)
    assert not own.wire.is_open


def test_no_port_left_is_found_out_while_connecting(
    poller: Poller, monkeypatch: pytest.MonkeyPatch
) -> None:
    class NoPorts(socket.socket):
        def connect_ex(self, _: object) -> int:
            return errno.EADDRNOTAVAIL

    monkeypatch.setattr(module, "_socket", NoPorts)
    own = Socket(poller)
    with pytest.raises(BrokenError, match="no more sockets"):
        own.wire.connect((socket.AF_INET, ("127.0.0.1", 1)), own.ready)
    own.wire.close()


MANY = b"x" * 5_000_000  # more than sockets keep


def test_what_the_socket_does_not_take_is_sent_when_it_does(poller: Poller) -> None:
    got: list[int] = []
    go = threading.Event()

    def slow(connection: socket.socket, _: int) -> None:
        go.wait(60)
        total = 0
        while total < len(MANY):
            total += len(connection.recv(65536))
        got.append(total)
        connection.sendall(b"done")

    with served(slow) as port:
        own = Socket(poller)
        own.connect(port)
        own.wire.transmit(MANY)
        own.on_events = lambda mask: own.wire.send_rest() if mask & WRITE else None
        go.set()
        assert turned_until(lambda: own.masks and own.masks[-1] == READ)
        assert own.wire.receive(10) == b"done"
        own.wire.close()
    assert got == [len(MANY)]


def test_with_reset_no_port_is_kept(poller: Poller) -> None:
    ends: list[str] = []

    def handler(connection: socket.socket, _: int) -> None:
        try:
            connection.recv(1)
        except ConnectionResetError:
            ends.append("reset")
        else:
            ends.append("closed")

    for reset in (True, False):
        with served(handler) as port:
            own = Socket(poller, reset=reset)
            own.connect(port)
            own.wire.close()
            assert turned_until(lambda: len(ends) == (1 if reset else 2))  # noqa: B023
    assert ends == ["reset", "closed"]


# --- TLS ---


def test_tls_is_spoken_over_the_same_wire(poller: Poller, tmp_path: Path) -> None:
    file, key = certificate(tmp_path, "gw")
    settings = ConnectionSettings(ca_file=str(file))
    with served(speaking(file, key)) as port:
        gateway = GatewayAddress(f"https://gw:{port}", "127.0.0.1")
        own = Socket(poller)
        own.connect(port)
        shaken = shake_hands(own, endpoint_of(gateway, settings))
        assert turned_until(lambda: shaken)
        own.wire.transmit(b"ping")
        assert own.received(4) == b"ping"
        with pytest.raises(BlockingIOError):
            own.wire.receive(100)
        own.wire.close()


def shake_hands(own: Socket, endpoint: object) -> list[bool]:
    """Begin TLS; return a list that gets an element when hands are shaken."""
    shaken: list[bool] = []

    def go_on(mask: int) -> None:
        if own.wire.hands_shaken(mask, 65536) and own.wire.shake_hands():
            shaken.append(True)

    own.wire.begin_tls(endpoint)  # type: ignore[arg-type]
    own.on_events = go_on
    if own.wire.shake_hands():
        shaken.append(True)
    return shaken


def test_a_certificate_for_another_name_is_not_trusted(poller: Poller, tmp_path: Path) -> None:
    file, key = certificate(tmp_path, "gw")
    settings = ConnectionSettings(ca_file=str(file))
    with served(speaking(file, key)) as port:
        endpoint = endpoint_of(GatewayAddress(f"https://other:{port}", "127.0.0.1"), settings)
        own = Socket(poller)
        own.connect(port)
        errors: list[ssl.SSLError] = []

        def go_on(mask: int) -> None:
            try:
                if own.wire.hands_shaken(mask, 65536):
                    own.wire.shake_hands()
            except ssl.SSLError as error:
                errors.append(error)
                own.wire.close()

        own.wire.begin_tls(endpoint)
        own.on_events = go_on
        assert not own.wire.shake_hands()
        assert turned_until(lambda: errors)
    assert isinstance(errors[0], ssl.SSLCertVerificationError)


def test_the_end_of_tls_is_an_empty_read(poller: Poller, tmp_path: Path) -> None:
    file, key = certificate(tmp_path, "gw")
    settings = ConnectionSettings(insecure=True)
    with served(speaking(file, key)) as port:
        own = Socket(poller)
        own.connect(port)
        shaken = shake_hands(
            own, endpoint_of(GatewayAddress(f"https://127.0.0.1:{port}"), settings)
        )
        assert turned_until(lambda: shaken)
        own.wire.transmit(b"bye")
        assert own.received(3) == b"bye"
        ends: list[bytes] = []

        def take(_: int) -> None:
            with contextlib.suppress(BlockingIOError):
                ends.append(own.wire.receive(100))

        own.on_events = take
        assert turned_until(lambda: ends)
        assert ends[0] == b""
        own.wire.close()
