"""Three clients, one tally: the engine, and Locust's own two."""

from __future__ import annotations

import gzip
import itertools
import json
import socket
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Cli
from tests.fakes.servers import Handler, always, page, plain, read_request, served
from tests.support.gateways import certificate, nginx
from tests.support.locusts import SOURCE, locust

CLIENTS = ("engine", "stock", "requests")
GREEN = page("green")
BLUE = page("blue")
# What the server answers, in turn.
TURNS = [
    plain(GREEN),
    plain(BLUE),
    plain(BLUE, "200 OK", "Connection: close"),
    b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nTransfer-Encoding: chunked\r\n\r\n"
    b"%x\r\n%s\r\n0\r\n\r\n" % (len(GREEN), GREEN),
    plain(gzip.compress(BLUE), "200 OK", "Content-Encoding: gzip"),
    b"HTTP/1.0 200 OK\r\nContent-Type: text/html\r\n\r\n" + BLUE,
    plain(b"<html>no color</html>"),
    plain(page("red")),
    plain(b"oops", "503 Service Unavailable"),
    plain(BLUE, "500 Internal Server Error"),
    plain(b"", "302 Found", "Location: /login"),
    # Cut off in the middle: without any of it, FastHttpUser's client asks again by itself.
    plain(GREEN)[:70],
    plain(GREEN, "200 OK", "Set-Cookie: color=green"),
]
ENDS = {2, 5, 11}  # after which the server closes
# Of a gateway with one variant, of which 100 responses say enough here.
SOON = ("--zero-tolerance", "5")


def in_turn() -> Handler:
    """Give each kind of answer in turn; the first one, which asks whether we are ready, is good."""
    turns = itertools.count(-1)

    def handler(connection: socket.socket, _: int) -> None:
        while read_request(connection):
            turn = max(next(turns), 0) % len(TURNS)
            connection.sendall(TURNS[turn])
            if turn in ENDS:
                return

    return handler


def verdict_of(tmp_path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((tmp_path / "out" / "verdict.json").read_text())
    return found


@pytest.mark.parametrize("client", CLIENTS)
def test_all_clients_count_the_same_answers_alike(cli: Cli, tmp_path: Path, client: str) -> None:
    rounds = 6
    with served(in_turn()) as port:
        result = cli(
            *("verify", "--host", f"http://127.0.0.1:{port}"),
            *("--weights", "blue=50,green=30,red=20", "--test", "fixed"),
            *("--requests", str(rounds * len(TURNS)), "--max-failing", "99"),
            *("--users", "1", "--client", client, "--report", "out"),
        )
    assert result.returncode in (0, 1, 3), result.stderr
    found = verdict_of(tmp_path)
    per_round = {"blue": 4, "green": 3, "red": 1}
    assert found["observed"] == {v: rounds * n for v, n in per_round.items()}, found["losses"]
    assert (found["errors"], found["unidentified"]) == (4 * rounds, rounds)
    losses = found["losses"]
    assert losses["HTTP 302 to /login"] == losses["HTTP 503"] == losses["HTTP 500"] == rounds
    assert losses["the page names no background color"] == rounds
    assert found["sender"]["client"] == client


@pytest.mark.slow
@pytest.mark.parametrize("client", CLIENTS)
def test_tls_with_a_name_of_its_own_and_headers(cli: Cli, tmp_path: Path, client: str) -> None:
    cert, key = certificate(tmp_path, "color.example")
    server = (
        f"ssl_certificate {cert}; ssl_certificate_key {key}; location /color {{ "
        'add_header x-name "$ssl_server_name"; add_header x-tenant "$http_x_tenant"; '
        'add_header x-host "$host"; return 200 "hello"; }'
    )
    with nginx(tmp_path, "", server, tls=True) as url:
        named = url.replace("127.0.0.1", "color.example")
        common = ("--client", client, "--report", "out", *SOON)
        resolved = ("--host", named, "--resolve", "color.example:127.0.0.1", *common)
        trusted = (*resolved, "--ca-file", str(cert))
        asked = [("header:x-tenant", "seven=1", ("--header", "X-Tenant: seven"))]
        if client == "engine":
            asked.append(("header:x-host", "other.example=1", ("--header", "Host: other.example")))
        for variant_from, weights, more in asked:
            result = cli(
                "verify", *trusted, "--variant-from", variant_from, "--weights", weights, *more
            )
            assert result.returncode == 0, result.stdout + result.stderr
        variant = ("--variant-from", "header:x-name", "--weights", "color.example=1")
        refused = cli("verify", *resolved, *variant)
        assert refused.returncode == 4
        assert "has no certificate to trust" in refused.stdout
        assert cli("verify", *resolved, *variant, "--insecure").returncode == 0


@pytest.mark.parametrize("client", CLIENTS)
def test_an_address_of_ipv6(cli: Cli, tmp_path: Path, client: str) -> None:
    server = 'location /color { default_type text/plain; return 200 "green"; }'
    with nginx(tmp_path, "", server, address="[::1]") as url:
        result = cli("verify", "--host", url, "--weight", "100", "--client", client, *SOON)
    assert result.returncode == 0, result.stdout + result.stderr


LISTENER = """
from locust import events

seen = []


@events.request.add_listener
def listen(**request):
    seen.append(request)


@events.quit.add_listener
def tell(**_):
    print("seen", len(seen))
"""


def test_a_listener_to_every_request_is_served_and_told_so(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(SOURCE + LISTENER)
    with served(always(plain(GREEN))) as port:
        result = locust(
            tmp_path,
            *("--headless", "-u", "2", "--host", f"http://127.0.0.1:{port}", "--weight", "100"),
            *("--requests", "50"),
            file="mine.py",
        )
    assert "listens to every request, so Locust's FastHttpUser sends" in result.stderr
    assert "seen 50" in result.stdout


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--client", "curl"), "there is no --client 'curl'"),
        (("--rate", "0"), "--rate is 0"),
        (("--rate", "fast"), "--rate is not a number"),
        (("--header", "nonsense"), "--header 'nonsense' is no header"),
        (("--header", "Connection: close"), "the client needs it itself"),
        (("--resolve", "gateway:nowhere"), "is not NAME:ADDRESS"),
        (("--max-p99-ratio", "0.5"), "--max-p99-ratio is 0.5"),
        (
            ("--host", "https://127.0.0.1:9", "--ca-file", "nowhere.pem"),
            "nowhere.pem cannot be used",
        ),
        (("--host", "http://me:secret@gateway"), "--header 'Authorization: …'"),
        (("--host", "http://no.such.name.invalid"), "no.such.name.invalid"),
    ],
)
def test_what_cannot_be_done_is_said_in_one_line(
    cli: Cli, options: tuple[str, ...], said: str
) -> None:
    result = cli("verify", "--weight", "25", *options)
    assert result.returncode in (2, 4)
    assert said in result.stderr + result.stdout
    assert "Traceback" not in result.stderr
