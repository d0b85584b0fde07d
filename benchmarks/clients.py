"""What a request costs the client: this engine, Locust's own clients, hey and wrk, side by side.

In rounds (5, or as many as ROUNDS in the environment says), each of all clients in turn, the client
on one core and the target on the other. CPU is user and system time of the client's process a
request, without its start. The work is the same for the engine and Locust's clients (the color of
each page, the tally, latencies in a histogram, the order of sending, Locust's statistics); `wrk +
Lua` looks for the color and counts it; `hey` and `wrk` do nothing of the kind.
"""

from __future__ import annotations

import contextlib
import os
import re
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmarks.reading import PAGE, STYLE
from tests.support.gateways import certificate, nginx
from tests.support.locusts import LOCUSTFILE
from trafficsplit import lab
from trafficsplit.report.run_files import read_run

CLIENT_CORE = 0
TARGET_CORE = 1
ROUNDS = int(os.environ.get("ROUNDS", "5"))
REQUESTS = {"engine": 60_000, "stock": 6_000, "requests": 2_000, "hey": 40_000}
FEW = 300  # requests of a run that is subtracted: its cost is the start's
SECONDS = 2  # of wrk
LUA = """
local count = {}
response = function(status, headers, body)
  local color = string.match(body, 'style="background%-color:(%a+)"')
  if color then count[color] = (count[color] or 0) + 1 end
end
"""
NAMES = {
    "engine": "trafficsplit",
    "stock": "FastHttpUser",
    "requests": "HttpUser",
    "hey": "hey",
    "wrk": "wrk",
    "lua": "wrk + Lua",
}


@dataclass(frozen=True)
class Cost:
    """CPU seconds of a run, its requests, and how many a second."""

    cpu: float
    requests: int
    rate: float


def main() -> None:
    """Print a table for each target."""
    with tempfile.TemporaryDirectory() as name, pinned(TARGET_CORE), targets(Path(name)) as found:
        for title, url, connections in found:
            measure(title, url, connections, Path(name))


@contextlib.contextmanager
def pinned(core: int) -> Iterator[None]:
    """This process, and all that it starts, on one core."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


@contextlib.contextmanager
def targets(directory: Path) -> Iterator[list[tuple[str, str, int]]]:
    """What is asked: a title, a base URL, and the number of connections."""
    for color in ("blue", "green"):
        page = PAGE.format(style=STYLE * 22, color=color, id="0" * 36)
        (directory / f"{color}.html").write_text(page)
    cert, key = certificate(directory, "localhost")
    split = 'split_clients "$request_id" $v { 25% green; * blue; } keepalive_timeout 600;'
    where = (
        f"location /color {{ root {directory}; try_files /$v.html =404; default_type text/html; "
    )
    tls = f"ssl_certificate {cert}; ssl_certificate_key {key}; "
    with contextlib.ExitStack() as stack:

        def serve(name: str, server: str, *, tls: bool = False) -> str:
            (directory / name).mkdir()
            return stack.enter_context(nginx(directory / name, split, server, tls=tls))

        plain = serve("plain", where + "}")
        chunked = serve("chunked", where + "ssi on; }")
        secure = serve("tls", tls + where + "}", tls=True)
        envoy = stack.enter_context(lab.start(directory / "lab")).host
        yield [
            ("nginx, 8 connections", plain, 8),
            ("nginx, 64 connections", plain, 64),
            ("nginx, chunked, 8 connections", chunked, 8),
            ("nginx, TLS, 8 connections", secure, 8),
            ("Envoy, 8 connections", envoy, 8),
        ]


def measure(title: str, url: str, connections: int, directory: Path) -> None:
    """All clients against one target, in rounds."""
    rounds = []
    for _ in range(ROUNDS):
        rounds.append({c: cost(c, url, connections, directory) for c in NAMES})
    micros = {c: [1e6 * one[c].cpu / one[c].requests for one in rounds] for c in NAMES}
    print(f"\n{title} (median of {ROUNDS} rounds)")
    print(f"{'':14} {'CPU, µs/request':>16} {'requests/s':>12} {'its CPU, times ours':>20}")
    for client, name in NAMES.items():
        ratio = statistics.median(
            theirs / ours for theirs, ours in zip(micros[client], micros["engine"], strict=True)
        )
        rate = statistics.median(one[client].rate for one in rounds)
        print(f"{name:14} {statistics.median(micros[client]):16.1f} {rate:12,.0f} {ratio:20.2f}")
    for other, goal in (("hey", 0.45), ("lua", 1.1), ("stock", 1 / 14)):
        ratio = statistics.median(
            ours / theirs for ours, theirs in zip(micros["engine"], micros[other], strict=True)
        )
        print(f"  ours is {ratio:.3f} × {NAMES[other]} (goal {goal:.3f})", flush=True)


def cost(client: str, url: str, connections: int, directory: Path) -> Cost:
    """One run of one client, without its start."""
    if client in ("engine", "stock", "requests"):
        whole = locust(client, url, connections, REQUESTS[client], directory)
        start = locust(client, url, connections, FEW, directory)
        return Cost(whole.cpu - start.cpu, whole.requests - start.requests, whole.rate)
    if client == "hey":
        n = str(REQUESTS["hey"])
        cpu, said = run("hey", "-n", n, "-c", str(connections), f"{url}/color")
        return Cost(cpu, REQUESTS["hey"], number(r"Requests/sec:\s+([\d.]+)", said))
    script = directory / "color.lua"
    script.write_text(LUA)
    more = ("-s", str(script)) if client == "lua" else ()
    wrk = ("wrk", "-t1", f"-c{connections}", f"-d{SECONDS}s", *more, f"{url}/color")
    cpu, said = run(*wrk)
    return Cost(cpu, int(number(r"(\d+) requests in", said)), number(r"sec:\s+([\d.]+)", said))


def locust(client: str, url: str, users: int, requests: int, directory: Path, *more: str) -> Cost:
    """Locust on the locustfile; CPU with its start."""
    out = directory / "run"
    out.mkdir(exist_ok=True)
    cpu, said = run(
        *(sys.executable, "-m", "locust", "-f", str(LOCUSTFILE), "--headless", "--only-summary"),
        *("-u", str(users), "-r", str(users), "--host", url, "--weight", "25", "--insecure"),
        *("--test", "fixed", "--requests", str(requests), "--client", client),
        *("--loglevel", "ERROR", "--run-dir", str(out), *more),
    )
    counted = read_run(out)
    assert counted.tally.requests >= requests, said
    assert not counted.tally.lost, counted.counted.losses
    return Cost(cpu, counted.tally.requests, counted.requests_per_second)


def run(*command: str) -> tuple[float, str]:
    """CPU seconds of a command on the client's core, its children's included; what it said."""
    with tempfile.TemporaryFile("w+") as output:
        process = subprocess.Popen(
            command,
            stdout=output,
            stderr=output,
            env={**os.environ, "GOMAXPROCS": "1"},
            preexec_fn=lambda: os.sched_setaffinity(0, {CLIENT_CORE}),
        )
        _, _, usage = os.wait4(process.pid, 0)
        process.returncode = 0
        output.seek(0)
        return usage.ru_utime + usage.ru_stime, output.read()


def number(pattern: str, text: str) -> float:
    """The first group of a pattern, as a number."""
    found = re.search(pattern, text)
    assert found, text
    return float(found.group(1))


if __name__ == "__main__":
    main()
