"""The load in the field: users in step, closed connections, gateways that hang, lost answers.

The real `trafficsplit verify` asks HAProxy and nginx on free ports of this machine. A line for each
situation, under its row's number in issue 14, says how often the verdict was right.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import random
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.fakes.servers import page, plain, read_request, served
from tests.support.gateways import nginx
from tests.support.haproxies import Proxy, colors, hanging_soon, proxy
from trafficsplit import lab
from trafficsplit.lab.weights import with_weights

COMMAND = str(Path(sys.executable).with_name("trafficsplit"))
IN_TURN = """
listen gateway
  mode http
  balance roundrobin
  bind 127.0.0.1:{gateway}
  server blue 127.0.0.1:{blue} weight 75
  server green 127.0.0.1:{green} weight 25
"""
BY_CHANCE = IN_TURN.replace(
    "balance roundrobin", "{closing}\n  balance hash rand(1000000)\n  hash-type map-based"
)
BALANCER = """
listen balancer
  mode tcp
  balance roundrobin
  bind 127.0.0.1:{balancer}
  server one 127.0.0.1:{one}
  server two 127.0.0.1:{two}
"""
HOLE = IN_TURN.replace("weight 25", "weight 12\n  server hole 127.0.0.1:{hole} weight 13")
LONG = ("--tolerance", "1", "--timeout", "3s", "--no-diagnosis")


@dataclass(frozen=True)
class Outcome:
    """What one run of the command has said."""

    verdict: str
    requests: int
    seconds: float
    reason: str


def verify(*arguments: str) -> Outcome:
    """Verify a gateway whose green is to get 25 %."""
    with tempfile.TemporaryDirectory() as name:
        result = subprocess.run(
            [COMMAND, "verify", "--weight", "25", "--json", "--report", f"{name}/out", *arguments],
            capture_output=True,
            text=True,
        )
    try:
        said: dict[str, Any] = json.loads(result.stdout)
    except ValueError:
        return Outcome(f"exit {result.returncode}", 0, 0.0, result.stderr.strip()[-200:])
    return Outcome(said["verdict"], said["requests"], said["elapsed_seconds"], str(said["reason"]))


def show(row: int, situation: str, wanted: str, outcomes: list[Outcome]) -> None:
    """Print how many of some runs have ended as wanted, and how."""
    right = sum(outcome.verdict == wanted for outcome in outcomes)
    requests = statistics.median(outcome.requests for outcome in outcomes)
    seconds = statistics.median(outcome.seconds for outcome in outcomes)
    print(
        f"| {row} | {situation} | {wanted} {right} of {len(outcomes)} | {requests:,.0f} requests, "
        f"{seconds:.1f} s |",
        flush=True,
    )
    others = {outcome.reason for outcome in outcomes if outcome.verdict != wanted}
    for reason in sorted(others):
        print(f"      otherwise: {reason}", flush=True)
    if wanted == "failing":
        print(f"      {outcomes[0].reason}", flush=True)


# --- row 4: replicas behind one address ---


def replicas(directory: Path, blue: int, green: int) -> None:
    """Several gateways behind a layer-4 balancer, of which one has other weights."""
    for number, share in ((8, 0), (4, 15)):
        for wrong, wanted in ((25, "match"), (share, "mismatch")):
            shares = [25] * (number - 1) + [wrong]
            where = directory / f"{number}-{wrong}"
            with balanced(where, shares, blue, green) as url:
                outcomes = [verify("--host", url, "--no-diagnosis") for _ in range(3)]
            show(4, f"HAProxy before {number} gateways, one at {wrong} %", wanted, outcomes)
    one_stale_envoy(directory)


@contextlib.contextmanager
def balanced(directory: Path, shares: list[int], blue: int, green: int) -> Iterator[str]:
    """The URL of a balancer in front of gateways with these shares of green, in per cent."""
    sections = ""
    names = ["balancer"]
    servers = "\nlisten balancer\n  mode tcp\n  balance roundrobin\n  bind 127.0.0.1:{balancer}\n"
    for number, share in enumerate(shares):
        name = f"gateway{number}"
        names.append(name)
        own = BY_CHANCE.replace("{closing}", "").replace("gateway", name)
        own = own.replace("weight 75", f"weight {100 - share}")
        sections += own.replace("weight 25", f"weight {share}")
        servers += f"  server {name} 127.0.0.1:{{{name}}}\n"
    with proxy(directory, sections + servers, names, blue=blue, green=green) as running:
        yield running.url("balancer")


def one_stale_envoy(directory: Path) -> None:
    """One of two real Envoys behind a balancer has missed the change."""
    with lab.start(directory / "one") as one, lab.start(directory / "two") as two:
        ports = [int(each.host.rpartition(":")[2]) for each in (one, two)]
        two.set_routes(with_weights(two.system, {"blue": 100, "green": 0}))
        with proxy(
            directory / "balancer", BALANCER, ["balancer"], one=ports[0], two=ports[1]
        ) as both:
            host = ("--host", both.url("balancer"), "--no-diagnosis")
            outcomes = [verify(*host) for _ in range(3)]
    show(4, "HAProxy before two Envoys, one with the old weights", "mismatch", outcomes)


# --- row 7: users in step ---


def in_step(directory: Path, blue: int, green: int) -> None:
    """Users in step with a smooth weighted round robin of period four."""
    upstream = f"""upstream color {{ zone color 64k; keepalive 128;
      server 127.0.0.1:{blue} weight=75; server 127.0.0.1:{green} weight=25; }}"""
    location = (
        "location /color { proxy_pass http://color; proxy_http_version 1.1; "
        'proxy_set_header Connection ""; }'
    )
    (directory / "nginx").mkdir()
    with (
        proxy(directory / "haproxy", IN_TURN, ["gateway"], blue=blue, green=green) as haproxy,
        nginx(directory / "nginx", upstream, location) as engine_x,
    ):
        for name, url in (("HAProxy", haproxy.url("gateway")), ("nginx", engine_x)):
            closed = []
            for users in (1, 4, 8, 16, 32, 64):
                closed.append(verify("--host", url, "--users", str(users)))
            show(7, f"{name}, in turn; 1, 4, 8, 16, 32, 64 users", "match", closed)
            opened = []
            for users in (1, 16, 64):
                opened.append(verify("--host", url, "--users", str(users), "--rate", "1500"))
            show(7, f"{name}, in turn; 1, 16, 64 users, --rate 1500", "match", opened)


# --- row 9: closed connections ---


def closing(directory: Path, blue: int, green: int) -> None:
    """A gateway that closes each connection, against one that keeps them."""
    for name, swapped, wanted in (
        ("as configured", False, "match"),
        ("75 % green", True, "mismatch"),
    ):
        servers = (green, blue) if swapped else (blue, green)
        for how, option in (("kept", ""), ("closed", "option httpclose")):
            where = directory / f"{how}-{wanted}"
            sections = BY_CHANCE.replace("{closing}", option)
            with proxy(where, sections, ["gateway"], blue=servers[0], green=servers[1]) as gateway:
                host = ("--host", gateway.url("gateway"), "--no-diagnosis")
                show(9, f"connections are {how}, {name}", wanted, [verify(*host) for _ in range(5)])


# --- row 12: gateways that hang ---


def hanging(directory: Path, blue: int, green: int) -> None:
    """One of two gateways hangs in mid-run, by its own address or behind a balancer."""
    loads = {
        "--rate 1500": ("--rate", "1500"),
        "closed load": ("--users", "8", "--tolerance", "0.5"),
    }
    for title, load in loads.items():
        with two_gateways(directory / title.split()[0].strip("-"), blue, green) as (one, two, both):
            hosts = ("--host", one.url("gateway"), "--host", two.url("gateway"))
            show(12, f"one of two addresses hangs, {title}", "failing", [cut(two, *hosts, *load)])
            host = ("--host", both.url("balancer"))
            show(12, f"one of two behind a balancer, {title}", "failing", [cut(two, *host, *load)])


@contextlib.contextmanager
def two_gateways(directory: Path, blue: int, green: int) -> Iterator[tuple[Proxy, Proxy, Proxy]]:
    """Two gateways, and a balancer in front of both."""
    directory.mkdir()
    ports = {"blue": blue, "green": green}
    sections = IN_TURN
    with (
        proxy(directory / "one", sections, ["gateway"], **ports) as one,
        proxy(directory / "two", sections, ["gateway"], **ports) as two,
        proxy(
            directory / "both",
            BALANCER,
            ["balancer"],
            one=one.ports["gateway"],
            two=two.ports["gateway"],
        ) as both,
    ):
        yield one, two, both


def cut(gateway: Proxy, *arguments: str) -> Outcome:
    """Verify, and let a gateway hang for good meanwhile."""
    with hanging_soon(gateway):
        return verify(*LONG, *arguments)


def hole(directory: Path, blue: int, green: int) -> None:
    """Half of the canary's requests get nothing."""
    with (
        black_hole() as nowhere,
        proxy(
            directory / "hole", HOLE, ["gateway"], blue=blue, green=green, hole=nowhere
        ) as gateway,
    ):
        host = ("--host", gateway.url("gateway"), "--timeout", "3s")
        show(12, "half of the canary hangs, closed load", "failing", [verify(*host)])
        show(
            12,
            "half of the canary hangs, --rate 1500",
            "failing",
            [verify(*host, "--rate", "1500")],
        )


@contextlib.contextmanager
def black_hole() -> Iterator[int]:
    """A server that takes connections and answers nothing; its port."""

    def swallow(connection: socket.socket, _: int) -> None:
        while connection.recv(65536):
            pass

    with served(swallow) as port:
        yield port


# --- row 15: an answer that never comes ---


def never(_: Path, blue: int, green: int) -> None:
    """One request of all is never answered."""
    outcomes = []
    for seed in range(3):
        with served(never_once(seed)) as port:
            host = f"http://127.0.0.1:{port}"
            outcomes.append(verify("--host", host, "--users", "8", "--timeout", "5s"))
    show(15, "one request is never answered", "match", outcomes)


def never_once(seed: int) -> Callable[[socket.socket, int], None]:
    """Return a server that deals by chance, and that leaves one request without an answer."""
    draws = random.Random(seed)
    numbers = itertools.count(1)

    def handler(connection: socket.socket, _: int) -> None:
        while read_request(connection):
            if next(numbers) == 500:
                connection.recv(1)
                return
            connection.sendall(plain(page("green" if draws.random() < 0.25 else "blue")))

    return handler


SITUATIONS: dict[str, Callable[[Path, int, int], None]] = {
    "4": replicas,
    "7": in_step,
    "9": closing,
    "12": hanging,
    "12, canary": hole,
    "15": never,
}


def main(wanted: list[str]) -> None:
    """Print a line for each situation, of the rows that are wanted or of all."""
    print("| row | situation | verdict | median |")
    print("|---|---|---|---|")
    began = time.monotonic()
    for name, situation in SITUATIONS.items():
        if wanted and name.split(",")[0] not in wanted:
            continue
        with tempfile.TemporaryDirectory() as directory:
            where = Path(directory)
            with colors(where / "colors") as (blue, green):
                situation(where, blue, green)
    print(f"\n{time.monotonic() - began:.0f} s")


if __name__ == "__main__":
    main(sys.argv[1:])
