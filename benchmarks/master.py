"""How many workers one master serves: its CPU for simulated ones, that report as real ones do.

Each simulated worker speaks Locust's own protocol, and sends twice a second the report of a real
counter that has seen 5,000 requests.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil

from tests.fakes.servers import always, free_port, page, plain, served
from tests.support.locusts import LOCUSTFILE

WORKERS = (10, 50, 100, 200)
SETTLED = 4.0  # seconds
MEASURED = 8.0  # seconds
SIMULATOR = """
import random, sys, time
import gevent
from gevent import monkey; monkey.patch_all()
from locust import __version__
from locust.rpc import Message, zmqrpc
from locust.stats import RequestStats, StatsEntry
from trafficsplit import Split
from trafficsplit.analysis.kinds import Kind, Outcome
from trafficsplit.analysis.run import Sender
from trafficsplit.load.counting import Counter
from trafficsplit.locust.fleet import HELLO, KEY, VERSION, report_of
from trafficsplit.locust.patches import REPORT_INTERVAL

port = int(sys.argv[1])
count = int(sys.argv[2])
rng = random.Random(1)
counter = Counter(Split({"blue": 75, "green": 25}))
counter.began = 1.0
stats = RequestStats()
for number in range(5000):
    variant = "green" if rng.random() < 0.25 else "blue"
    latency = rng.lognormvariate(-7, 0.5)
    code = counter.code_of(Kind(Outcome.IDENTIFIED, variant))
    counter.count(counter.take(1 + number % 16), code, number / 10000, latency)
    stats.log_request("GET", f"/color [{variant}]", 1000 * latency, 2000)
report = {
    KEY: report_of(counter, Sender(cpu=0.5)),
    "stats": stats.serialize_stats(), "stats_total": stats.total.serialize(), "errors": {},
    "user_classes_count": {"ColorUser": 1}, "user_count": 1,
}

def worker(number):
    name = f"simulated-{number}"
    client = zmqrpc.Client("127.0.0.1", port, name)
    client.send(Message("client_ready", __version__, name))
    client.send(Message(HELLO, {"version": VERSION}, name))
    gevent.spawn(lambda: [client.recv() for _ in iter(int, 1)])
    gevent.sleep(REPORT_INTERVAL * rng.random())
    beats = 0
    while True:
        client.send(Message("stats", report, name))
        if beats % 2 == 0:
            state = {"state": "running", "current_cpu_usage": 50, "current_memory_usage": 1}
            client.send(Message("heartbeat", state, name))
        beats += 1
        gevent.sleep(REPORT_INTERVAL)

gevent.joinall([gevent.spawn(worker, number) for number in range(count)])
"""


def main() -> None:
    """Print the master's share of a core by number of workers."""
    with served(always(plain(page("blue")))) as gateway:
        shares = {workers: share(workers, gateway) for workers in WORKERS}
    for workers, one in shares.items():
        each = 1000 * one / workers
        print(f"{workers:>4} workers: {100 * one:5.1f} % of a core, {each:.2f} ms a second each")
    few = min(WORKERS)
    many = max(WORKERS)
    each = (shares[many] - shares[few]) / (many - few)
    print(f"so one core serves about {0.7 / each:,.0f} workers at 70 %", flush=True)


def share(workers: int, gateway: int) -> float:
    """The master's CPU over some seconds, as a fraction of a core."""
    port = free_port()
    with tempfile.TemporaryDirectory() as name:
        simulator = Path(name) / "simulator.py"
        simulator.write_text(SIMULATOR)
        log = (Path(name) / "log").open("w")
        master = subprocess.Popen(
            [
                *(sys.executable, "-m", "locust", "-f", str(LOCUSTFILE), "--headless", "--master"),
                *("--master-bind-port", port, "--expect-workers", str(workers)),
                *("-u", str(workers), "-r", str(workers), "--host", f"http://127.0.0.1:{gateway}"),
                *("--loglevel", "ERROR", "--only-summary"),
            ],
            stdout=log,
            stderr=log,
        )
        simulating = [sys.executable, str(simulator), port, str(workers)]
        them = subprocess.Popen(simulating, stdout=log, stderr=log)
        try:
            time.sleep(SETTLED + workers / 50)
            assert master.poll() is None, (Path(name) / "log").read_text()
            assert them.poll() is None, (Path(name) / "log").read_text()
            watched = psutil.Process(master.pid)
            before = watched.cpu_times()
            began = time.monotonic()
            time.sleep(MEASURED)
            after = watched.cpu_times()
            spent = after.user + after.system - before.user - before.system
            return spent / (time.monotonic() - began)
        finally:
            for process in (them, master):
                process.kill()
                process.wait()
            log.close()


if __name__ == "__main__":
    main()
