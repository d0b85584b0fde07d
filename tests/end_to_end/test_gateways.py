"""Several gateways: two real Envoys, of which one may have missed the change."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Cli, refused
from tests.fakes.servers import served
from tests.support.questions import SURE_25
from tests.support.waiting import PATIENCE
from trafficsplit import lab
from trafficsplit.lab.weights import with_weights

pytestmark = pytest.mark.lab


@pytest.fixture
def two(tmp_path: Path) -> Iterator[list[lab.Lab]]:
    with lab.start(tmp_path / "one") as one, lab.start(tmp_path / "two") as two:
        yield [one, two]


def hosts(labs: list[lab.Lab]) -> list[str]:
    return [part for one in labs for part in ("--host", one.host)]


def told(tmp_path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((tmp_path / "out" / "verdict.json").read_text())
    return found


def test_one_with_old_weights_is_named_with_the_share_of_each(
    cli: Cli, two: list[lab.Lab], tmp_path: Path
) -> None:
    two[1].set_routes(with_weights(two[1].system, {"blue": 100, "green": 0}))
    question = ("--weight", "25", "--previous-weight", "0", "--report", "out")
    result = cli("verify", *hosts(two), *question)
    assert result.returncode == 1, result.stdout + result.stderr
    assert f"{two[1].host} gives green 0.0 % of" in result.stdout
    assert "the other gateway gives it " in result.stdout
    assert f"diagnosis: {two[1].host} still has the old weights" in result.stdout
    verdict = told(tmp_path)
    assert 0 < verdict["decided_after"] < 1000
    first, second = verdict["gateways"]["each"]
    assert (first["name"], first["off"]) == (two[0].host, False)
    assert (second["name"], second["off"]) == (two[1].host, True)
    assert first["confidence"]["green"][0] < 0.25 < first["confidence"]["green"][1]
    assert second["shares"]["green"] == 0
    assert first["requests"] + second["requests"] == verdict["requests"]
    assert two[1].host in (tmp_path / "out" / "report.html").read_text()


@pytest.mark.parametrize("more", [(), ("--client", "stock"), ("--processes", "2")])
def test_two_that_agree_match_together(
    cli: Cli, two: list[lab.Lab], tmp_path: Path, more: tuple[str, ...]
) -> None:
    result = cli("verify", *hosts(two), *SURE_25, "--report", "out", *more)
    assert result.returncode == 0, result.stdout + result.stderr
    assert "of 2 gateways, and at each of them" in result.stdout
    each = told(tmp_path)["gateways"]["each"]
    assert all(one["requests"] > 200 for one in each)
    rows = (tmp_path / "out" / "gateways.csv").read_text().splitlines()
    assert {row.split(",")[0] for row in rows} == {"gateway", *(one.host for one in two)}


def test_the_fixed_test_finds_them_unlike(cli: Cli, two: list[lab.Lab], tmp_path: Path) -> None:
    # together as configured, each by itself not
    two[0].set_routes(with_weights(two[0].system, {"blue": 85, "green": 15}))
    two[1].set_routes(with_weights(two[1].system, {"blue": 65, "green": 35}))
    result = cli("verify", *hosts(two), "--weight", "25", "--test", "fixed", "--requests", "4000")
    assert result.returncode == 1, result.stdout + result.stderr
    assert "(homogeneity: p = " in result.stdout


def test_every_address_of_a_name_is_a_gateway(cli: Cli, two: list[lab.Lab], tmp_path: Path) -> None:
    # The same port on two addresses of this machine, each passed on to a gateway of its own.
    port = int(two[0].host.rpartition(":")[2])
    other = two[1].host.removeprefix("http://")
    with forwarded("127.0.0.2", port, other):
        two[1].set_routes(with_weights(two[1].system, {"blue": 0, "green": 100}))
        name = ("--host", f"http://gateway.test:{port}")
        addresses = ("--resolve", "gateway.test:127.0.0.1,127.0.0.2")
        result = cli("verify", *name, *addresses, "--weight", "25", "--report", "out")
    assert result.returncode == 1, result.stdout + result.stderr
    assert f"http://gateway.test:{port} (127.0.0.2) gives green 100.0 % of" in result.stdout


def forwarded(address: str, port: int, to: str) -> AbstractContextManager[int]:
    """A server at an address that passes every connection on to `to`, `HOST:PORT`; its port."""
    host, _, upstream = to.rpartition(":")

    def handler(connection: socket.socket, _: int) -> None:
        with socket.create_connection((host, int(upstream)), timeout=PATIENCE) as other:
            other.settimeout(None)
            back = threading.Thread(target=copy, args=(other, connection))
            back.start()
            copy(connection, other)
            back.join()

    return served(handler, address=address, port=port)


def copy(source: socket.socket, target: socket.socket) -> None:
    """Pass on all that comes from one socket to the other, and its end."""
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
    with contextlib.suppress(OSError):
        target.shutdown(socket.SHUT_WR)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--host", "http://a", "--host", "ftp://b"), "'ftp://b' is no address"),
        (("--resolve", "x:1.2.3"), "is not NAME:ADDRESS"),
        (
            ("--host", "http://127.0.0.1:1", "--host", "http://127.0.0.1:2", "--users", "1"),
            "1 users cannot ask 2 gateways: give more --users",
        ),
        (
            (
                *("--host", "http://x.test", "--resolve", "x.test:127.0.0.1,127.0.0.2"),
                *("--client", "stock"),
            ),
            "--client stock cannot ask several addresses of one name",
        ),
        (
            ("--host", "http://nowhere.invalid", "--resolve", "nowhere.invalid"),
            "nowhere.invalid has no address",
        ),
    ],
)
def test_what_cannot_be_asked_is_refused(cli: Cli, options: tuple[str, ...], said: str) -> None:
    assert said in refused(cli, "verify", "--weight", "25", *options)
