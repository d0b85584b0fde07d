"""Several gateways: two real Envoys, of which one may have missed the change."""

import json
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import Cli
from trafficsplit import lab
from trafficsplit.lab.weights import with_weights

pytestmark = pytest.mark.lab


@pytest.fixture
def two(tmp_path: Path) -> Iterator[list[lab.Lab]]:
    with lab.start(tmp_path / "one") as one, lab.start(tmp_path / "two") as two:
        yield [one, two]


def hosts(labs: list[lab.Lab]) -> list[str]:
    return [part for one in labs for part in ("--host", one.host)]


def told(tmp_path: Path) -> dict[str, object]:
    found = json.loads((tmp_path / "out" / "verdict.json").read_text())
    assert isinstance(found, dict)
    return found


def test_one_with_old_weights_is_named_with_the_share_of_each(
    cli: Cli, two: list[lab.Lab], tmp_path: Path
) -> None:
    two[1].set_routes(with_weights(two[1].system, {"blue": 100, "green": 0}))
    result = cli("verify", *hosts(two), "--weight", "25", "--previous-weight", "0",
                 "--report", "out")  # fmt: skip
    assert result.returncode == 1, result.stdout + result.stderr
    assert f"{two[1].host} gives green 0.0 % of" in result.stdout
    assert "the other gateway gives it " in result.stdout
    assert f"diagnosis: {two[1].host} still has the old weights" in result.stdout
    verdict = told(tmp_path)
    assert int(str(verdict["requests"])) < 1000
    first, second = verdict["gateways"]["each"]  # type: ignore[index]
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
    result = cli("verify", *hosts(two), "--weight", "25", "--tolerance", "4", "--report", "out",
                 *more)  # fmt: skip
    assert result.returncode == 0, result.stdout + result.stderr
    assert "of 2 gateways together" in result.stdout
    each = told(tmp_path)["gateways"]["each"]  # type: ignore[index]
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
        result = cli(
            "verify", "--host", f"http://gateway.test:{port}", "--weight", "25", "--report", "out",
            "--resolve", "gateway.test:127.0.0.1,127.0.0.2",
        )  # fmt: skip
    assert result.returncode == 1, result.stdout + result.stderr
    assert f"http://gateway.test:{port} (127.0.0.2) gives green 100.0 % of" in result.stdout


def forwarded(address: str, port: int, to: str) -> subprocess.Popen[bytes]:
    """A forwarder; a context manager that ends it."""
    code = (
        "import asyncio, sys\n"
        "async def copy(r, w):\n"
        "    while data := await r.read(65536):\n"
        "        w.write(data); await w.drain()\n"
        "    w.close()\n"
        "async def serve(r, w):\n"
        "    host, port = sys.argv[3].split(':')\n"
        "    r2, w2 = await asyncio.open_connection(host, int(port))\n"
        "    await asyncio.gather(copy(r, w2), copy(r2, w), return_exceptions=True)\n"
        "async def main():\n"
        "    s = await asyncio.start_server(serve, sys.argv[1], int(sys.argv[2]))\n"
        "    print('ready', flush=True)\n"
        "    await s.serve_forever()\n"
        "asyncio.run(main())\n"
    )
    return _Forwarder(code, address, port, to)


class _Forwarder(subprocess.Popen[bytes]):
    def __init__(self, code: str, address: str, port: int, to: str) -> None:
        import sys

        super().__init__([sys.executable, "-c", code, address, str(port), to],
                         stdout=subprocess.PIPE)  # fmt: skip
        assert self.stdout
        assert self.stdout.readline() == b"ready\n"
        socket.create_connection((address, port), timeout=5).close()

    def __exit__(self, *error: object) -> None:
        self.kill()
        super().__exit__(None, None, None)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--host", "http://a", "--host", "ftp://b"), "'ftp://b' is no address"),
        (("--resolve", "x:1.2.3"), "is not NAME:ADDRESS"),
        (("--host", "http://127.0.0.1:1", "--host", "http://127.0.0.1:2", "--users", "1"),
         "1 users cannot ask 2 gateways: give more --users"),
        (("--host", "http://x.test", "--resolve", "x.test:127.0.0.1,127.0.0.2", "--client",
          "stock"), "--client stock cannot ask several addresses of one name"),
        (("--host", "http://nowhere.invalid", "--resolve", "nowhere.invalid"),
         "nowhere.invalid has no address"),
    ],
)  # fmt: skip
def test_what_cannot_be_asked_is_refused(cli: Cli, options: tuple[str, ...], said: str) -> None:
    result = cli("verify", "--weight", "25", *options)
    assert (result.returncode, len(result.stderr.splitlines())) == (2, 1), result.stderr
    assert said in result.stderr
