"""Counting begins when the gateway answers."""

from __future__ import annotations

import http.server
import socket
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fakes.servers import Handler, always, free_port, plain, read_request, served
from tests.support.gateways import certificate
from trafficsplit.load import readiness as module
from trafficsplit.load.readiness import why_not_ready
from trafficsplit.settings.load import ConnectionSettings, RequestSettings

COLOR = RequestSettings(path="/color")
OPEN = ConnectionSettings()
PATIENCE = 60.0  # seconds


@pytest.fixture
def _once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A gateway is asked once, and given the time that a busy machine needs."""
    monkeypatch.setattr(module, "PAUSE", 2 * PATIENCE)


def why_not(handler: Handler, request: RequestSettings = COLOR, patience: float = PATIENCE) -> str:
    """Return why a server is not ready, its address replaced by `GW`."""
    with served(handler) as port:
        host = f"http://127.0.0.1:{port}"
        return why_not_ready(host, request, OPEN, patience).replace(host, "GW")


def test_a_good_answer_is_ready() -> None:
    assert why_not(always(plain(b"hello"))) == ""
    assert why_not(always(plain(b"", "204 No Content"))) == ""


@pytest.mark.usefixtures("_once")
@pytest.mark.parametrize(
    ("status", "headers", "reason"),
    [
        ("404 Not Found", (), "GW/color answers 404: does its route match this path and host?"),
        ("503 Service Unavailable", (), "GW/color answers 503: is a variant behind it up?"),
        (
            "401 Unauthorized",
            (),
            "GW/color answers 401: it wants to know who asks: give --header 'Authorization: …'.",
        ),
        (
            "405 Method Not Allowed",
            (),
            "GW/color answers 405: it takes no GET there: give another --path.",
        ),
        (
            "429 Too Many Requests",
            ("Retry-After: 3600",),
            "GW/color answers 429: these are too many requests for it, before the first one: ask "
            "later, with --rate.",
        ),
        (
            "418 I am a teapot",
            (),
            "GW/color answers 418: a request without anything special is refused.",
        ),
        (
            "302 Found",
            ("Location: /login",),
            "GW/color redirects to /login: give that as --host or --path.",
        ),
        (
            "301 Moved Permanently",
            (),
            "GW/color redirects to nowhere: give that as --host or --path.",
        ),
    ],
)
def test_another_answer_says_what_it_means(
    status: str, headers: tuple[str, ...], reason: str
) -> None:
    assert why_not(always(plain(b"", status, *headers), close=True)) == reason


def test_it_waits_for_a_gateway_that_is_not_ready_yet() -> None:
    asked: list[int] = []

    def third_time(connection: socket.socket, number: int) -> None:
        while read_request(connection):
            asked.append(number)
            status = "200 OK" if len(asked) > 2 else "503 Service Unavailable"
            connection.sendall(plain(b"", status))

    assert why_not(third_time) == ""
    assert len(asked) == 3


def test_it_is_asked_as_the_load_asks_it() -> None:
    seen: list[bytes] = []

    def handler(connection: socket.socket, _: int) -> None:
        seen.append(connection.recv(65536))
        connection.sendall(plain(b""))

    request = RequestSettings(path="/color?x=1", headers={"Host": "shop", "X-Flag": "on"})
    assert why_not(handler, request) == ""
    head = seen[0].decode().lower()
    assert head.startswith("get /color?x=1 http/1.1\r\n")
    assert "\r\nhost: shop\r\n" in head
    assert "\r\nx-flag: on\r\n" in head


def test_no_proxy_of_the_environment_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{free_port()}")
    assert why_not(always(plain(b""))) == ""


@pytest.mark.usefixtures("_once")
def test_nobody_there_is_said_in_few_words() -> None:
    host = f"http://127.0.0.1:{free_port()}"
    reason = why_not_ready(host, COLOR, OPEN, PATIENCE)
    assert reason.startswith(f"{host} cannot be reached (")
    assert reason.endswith("): check the address, and that it is up.")
    assert "refused" in reason
    assert len(reason) < 200


@pytest.mark.usefixtures("_once")
@pytest.mark.parametrize("name", ["gateway.invalid", "x..y"])
def test_a_name_that_is_not_known_cannot_be_reached(name: str) -> None:
    assert "cannot be reached (" in why_not_ready(f"http://{name}", COLOR, OPEN, PATIENCE)


@pytest.mark.usefixtures("_once")
@pytest.mark.parametrize("answer", [b"", b"rubbish\r\n\r\n"])
def test_what_is_no_answer_of_http_is_not_ready(answer: bytes) -> None:
    reason = why_not(always(answer, close=True))
    assert reason.startswith("GW cannot be reached (")
    assert "\n" not in reason


def test_an_answer_that_does_not_come_is_not_waited_for_for_ever() -> None:
    def silent(connection: socket.socket, _: int) -> None:
        read_request(connection)
        connection.recv(1)

    assert why_not(silent, patience=0) == "GW does not answer: nothing came within 0.5 seconds."


@pytest.fixture
def tls(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """A server with a certificate that signs itself; its base URL, and the certificate."""

    class Page(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    file, key = certificate(tmp_path, "localhost")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file, key)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Page)
    server.handle_error = lambda *_: None  # type: ignore[method-assign]
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"https://localhost:{server.server_port}", file
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.mark.usefixtures("_once")
def test_a_certificate_is_checked_unless_that_is_not_wanted(tls: tuple[str, Path]) -> None:
    host, file = tls
    reason = why_not_ready(host, COLOR, OPEN, PATIENCE)
    assert reason.startswith(f"{host} has no certificate to trust (")
    assert "--ca-file" in reason
    assert why_not_ready(host, COLOR, ConnectionSettings(ca_file=str(file)), PATIENCE) == ""
    assert why_not_ready(host, COLOR, ConnectionSettings(insecure=True), PATIENCE) == ""


def test_a_gateway_says_itself_when_to_come_again(monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []
    monkeypatch.setattr(module.time, "sleep", pauses.append)  # type: ignore[attr-defined]

    def handler(connection: socket.socket, number: int) -> None:
        while read_request(connection):
            busy = plain(b"", "429 Too Many Requests", "Retry-After: 7")
            connection.sendall(plain(b"fine") if pauses else busy)

    assert why_not(handler) == ""
    assert pauses == [7.0]
