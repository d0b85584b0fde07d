"""The opening of a connection: the first address that takes it, and TLS over it."""

from __future__ import annotations

import socket
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from tests.fakes.servers import always, plain, served
from tests.support.engines import turned_until
from tests.support.gateways import certificate
from tests.support.tls import speaking
from trafficsplit.errors import BrokenError
from trafficsplit.load.dialing import Dialer, UnconnectedError, broken_off
from trafficsplit.load.endpoint import Endpoint, GatewayAddress, endpoint_of
from trafficsplit.load.lane import Lane
from trafficsplit.load.poller import Poller
from trafficsplit.load.wire import OUR_FAULTS, Wire
from trafficsplit.settings.load import ConnectionSettings

HELLO = always(plain(b"hello"))


@pytest.fixture
def poller() -> Iterator[Poller]:
    broken: list[BaseException] = []
    own = Poller(broken.append)
    yield own
    own.close()
    assert not broken


@pytest.fixture
def nowhere() -> Iterator[int]:
    """A port that refuses connections, and that nobody else can take meanwhile."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield bound.getsockname()[1]


def endpoint(*ports: int) -> Endpoint:
    addresses = [(socket.AF_INET, ("127.0.0.1", port)) for port in ports]
    return Endpoint(addresses, "gateway", None, "", "gateway")


class Dialled:
    """A dialer of an endpoint, and how its dialling has ended."""

    def __init__(self, poller: Poller, to: Endpoint) -> None:
        self.lane = cast("Lane", SimpleNamespace(endpoint=to, good_address=0))
        self.wire = Wire(poller, reset=False)
        self.dialer = Dialer(self.lane, self.wire)
        self.ends: list[str] = []

    def ready(self, mask: int) -> None:
        try:
            if self.dialer.go_on(mask, self.ready):
                self.ends.append("connected")
        except UnconnectedError as error:
            self.ends.append(str(error))
        if self.ends:
            self.wire.close()

    def end(self) -> str:
        """Dial, and return how that ended."""
        self.ends.clear()
        self.dialer.begin(self.ready)
        assert turned_until(lambda: self.ends)
        return self.ends[0]


def test_the_first_address_that_answers_is_taken_and_remembered(
    poller: Poller, nowhere: int
) -> None:
    with served(HELLO) as port:
        dialled = Dialled(poller, endpoint(nowhere, nowhere, port))
        assert dialled.end() == "connected"
        assert dialled.lane.good_address == 2
        assert dialled.end() == "connected"  # at once, this time
        assert dialled.lane.good_address == 2


def test_addresses_are_tried_round_the_one_that_was_good(poller: Poller, nowhere: int) -> None:
    with served(HELLO) as port:
        dialled = Dialled(poller, endpoint(port, nowhere))
        dialled.lane.good_address = 1
        assert dialled.end() == "connected"
        assert dialled.lane.good_address == 0


@pytest.mark.parametrize("number", [1, 3])
def test_where_all_refuse_the_last_ones_reason_is_given(
    poller: Poller, nowhere: int, number: int
) -> None:
    dialled = Dialled(poller, endpoint(*[nowhere] * number))
    assert dialled.end() == "ConnectionRefusedError: Connection refused"
    assert dialled.end() == "ConnectionRefusedError: Connection refused"


def test_an_address_that_refuses_at_once_is_passed_over(poller: Poller) -> None:
    with served(HELLO) as port:
        broadcast = (socket.AF_INET, ("255.255.255.255", 1))
        good = endpoint(port)
        both = Endpoint([broadcast, *good.addresses], "gateway", None, "", "gateway")
        assert Dialled(poller, both).end() == "connected"
    alone = Dialled(poller, Endpoint([broadcast], "gateway", None, "", "gateway"))
    with pytest.raises(UnconnectedError, match="Error: "):
        alone.dialer.begin(alone.ready)
    alone.wire.close()


@pytest.mark.parametrize("code", sorted(OUR_FAULTS))
def test_a_limit_of_this_machine_is_no_address_that_refuses(
    poller: Poller, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    def none_left(*_: object) -> None:
        raise OSError(code, "no more")

    monkeypatch.setattr("trafficsplit.load.wire._socket", none_left)
    dialled = Dialled(poller, endpoint(1, 2))
    with pytest.raises(BrokenError, match="no more sockets"):
        dialled.dialer.begin(dialled.ready)


def secured(files: Sequence[Path], name: str, port: int, *, trusted: bool = True) -> Endpoint:
    settings = ConnectionSettings(ca_file=str(files[0]) if trusted else "")
    return endpoint_of(GatewayAddress(f"https://{name}:{port}", "127.0.0.1"), settings)


def test_tls_is_part_of_dialling(poller: Poller, tmp_path: Path) -> None:
    files = certificate(tmp_path, "gw")
    with served(speaking(*files)) as port:
        assert Dialled(poller, secured(files, "gw", port)).end() == "connected"
        other = Dialled(poller, secured(files, "other", port)).end()
        assert other.startswith("the certificate is not to be trusted: ")
        unknown = Dialled(poller, secured(files, "gw", port, trusted=False)).end()
        assert unknown.startswith("the certificate is not to be trusted: ")


def test_a_server_without_tls_says_so(poller: Poller, tmp_path: Path) -> None:
    def plain_text(connection: socket.socket, _: int) -> None:
        connection.recv(65536)
        connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    files = certificate(tmp_path, "gw")
    with served(plain_text) as port:
        assert Dialled(poller, secured(files, "gw", port)).end().startswith("TLS: ")


def test_an_end_in_the_middle_of_the_handshake_is_a_reason(poller: Poller, tmp_path: Path) -> None:
    def hang_up(connection: socket.socket, _: int) -> None:
        connection.recv(65536)

    files = certificate(tmp_path, "gw")
    with served(hang_up) as port:
        end = Dialled(poller, secured(files, "gw", port)).end()
    assert end != "connected"
    assert ": " in end


def test_a_reason_has_its_kind_and_its_words() -> None:
    assert broken_off(ConnectionResetError(104, "Connection reset by peer")) == (
        "ConnectionResetError: Connection reset by peer"
    )
    assert broken_off(OSError("odd")) == "OSError: odd"
